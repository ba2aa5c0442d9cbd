//! Orders to a running fleet: take clusters offline, slow them, skew them, reboot them, take an image away, plug one in.
//!
//! [`Request`] says which clusters and what; [`Fleet::obey`] does it and says to whom it was done. A fleet of processes
//! listens on a Unix socket that only its owner may open ([`listen`], [`ask`]): one JSON text there, one back.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::selector::LabelSelector;
use controller::Runtime;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::cluster::Store;
use crate::faults;
use crate::fleet::Fleet;
use crate::link::Quality;

const MESSAGE_BYTES_MAX: u64 = 4 << 20;
/// A fleet of three thousand is rebooted in a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);
/// An order that takes longer is told to go on.
const OBEY_TIMEOUT: Duration = Duration::from_secs(280);
const REBOOTS_TIMEOUT: Duration = Duration::from_secs(240);
/// A request is a few kilobytes from the same machine.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Files may be used up: they come back.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);
const SENDERS_MAX: usize = 8;
/// Clusters rebooted at once: each parses and writes all it has.
const REBOOTS_AT_ONCE: usize = 4;
/// Reboots that wait for their turn: a fleet of thousands, twice.
const REBOOTS_MAX: usize = 10_000;
/// Clusters that a sentence names.
const NAMED_MOST: usize = 5;
/// Of rules that this module sets in `kube-system/sim-faults`; others are left alone.
const RULE: &str = "ordered-";

/// What happens to clusters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "order")]
pub enum Order {
    /// Nothing but say how they are.
    Show,
    /// The link to the hub and to Git is cut; the cluster goes on by itself.
    Offline,
    Online,
    /// Every answer, and every piece of a stream, takes so much longer.
    Slow {
        latency_ms: u32,
    },
    /// The clock goes so far ahead, as `90s`, or behind, as `-90s`; `0s` sets it right. The cluster is rebooted.
    Skew {
        by: String,
    },
    /// The cluster ends and starts again with what it had.
    Reboot,
    /// An image (with `*` and `?`) cannot be pulled any more, by pods that start from now on.
    BadImage {
        image: String,
    },
    /// What was ordered of images is over.
    GoodImages,
    /// Spare clusters, by name, are switched on for the first time.
    PlugIn,
}

/// An order and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Names, ranges as `store-0003..store-0007`, patterns as `store-*`; all of the fleet if none is given.
    #[serde(default)]
    pub clusters: Vec<String>,
    /// A label selector, as kubectl's `-l`.
    #[serde(default)]
    pub selector: String,
    #[serde(flatten)]
    pub order: Order,
}

/// How a cluster is after an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub cluster: String,
    pub labels: BTreeMap<String, String>,
    /// `online`, `offline`, or `slow (300 ms)`.
    pub link: String,
    /// How far the clock is ahead, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub clock_skew: String,
    /// Images that cannot be pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_images: Vec<String>,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    #[serde(rename = "clusters")]
    Done(Vec<State>),
    #[serde(rename = "error")]
    Refused(String),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Refused(String),
    #[error("the simulator cannot be asked at {path}: {problem}")]
    Unreachable { path: String, problem: String },
}

impl Fleet {
    /// Carries out an order; returns how the clusters are that it was for.
    pub async fn obey(&self, request: &Request) -> Result<Vec<State>, Error> {
        if request.order == Order::PlugIn {
            if request.clusters.is_empty() || !request.selector.is_empty() {
                return Err(Error::Refused("a spare cluster is plugged in by its name".to_owned()));
            }
            for name in &request.clusters {
                self.plug_in(name).await.map_err(Error::Refused)?;
            }
        }
        let chosen = self.chosen(request)?;
        match &request.order {
            Order::Show | Order::PlugIn => {}
            Order::Offline => chosen.iter().for_each(|store| store.set_link(Quality::Offline)),
            Order::Online => chosen.iter().for_each(|store| store.set_link(Quality::Online)),
            Order::Slow { latency_ms } => chosen.iter().for_each(|store| store.set_link(Quality::Slow { latency_ms: *latency_ms })),
            Order::Skew { by } => {
                let skew = crate::spec::skew(by).map_err(|problem| Error::Refused(format!("by: {problem}")))?;
                self.reboots.carry_out(&chosen, Some(skew)).await?;
            }
            Order::Reboot => self.reboots.carry_out(&chosen, None).await?,
            Order::BadImage { image } => {
                let rule = format!("image: {}\nfault: image-not-found", serde_json::Value::from(image.as_str()));
                let name = format!("{RULE}{:08x}", crate::workloads::fnv(image.as_bytes()) as u32);
                for store in &chosen {
                    let changed = store.change_faults([(name.clone(), Some(rule.clone()))].into()).await;
                    changed.map_err(|error| refused(store, &error))?;
                }
            }
            Order::GoodImages => {
                for store in &chosen {
                    good_images(store).await?;
                }
            }
        }
        let mut states = Vec::new();
        for store in &chosen {
            states.push(state(store).await?);
        }
        Ok(states)
    }

    fn chosen(&self, request: &Request) -> Result<Vec<Arc<Store>>, Error> {
        let selector = LabelSelector::parse(&request.selector).map_err(|e| Error::Refused(format!("--selector: {e}")))?;
        for wanted in &request.clusters {
            if !self.stores().any(|store| is_named(wanted, &store.spec().name)) {
                return Err(Error::Refused(format!("there is no cluster {wanted}; `muster sim list` shows those there are")));
            }
        }
        let is_wanted =
            |store: &Arc<Store>| request.clusters.is_empty() || request.clusters.iter().any(|wanted| is_named(wanted, &store.spec().name));
        let chosen: Vec<Arc<Store>> = self.stores().filter(is_wanted).filter(|store| selector.matches(&store.spec().labels)).collect();
        if chosen.is_empty() {
            return Err(Error::Refused(format!("no cluster has labels {}", request.selector)));
        }
        Ok(chosen)
    }
}

pub(crate) fn is_named(wanted: &str, name: &str) -> bool {
    match wanted.split_once("..") {
        // Names of one length sort as their numbers do.
        Some((first, last)) => name.len() == first.len() && name.len() == last.len() && (first..=last).contains(&name),
        None => faults::glob(wanted, name),
    }
}

/// Reboots of a fleet. Each is a task of its own: what ends an order never leaves a cluster between two lives.
pub(crate) struct Reboots {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Default for Reboots {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(REBOOTS_MAX)), turns: Arc::new(Semaphore::new(REBOOTS_AT_ONCE)) }
    }
}

impl Reboots {
    /// Reboots all, and says which failed, or how many are not back in time.
    async fn carry_out(&self, stores: &[Arc<Store>], skew: Option<jiff::SignedDuration>) -> Result<(), Error> {
        let count = u32::try_from(stores.len()).unwrap_or(u32::MAX);
        let Ok(mut places) = self.places.clone().try_acquire_many_owned(count) else {
            let under_way = REBOOTS_MAX - self.places.available_permits();
            return Err(Error::Refused(format!("{under_way} reboots are under way, at most {REBOOTS_MAX} wait; order it again later")));
        };
        let mut rebooting = FuturesUnordered::new();
        for store in stores {
            let (store, turns, place) = (store.clone(), self.turns.clone(), places.split(1));
            let name = store.spec().name.clone();
            let task = tokio::spawn(async move {
                let _place = place;
                let _turn = turns.acquire_owned().await;
                store.reboot_with_skew(skew.unwrap_or_else(|| store.skew())).await
            });
            // The task goes on when its handle is dropped.
            rebooting.push(async move {
                match task.await {
                    Ok(rebooted) => rebooted.map_err(|error| (name, causes(&error))),
                    Err(panic) => Err((name, panic.to_string())),
                }
            });
        }
        let deadline = tokio::time::Instant::now() + REBOOTS_TIMEOUT;
        let mut failed = Vec::new();
        while !rebooting.is_empty() {
            match tokio::time::timeout_at(deadline, rebooting.next()).await {
                Ok(Some(Err(problem))) => failed.push(problem),
                Ok(Some(Ok(())) | None) => {}
                Err(_) => {
                    let left = rebooting.len();
                    let words = format!("still rebooting {left} of {count} clusters; `muster sim list` shows when they are back");
                    return Err(Error::Refused(if failed.is_empty() { words } else { format!("{}; {words}", told(&failed)) }));
                }
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(Error::Refused(told(&failed))) }
    }
}

/// Names clusters that did not come back.
fn told(failed: &[(String, String)]) -> String {
    let named: Vec<String> = failed.iter().take(NAMED_MOST).map(|(cluster, problem)| format!("{cluster}: {problem}")).collect();
    let more = failed.len().saturating_sub(NAMED_MOST);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{} clusters did not come back, reboot them again: {}{more}", failed.len(), named.join("; "))
}

/// Takes away the rules that were ordered.
async fn good_images(store: &Store) -> Result<(), Error> {
    let rules = store.faults().await.map_err(|error| refused(store, &error))?;
    let ordered: BTreeMap<String, Option<String>> =
        rules.into_keys().filter(|name| name.starts_with(RULE)).map(|name| (name, None)).collect();
    if ordered.is_empty() {
        return Ok(());
    }
    store.change_faults(ordered).await.map_err(|error| refused(store, &error))
}

fn refused(store: &Store, error: &crate::cluster::Error) -> Error {
    Error::Refused(format!("{}: {}", store.spec().name, causes(error)))
}

/// Returns an error with what led to it.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

async fn state(store: &Store) -> Result<State, Error> {
    let rules = store.faults().await.map_err(|error| refused(store, &error))?;
    let image =
        |rule: &String| rule.lines().next().and_then(|line| line.strip_prefix("image: ")).map(|text| text.trim_matches('"').to_owned());
    let skew = store.skew();
    Ok(State {
        cluster: store.spec().name.clone(),
        labels: store.spec().labels.clone(),
        link: match store.link() {
            Quality::Online => "online".into(),
            Quality::Offline => "offline".into(),
            Quality::Slow { latency_ms } => format!("slow ({latency_ms} ms)"),
        },
        clock_skew: if skew.is_zero() { String::new() } else { format!("{skew:#}") },
        bad_images: rules.iter().filter(|(name, _)| name.starts_with(RULE)).filter_map(|(_, rule)| image(rule)).collect(),
    })
}

/// Takes orders on a socket until the runtime stops.
pub fn listen(runtime: &Runtime, fleet: Arc<Fleet>, path: &Path) -> std::io::Result<()> {
    let listener = bind(path)?;
    let senders = Arc::new(Semaphore::new(SENDERS_MAX));
    runtime.spawn("orders", async move {
        loop {
            let Ok(turn) = senders.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "no order can be taken, will retry");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                    continue;
                }
            };
            let fleet = fleet.clone();
            tokio::spawn(async move {
                if let Err(error) = answer(&fleet, stream).await {
                    tracing::debug!(%error, "an order was not answered");
                }
                drop(turn);
            });
        }
    });
    Ok(())
}

/// Binds where nobody else may look, until only its owner may open the socket.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
    let hidden = path.with_file_name(".orders");
    let remove = || {
        let _ = std::fs::remove_file(hidden.join("s"));
        let _ = std::fs::remove_dir(&hidden);
    };
    // What an earlier process left is nobody's.
    remove();
    std::fs::DirBuilder::new().mode(0o700).create(&hidden)?;
    let bound = UnixListener::bind(hidden.join("s")).and_then(|listener| {
        std::fs::set_permissions(hidden.join("s"), std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(hidden.join("s"), path)?;
        Ok(listener)
    });
    remove();
    bound
}

async fn answer(fleet: &Fleet, mut stream: UnixStream) -> std::io::Result<()> {
    let mut text = Vec::new();
    tokio::time::timeout(REQUEST_TIMEOUT, (&mut stream).take(MESSAGE_BYTES_MAX).read_to_end(&mut text)).await??;
    let answer = match serde_json::from_slice::<Request>(&text) {
        Ok(request) => {
            tracing::info!(?request, "ordered");
            match tokio::time::timeout(OBEY_TIMEOUT, fleet.obey(&request)).await {
                Ok(Ok(states)) => Answer::Done(states),
                Ok(Err(error)) => Answer::Refused(error.to_string()),
                Err(_) => Answer::Refused(format!("the order was not carried out everywhere within {} s", OBEY_TIMEOUT.as_secs())),
            }
        }
        Err(error) => Answer::Refused(format!("the order is not understood: {error}")),
    };
    let write = async {
        stream.write_all(&serde_json::to_vec(&answer)?).await?;
        stream.shutdown().await
    };
    tokio::time::timeout(REQUEST_TIMEOUT, write).await?
}

/// Gives an order to the fleet that listens on a socket.
pub async fn ask(path: &Path, request: &Request) -> Result<Vec<State>, Error> {
    let unreachable = |problem: String| Error::Unreachable { path: path.display().to_string(), problem };
    let exchange = async {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(&serde_json::to_vec(request)?).await?;
        stream.shutdown().await?;
        let mut text = Vec::new();
        stream.take(16 * MESSAGE_BYTES_MAX).read_to_end(&mut text).await?;
        std::io::Result::Ok(serde_json::from_slice::<Answer>(&text)?)
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
        Ok(Ok(Answer::Done(states))) => Ok(states),
        Ok(Ok(Answer::Refused(problem))) => Err(Error::Refused(problem)),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("it did not answer within {} s", ANSWER_TIMEOUT.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_are_named_by_name_range_or_pattern() {
        assert!(is_named("store-0003", "store-0003") && !is_named("store-0003", "store-0030"));
        assert!(is_named("store-0003..store-0007", "store-0005") && !is_named("store-0003..store-0007", "store-0008"));
        assert!(!is_named("store-0003..store-0007", "store-sim-01"));
        assert!(is_named("web-*", "web-us-east") && !is_named("web-*", "data-us-east"));
    }

    #[tokio::test]
    async fn a_socket_is_its_owners_and_replaces_one_that_was_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sim.sock");
        drop(bind(&path).expect("bound"));
        let listener = bind(&path).expect("bound again");
        assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(dir.path()).expect("read").count(), 1, "nothing is left beside it");
        let (connected, accepted) = tokio::join!(UnixStream::connect(&path), listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
    }

    #[test]
    fn clusters_that_failed_are_named_and_counted() {
        let failed: Vec<_> = (1..=7).map(|n| (format!("store-{n}"), "why".to_owned())).collect();
        let text = told(&failed);
        assert!(text.starts_with("7 clusters") && text.contains("store-5: why") && text.ends_with("; and 2 more"), "{text}");
    }

    #[test]
    fn a_request_is_readable() {
        let request = Request { clusters: vec!["store-*".into()], selector: String::new(), order: Order::Slow { latency_ms: 300 } };
        let text = serde_json::to_string(&request).expect("JSON");
        assert_eq!(text, r#"{"clusters":["store-*"],"selector":"","order":"slow","latencyMs":300}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).expect("a request"), request);
    }
}
