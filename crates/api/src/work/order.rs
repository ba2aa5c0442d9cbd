//! Orders: what a cluster is asked to do once with an Application that a ManifestWork brings.
//!
//! A work is kept as it is: an `operation` in its manifests would be asked for again each time. An order stands beside them, in
//! the annotation [`ORDERS`] of the work, by Application and with an ID. Whoever may update works of a cluster may order;
//! the hub writes down who it was. The agent turns an order into the `operation` of its Application, as `argocd app
//! sync` does, and into the annotation [`TAKEN`] with the ID, in one write: so it is done once, however often the agent
//! starts, sees it again, or comes back. One that is not taken before it `expires` never is. The condition
//! `muster.dev/OrdersTaken` of the work tells what came of each.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// On a ManifestWork: JSON of [`Orders`].
pub const ORDERS: &str = "muster.dev/orders";
/// On an Application: the ID of the order that was taken last.
pub const TAKEN: &str = "muster.dev/order-taken";
/// Name of the `info` of an operation that holds the order's ID.
pub const INFO: &str = "muster.dev/order";
/// Applications of one work that have an order.
pub const ORDERS_MAX: usize = 64;

/// By `namespace/name` of the Application; a later order takes the place of the one before.
pub type Orders = BTreeMap<String, Order>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Of its own for each asking; one for all clusters that are asked at once.
    pub id: String,
    /// Who asked; the hub writes it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// When it was asked, and from when on it is not to be done any more, by the hub's clock.
    pub at: Timestamp,
    pub expires: Timestamp,
    pub sync: SyncOrder,
}

/// What to sync, in the words of Argo CD's `operation.sync`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncOrder {
    /// Branch, tag or commit; what the cluster knows of the Application's own, if empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub revision: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
}

/// Reads the annotation of a work; no orders if it has none.
pub fn orders(annotation: Option<&str>) -> Result<Orders, String> {
    let Some(text) = annotation else { return Ok(Orders::new()) };
    let orders: Orders = serde_json::from_str(text).map_err(|error| format!("metadata.annotations[{ORDERS}] is not readable: {error}"))?;
    if orders.len() > ORDERS_MAX {
        return Err(format!("metadata.annotations[{ORDERS}] has {} orders; a work may have {ORDERS_MAX}", orders.len()));
    }
    match orders.iter().find(|(app, order)| order.id.is_empty() || !app.contains('/')) {
        Some((app, _)) => Err(format!("metadata.annotations[{ORDERS}]: {app:?} must be namespace/name and have an id")),
        None => Ok(orders),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_or_what_is_wrong_is_named() {
        assert_eq!(orders(None), Ok(Orders::new()));
        let good = r#"{"argocd/edge":{"id":"a","at":"2026-11-23T07:00:00Z","expires":"2026-11-23T08:00:00Z","sync":{"prune":true}}}"#;
        let read = orders(Some(good)).expect("readable");
        assert!(read["argocd/edge"].sync.prune && read["argocd/edge"].by.is_empty());
        assert!(orders(Some("{")).is_err_and(|why| why.contains(ORDERS)));
        assert!(orders(Some(&good.replace("\"a\"", "\"\""))).is_err_and(|why| why.contains("argocd/edge")));
    }
}
