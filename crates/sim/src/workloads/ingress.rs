//! Ingress: the address of the cluster's own controller, as k3s' Traefik publishes it. Nothing listens there.

use jiff::Timestamp;
use serde_json::json;

use super::Plan;
use crate::kind::Kind;
use crate::model::Ingress;

pub struct Observed<'a> {
    pub ingress: &'a Ingress,
    pub node_ip: String,
}

pub fn reconcile(seen: &Observed, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (ingress, meta) = (seen.ingress, &seen.ingress.metadata);
    // A class that says so by name has no controller: the way to order an Ingress that never gets an address.
    if !meta.is_being_deleted() && ingress.spec.ingress_class_name.as_deref() != Some("never") {
        plan.set_status(Kind::Ingress, meta, &ingress.status, json!({"loadBalancer": {"ingress": [{"ip": seen.node_ip}]}}));
    }
    plan
}
