//! The kubelet's endpoint as the API server reaches it: `pods/log`.
//!
//! Logs are no objects and are not kept; [`crate::logs`] makes them from the pod.

use std::time::Duration;

use apimachinery::status::Status;
use apiserver::{Body, Call, Connect};
use async_trait::async_trait;
use bytes::Bytes;
use controller::Clock;
use futures::Stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap as ApiConfigMap, Pod as ApiPod};
use kube::Api;
use parking_lot::Mutex;
use serde_json::Value;

use crate::faults::{self, Orders, Table};
use crate::logs::{self, LogOptions};
use crate::model::{ConfigMap, Pod};

/// How often a followed log is looked at for more.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Serves `pods/log`.
pub struct PodLogs {
    clock: Clock,
    /// Set once the API server is there, taken away when it stops: it would keep itself alive otherwise.
    client: Mutex<Option<kube::Client>>,
}

impl PodLogs {
    pub fn new(clock: Clock) -> Self {
        Self { clock, client: Mutex::new(None) }
    }

    pub fn set_client(&self, client: Option<kube::Client>) {
        *self.client.lock() = client;
    }

    fn client(&self) -> Result<kube::Client, Status> {
        self.client.lock().clone().ok_or_else(|| Status::new(503, "ServiceUnavailable", "the kubelet is stopping"))
    }
}

#[async_trait]
impl Connect for PodLogs {
    async fn connect(&self, call: &Call, pod: Value) -> Result<Response<Body>, Status> {
        let now = self.clock.now();
        let options = parse_options(&call.info.query, now)?;
        let container = logs::container_of(&pod, call.info.query.get("container").filter(|c| !c.is_empty())).map_err(refuse)?;
        let client = self.client()?;
        let orders = orders(&client, &pod, &container).await;
        let run = logs::run_of(&pod, &container, options.previous).map_err(refuse)?;
        let text = logs::print(&logs::lines(&run, &orders, None, now), &options);
        let limit = call.info.query.get("limitBytes").and_then(|n| n.parse::<usize>().ok()).unwrap_or(usize::MAX);
        let text = Bytes::from(text).slice_to(limit);
        let body = if call.info.query.is_true("follow") && !options.previous {
            let followed =
                Followed { client, clock: self.clock.clone(), container, orders, options, shown_until: now, first: Some(text), pod };
            StreamBody::new(follow(followed)).boxed_unsync()
        } else {
            Full::new(text).map_err(|never| match never {}).boxed_unsync()
        };
        let response = Response::builder().header("content-type", "text/plain").body(body);
        response.map_err(Status::internal)
    }
}

trait SliceTo {
    fn slice_to(self, most: usize) -> Self;
}

impl SliceTo for Bytes {
    fn slice_to(mut self, most: usize) -> Self {
        self.truncate(most);
        self
    }
}

fn refuse(error: logs::Error) -> Status {
    match error {
        logs::Error::NoSuchContainer(..) | logs::Error::ContainerRequired(..) | logs::Error::Waiting(..) | logs::Error::NoPrevious(..) => {
            Status::bad_request(error.to_string())
        }
    }
}

fn parse_options(query: &apiserver::request::Query, now: Timestamp) -> Result<LogOptions, Status> {
    let number = |name: &str| -> Result<Option<i64>, Status> {
        let Some(text) = query.get(name).filter(|t| !t.is_empty()) else { return Ok(None) };
        let number = text.parse::<i64>().ok().filter(|n| *n >= 0);
        number.map(Some).ok_or_else(|| Status::bad_request(format!("{name}: {text:?} is not a number from 0")))
    };
    let since = match (number("sinceSeconds")?, query.get("sinceTime").filter(|t| !t.is_empty())) {
        (Some(seconds), _) => Some(now - SignedDuration::from_secs(seconds)),
        (None, Some(time)) => Some(time.parse().map_err(|_| Status::bad_request(format!("sinceTime: {time:?} is not an RFC 3339 time")))?),
        (None, None) => None,
    };
    Ok(LogOptions {
        previous: query.is_true("previous"),
        tail_lines: number("tailLines")?.map(|n| n as usize),
        since,
        timestamps: query.is_true("timestamps"),
    })
}

/// Returns what the container was told to print.
async fn orders(client: &kube::Client, pod: &Value, container: &str) -> Orders {
    let config_maps: Api<ApiConfigMap> = Api::namespaced(client.clone(), faults::CONFIG_MAP_NAMESPACE);
    let found = config_maps.get_opt(faults::CONFIG_MAP).await.ok().flatten();
    let table = found.map(|c| Table::of(&ConfigMap { data: c.data.unwrap_or_default(), ..ConfigMap::default() })).unwrap_or_default();
    let slim: Pod = serde_json::from_value(pod.clone()).unwrap_or_default();
    let image = slim.spec.containers.iter().find(|c| c.name == container).map(|c| c.image.clone()).unwrap_or_default();
    table.orders(&slim, container, &image)
}

struct Followed {
    client: kube::Client,
    clock: Clock,
    container: String,
    orders: Orders,
    options: LogOptions,
    shown_until: Timestamp,
    first: Option<Bytes>,
    pod: Value,
}

/// Streams a log until its container ends or its pod goes.
fn follow(followed: Followed) -> impl Stream<Item = Result<Frame<Bytes>, apiserver::BoxError>> + Send {
    futures::stream::unfold(followed, |mut followed| async move {
        if let Some(first) = followed.first.take()
            && !first.is_empty()
        {
            return Some((Ok(Frame::data(first)), followed));
        }
        loop {
            let run = logs::run_of(&followed.pod, &followed.container, false).ok()?;
            let now = followed.clock.now();
            let lines = logs::lines(&run, &followed.orders, Some(followed.shown_until), now);
            followed.shown_until = now;
            if !lines.is_empty() {
                let options = LogOptions { timestamps: followed.options.timestamps, ..LogOptions::default() };
                return Some((Ok(Frame::data(logs::print(&lines, &options).into())), followed));
            }
            if run.has_ended() {
                return None;
            }
            tokio::time::sleep(FOLLOW_EVERY).await;
            let meta = &followed.pod["metadata"];
            let (namespace, name) = (meta["namespace"].as_str().unwrap_or_default(), meta["name"].as_str().unwrap_or_default());
            let pods: Api<ApiPod> = Api::namespaced(followed.client.clone(), namespace);
            followed.pod = serde_json::to_value(pods.get_opt(name).await.ok()??).ok()?;
        }
    })
}
