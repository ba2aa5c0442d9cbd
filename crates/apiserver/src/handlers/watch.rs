//! `watch`: from a revision, from now, or with a list first.

use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::Status;
use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use super::list::parse_revision;
use super::{Call, partial_metadata, store_error};
use crate::negotiate::Form;
use crate::watch::{self, StreamOptions, stream};
use crate::{Body, Inner, convert, http as answers, keys, table};

/// How long a watch lasts when the client does not say: between this and twice it, as
/// kube-apiserver's min-request-timeout, so that many watches do not end together.
const WATCH_SECONDS: u64 = 1800;
/// The longest a client may ask for: a year, so that adding it to the time cannot overflow.
const WATCH_SECONDS_MAX: u64 = 365 * 24 * 3600;

impl Inner {
    pub(crate) async fn watch(self: &Arc<Self>, call: &Call) -> Result<Response<Body>, Status> {
        let query = &call.info.query;
        let filter = call.filter()?;
        let asked = parse_revision(query.get("resourceVersion"))?;
        let newest = self.options.store.fresh().await.map_err(store_error)?;
        let sends_initial = initial_events(query.get("sendInitialEvents"), query.get("resourceVersionMatch"))?;
        let bookmarks = query.is_true("allowWatchBookmarks");
        if let Some(asked) = asked.filter(|rv| *rv > newest) {
            return Err(store_error(store::Error::Future(asked, newest)));
        }
        let lists_first = sends_initial.unwrap_or(matches!(asked, None | Some(0)));
        let mut initial = Vec::new();
        let mut after = asked.unwrap_or(newest);
        if lists_first {
            let listed = self.initial(call, &filter)?;
            after = listed.revision;
            initial = listed.entries.into_iter().map(|e| e.value).collect();
        } else if matches!(asked, None | Some(0)) {
            after = newest;
        }
        let prefix = filter.prefix(&call.resource);
        let topic = self.watches.topic(&keys::resource_prefix(&call.resource.storage_group, &call.resource.gvr.resource));
        let subscription = topic.subscribe(&*self.options.store, &prefix, filter, after);
        let subscription = match subscription {
            Ok(subscription) => subscription,
            // as watch upstream: the stream opens and says that it is too old.
            Err(error @ store::Error::Compacted(..)) => return Ok(error_stream(&store_error(error))),
            Err(error) => return Err(store_error(error)),
        };
        let options = StreamOptions {
            initial,
            marks_initial_end: sends_initial == Some(true) && bookmarks,
            initial_revision: after,
            bookmarks,
            timeout: self.watch_timeout(query.get("timeoutSeconds"))?,
            api_version: call.resource.gvk().api_version(),
            kind: call.resource.kind.clone(),
            form: self.form(call)?,
        };
        let runtime = self.options.runtime.clone();
        let chunks = stream(subscription, self.watches.clone(), options, async move { runtime.stopping().await });
        Ok(self.finish(call, answers::respond(200, "application/json", answers::stream(chunks))))
    }

    fn initial(&self, call: &Call, filter: &crate::watch::Filter) -> Result<super::list::Listed, Status> {
        let mut info = call.info.clone();
        // The list before a watch is always whole and newest.
        for parameter in ["limit", "continue", "resourceVersion", "resourceVersionMatch"] {
            info.query.0.remove(parameter);
        }
        self.listed(&call.step(info, call.path.clone(), Bytes::new()), filter)
    }

    fn watch_timeout(&self, asked: Option<&str>) -> Result<Duration, Status> {
        match asked.filter(|t| !t.is_empty()) {
            None => {
                let mut random = [0u8; 2];
                self.options.entropy.fill(&mut random);
                Ok(Duration::from_secs(WATCH_SECONDS + u64::from(u16::from_le_bytes(random)) % WATCH_SECONDS))
            }
            Some(text) => {
                let seconds = text.parse::<u64>().map_err(|_| Status::bad_request(format!("timeoutSeconds: {text:?} is not a number")))?;
                Ok(if seconds == 0 { Duration::from_secs(WATCH_SECONDS) } else { Duration::from_secs(seconds.min(WATCH_SECONDS_MAX)) })
            }
        }
    }

    /// Returns how stored bytes become what the watcher accepts.
    fn form(&self, call: &Call) -> Result<watch::Form, Status> {
        let resource = call.resource.clone();
        let form = call.accepted.form;
        match form {
            Form::Object if resource.is_storage_version() => return Ok(watch::Form::Stored),
            Form::Metadata if resource.is_storage_version() => return Ok(watch::Form::Metadata),
            Form::Object | Form::Metadata | Form::Table => {}
        }
        let include = table::Include::parse(call.info.query.get("includeObject"))?;
        let clock = self.options.runtime.clock.clone();
        Ok(watch::Form::Converted(Arc::new(move |bytes| {
            let Ok(mut value) = serde_json::from_slice::<Value>(bytes) else { return Bytes::copy_from_slice(bytes) };
            if !resource.is_storage_version() {
                value = convert::from_storage(&resource, value);
            }
            let shown = match form {
                Form::Object => value,
                Form::Metadata => partial_metadata(&value),
                Form::Table => {
                    let metadata = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                    table::render(&resource, &[value], &metadata, include, clock.now())
                }
            };
            shown.to_string().into()
        })))
    }
}

/// Returns the `sendInitialEvents` parameter, checked against its companion.
fn initial_events(asked: Option<&str>, rule: Option<&str>) -> Result<Option<bool>, Status> {
    let asked = match asked {
        None | Some("") => None,
        Some("true" | "1") => Some(true),
        Some(_) => Some(false),
    };
    match (asked, rule.filter(|r| !r.is_empty())) {
        (Some(_), Some("NotOlderThan")) | (None, None) => Ok(asked),
        (Some(_), _) => Err(Status::new(
            422,
            "Invalid",
            "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        )),
        (None, Some(_)) => Err(Status::new(
            422,
            "Invalid",
            "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        )),
    }
}

fn error_stream(status: &Status) -> Response<Body> {
    let event = json!({"type": "ERROR", "object": status.to_value()});
    answers::respond(200, "application/json", answers::full(format!("{event}\n")))
}
