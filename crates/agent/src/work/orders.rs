//! Takes the orders of a work; see [`api::work::Order`]. What came of each is a condition of the work.

use ::work::{Apply, Outcome, Verdict};
use api::conditions::{FALSE, Said, TRUE, UNKNOWN};
use api::work::{ManifestWork, ORDERS, Orders, condition, orders, reason};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::Value;

use super::act::Done;
use super::observe::{self, Seen};
use super::{LOCAL_TIMEOUT, Works};
use crate::refusal::words;

const FIELD_MANAGER: &str = "muster-orders";
/// Of what is told of one order.
const WHY_CHARS_MAX: usize = 200;
/// A condition that says more is refused by Open Cluster Management's schema, and the whole status with it.
const MESSAGE_CHARS_MAX: usize = 32_000;

/// What came of a work's orders.
#[derive(Default)]
pub struct Told {
    /// None if there are no orders.
    pub said: Option<Said>,
    /// Whether some wait for what no watch may tell of: they are looked at again.
    pub is_waiting: bool,
}

pub async fn take(works: &Works, work: &ManifestWork, seen: &Seen, applies: &[Apply], done: &Done) -> Told {
    if !works.source.is_hub() {
        return Told::default();
    }
    let asked = match orders(work.annotations().get(ORDERS).map(String::as_str)) {
        Ok(asked) if asked.is_empty() => return Told::default(),
        Ok(asked) => asked,
        Err(why) => {
            let said = Said::new(condition::ORDERS_TAKEN, FALSE, reason::ORDER_REFUSED, why);
            return Told { said: Some(said), is_waiting: false };
        }
    };
    take_all(works, work, seen, applies, done, &asked).await
}

async fn take_all(works: &Works, work: &ManifestWork, seen: &Seen, applies: &[Apply], done: &Done, asked: &Orders) -> Told {
    let (mut lines, mut is_waiting, mut is_refused) = (Vec::new(), false, false);
    for (name, order) in asked {
        let verdict = match applies.iter().find(|apply| is_application(apply, name)) {
            // An order is about what the work brings, and about nothing else of the cluster.
            None => Verdict::Refuse("the work brings no such Application".to_owned()),
            Some(apply) => {
                let live = live(seen, apply, done);
                let denied = ::work::denied_order(&work.spec, apply);
                match ::work::decide_order(order, live, denied.as_deref(), works.skew.hub_time(works.clock.now())) {
                    Verdict::Take(patch) => match send(works, apply, &patch).await {
                        Ok(()) => {
                            tracing::info!(application = name, id = order.id, by = order.by, "order taken");
                            Verdict::Taken
                        }
                        Err(error) => Verdict::Wait(words(&error)),
                    },
                    other => other,
                }
            }
        };
        let (word, why) = match &verdict {
            Verdict::Take(_) | Verdict::Taken => ("taken", ""),
            Verdict::Wait(why) => ("waiting", why.as_str()),
            Verdict::Refuse(why) => ("refused", why.as_str()),
        };
        is_waiting |= word == "waiting";
        is_refused |= word == "refused";
        let why: String = why.chars().take(WHY_CHARS_MAX).collect();
        lines.push(format!("{name} {} {word}{}{why}", order.id, if why.is_empty() { "" } else { ": " }));
    }
    let (status, reason) = match (is_refused, is_waiting) {
        (true, _) => (FALSE, reason::ORDER_REFUSED),
        (false, true) => (UNKNOWN, reason::ORDER_WAITING),
        (false, false) => (TRUE, reason::ORDERS_TAKEN),
    };
    let message: String = lines.join("\n").chars().take(MESSAGE_CHARS_MAX).collect();
    Told { said: Some(Said::new(condition::ORDERS_TAKEN, status, reason, message)), is_waiting }
}

fn is_application(apply: &Apply, name: &str) -> bool {
    apply.id.group == api::argo::GROUP
        && apply.id.resource == "applications"
        && name.split_once('/') == Some((apply.id.namespace.as_str(), apply.id.name.as_str()))
}

/// Returns the Application as it is after the apply.
fn live<'a>(seen: &'a Seen, apply: &Apply, done: &'a Done) -> Option<&'a Value> {
    match done.outcomes.get(&apply.ordinal) {
        Some(Outcome::Done(Some(object))) => Some(object),
        _ => seen.live(&apply.id),
    }
}

/// Writes an operation and the order's ID into the Application, both or neither.
async fn send(works: &Works, apply: &Apply, patch: &Value) -> Result<(), kube::Error> {
    let api = observe::api(&works.local, &apply.id, &apply.kind);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let patch = Patch::Merge(patch);
    let sent = tokio::time::timeout(LOCAL_TIMEOUT, api.patch(&apply.id.name, &params, &patch)).await;
    works.watches.touch(&apply.id);
    match sent {
        Ok(sent) => sent.map(drop),
        Err(_) => Err(kube::Error::Service(format!("no answer within {} s", LOCAL_TIMEOUT.as_secs()).into())),
    }
}
