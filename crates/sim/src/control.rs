//! Orders to a running fleet: take clusters offline, slow them, skew them, reboot them, take an image away.
//!
//! [`Request`] says which clusters and what; [`Fleet::obey`] does it and says to whom it was done. A fleet of processes
//! listens on a Unix socket that only its owner may open ([`listen`], [`ask`]): one JSON text there, one back.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apimachinery::selector::LabelSelector;
use controller::Runtime;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
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
const SENDERS_MAX: usize = 8;
/// Clusters rebooted at once: each parses and writes all it has.
const REBOOTS_AT_ONCE: usize = 4;
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
}

/// An order and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
        let chosen = self.chosen(request)?;
        match &request.order {
            Order::Show => {}
            Order::Offline => chosen.iter().for_each(|store| store.set_link(Quality::Offline)),
            Order::Online => chosen.iter().for_each(|store| store.set_link(Quality::Online)),
            Order::Slow { latency_ms } => chosen.iter().for_each(|store| store.set_link(Quality::Slow { latency_ms: *latency_ms })),
            Order::Skew { by } => {
                let skew =
                    crate::spec::signed_duration(by).ok_or_else(|| Error::Refused(format!("{by:?} is no duration such as 90s or -5m")))?;
                reboot(&chosen, Some(skew)).await?;
            }
            Order::Reboot => reboot(&chosen, None).await?,
            Order::BadImage { image } => {
                let rule = format!("image: {}\nfault: image-not-found", serde_json::Value::from(image.as_str()));
                let name = format!("{RULE}{:08x}", crate::workloads::fnv(image.as_bytes()) as u32);
                for store in &chosen {
                    change_faults(store, Some((name.clone(), rule.clone()))).await?;
                }
            }
            Order::GoodImages => {
                for store in &chosen {
                    change_faults(store, None).await?;
                }
            }
        }
        let mut states = Vec::new();
        for store in chosen {
            states.push(state(store).await?);
        }
        Ok(states)
    }

    fn chosen(&self, request: &Request) -> Result<Vec<&Store>, Error> {
        let selector = LabelSelector::parse(&request.selector).map_err(|e| Error::Refused(format!("--selector: {e}")))?;
        for wanted in &request.clusters {
            if !self.stores().any(|store| is_named(wanted, &store.spec().name)) {
                return Err(Error::Refused(format!("there is no cluster {wanted}; `muster sim list` shows those there are")));
            }
        }
        let is_wanted =
            |store: &&Store| request.clusters.is_empty() || request.clusters.iter().any(|wanted| is_named(wanted, &store.spec().name));
        let chosen: Vec<&Store> = self.stores().filter(is_wanted).filter(|store| selector.matches(&store.spec().labels)).collect();
        if chosen.is_empty() {
            return Err(Error::Refused(format!("no cluster has labels {}", request.selector)));
        }
        Ok(chosen)
    }
}

fn is_named(wanted: &str, name: &str) -> bool {
    match wanted.split_once("..") {
        // Names of one length sort as their numbers do.
        Some((first, last)) => name.len() == first.len() && name.len() == last.len() && (first..=last).contains(&name),
        None => faults::glob(wanted, name),
    }
}

async fn reboot(stores: &[&Store], skew: Option<jiff::SignedDuration>) -> Result<(), Error> {
    // Boxed one by one: the compiler cannot prove a stream of closures' futures `Send` here.
    let mut rebooting: Vec<BoxFuture<'_, Result<(), Error>>> = Vec::new();
    for store in stores {
        rebooting.push(reboot_one(store, skew).boxed());
    }
    futures::stream::iter(rebooting).buffer_unordered(REBOOTS_AT_ONCE).try_collect().await
}

async fn reboot_one(store: &Store, skew: Option<jiff::SignedDuration>) -> Result<(), Error> {
    store.reboot_with_skew(skew.unwrap_or_else(|| store.skew())).await.map_err(|error| refused(store, &error))
}

/// Adds a rule, or takes away all that were added so.
async fn change_faults(store: &Store, added: Option<(String, String)>) -> Result<(), Error> {
    let mut rules = store.faults().await.map_err(|error| refused(store, &error))?;
    match added {
        Some((name, rule)) => drop(rules.insert(name, rule)),
        None => rules.retain(|name, _| !name.starts_with(RULE)),
    }
    store.set_faults(rules).await.map_err(|error| refused(store, &error))
}

fn refused(store: &Store, error: &crate::cluster::Error) -> Error {
    Error::Refused(format!("{}: {error}", store.spec().name))
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
    // One that an earlier process left is nobody's.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let senders = Arc::new(Semaphore::new(SENDERS_MAX));
    runtime.spawn("orders", async move {
        loop {
            let Ok(turn) = senders.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else { continue };
            let fleet = fleet.clone();
            tokio::spawn(async move {
                if let Err(error) = tokio::time::timeout(ANSWER_TIMEOUT, answer(&fleet, stream)).await.unwrap_or(Ok(())) {
                    tracing::debug!(%error, "an order was not answered");
                }
                drop(turn);
            });
        }
    });
    Ok(())
}

async fn answer(fleet: &Fleet, mut stream: UnixStream) -> std::io::Result<()> {
    let mut text = Vec::new();
    (&mut stream).take(MESSAGE_BYTES_MAX).read_to_end(&mut text).await?;
    let answer = match serde_json::from_slice::<Request>(&text) {
        Ok(request) => {
            tracing::info!(?request, "ordered");
            fleet.obey(&request).await.map_or_else(|error| Answer::Refused(error.to_string()), Answer::Done)
        }
        Err(error) => Answer::Refused(format!("the order is not understood: {error}")),
    };
    stream.write_all(&serde_json::to_vec(&answer)?).await?;
    stream.shutdown().await
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

    #[test]
    fn a_request_is_readable() {
        let request = Request { clusters: vec!["store-*".into()], selector: String::new(), order: Order::Slow { latency_ms: 300 } };
        let text = serde_json::to_string(&request).expect("JSON");
        assert_eq!(text, r#"{"clusters":["store-*"],"selector":"","order":"slow","latencyMs":300}"#);
        assert_eq!(serde_json::from_str::<Request>(&text).expect("a request"), request);
    }
}
