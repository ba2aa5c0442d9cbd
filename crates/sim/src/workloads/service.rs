//! Service: a cluster address, a load balancer's where asked for, and the endpoints behind it.
//!
//! Nothing listens on these addresses; they are there because health rules and people look at them.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Action, Plan};
use crate::kind::Kind;
use crate::model::{EndpointSlice, IntOrPercent, Pod, Service};

/// A Service, the pods of its namespace, and its EndpointSlice.
pub struct Observed<'a> {
    pub service: &'a Service,
    pub pods: Vec<&'a Pod>,
    pub slice: Option<&'a EndpointSlice>,
    /// Address to give if the Service has none yet.
    pub free_ip: Ipv4Addr,
    pub node_ip: String,
}

pub fn reconcile(seen: &Observed, _now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (service, meta) = (seen.service, &seen.service.metadata);
    if meta.is_being_deleted() || service.spec.kind == "ExternalName" {
        return plan;
    }
    let mut patch = json!({});
    if service.spec.cluster_ip.is_empty() {
        patch["clusterIP"] = json!(seen.free_ip.to_string());
        patch["clusterIPs"] = json!([seen.free_ip.to_string()]);
    }
    if patch.as_object().is_some_and(|p| !p.is_empty()) {
        plan.patch(Kind::Service, meta, json!({"spec": patch}));
    }
    if service.spec.kind == "LoadBalancer" {
        let status = json!({"loadBalancer": {"ingress": [{"ip": seen.node_ip, "ipMode": "VIP"}]}});
        plan.set_status(Kind::Service, meta, &service.status, status);
    }
    if !service.spec.selector.is_empty() {
        publish_endpoints(seen, &mut plan);
    }
    plan
}

fn publish_endpoints(seen: &Observed, plan: &mut Plan) {
    let (service, meta) = (seen.service, &seen.service.metadata);
    let mut behind: Vec<&Pod> = seen
        .pods
        .iter()
        .copied()
        .filter(|pod| !pod.is_finished() && !pod.status.pod_ip.is_empty())
        .filter(|pod| service.spec.selector.iter().all(|(k, v)| pod.metadata.labels.get(k) == Some(v)))
        .collect();
    behind.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let endpoints: Vec<Value> = behind
        .iter()
        .map(|pod| {
            let terminating = pod.metadata.is_being_deleted();
            let ready = pod.status.ready && !terminating || service.spec.publish_not_ready_addresses;
            json!({
                "addresses": [pod.status.pod_ip],
                "conditions": {"ready": ready, "serving": pod.status.ready, "terminating": terminating},
                "nodeName": pod.spec.node_name,
                "targetRef": {"kind": "Pod", "namespace": meta.namespace, "name": pod.metadata.name, "uid": pod.metadata.uid},
            })
        })
        .collect();
    let ports: Vec<Value> = service
        .spec
        .ports
        .iter()
        .map(|port| {
            // A named target port would need the container's port list; the Service's own number stands in.
            let number = match &port.target_port {
                Some(IntOrPercent::Int(n)) if *n > 0 => *n,
                _ => port.port,
            };
            json!({"name": port.name.clone().unwrap_or_default(), "port": number, "protocol": port.protocol.as_deref().unwrap_or("TCP")})
        })
        .collect();
    let (endpoints, ports) = (Value::Array(endpoints), Value::Array(ports));
    match seen.slice {
        Some(slice) if slice.endpoints.value() == endpoints && slice.ports.value() == ports => {}
        Some(slice) => plan.patch(Kind::EndpointSlice, &slice.metadata, json!({"endpoints": endpoints, "ports": ports})),
        None => plan.act(Action::Create {
            kind: Kind::EndpointSlice,
            object: json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": slice_name(&meta.name), "namespace": meta.namespace,
                    "labels": {
                        "kubernetes.io/service-name": meta.name,
                        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                    },
                    "ownerReferences": [meta.owner_reference("v1", "Service")],
                },
                "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
            }),
        }),
    }
}

/// Returns the name of the one slice of a Service; the same each time, so that none is made twice.
pub fn slice_name(service: &str) -> String {
    format!("{service}-{}", &super::template_hash(service)[..5])
}
