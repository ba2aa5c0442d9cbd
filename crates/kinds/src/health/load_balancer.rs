//! Service and Ingress: an address is there, where one is asked for.

use serde_json::Value;

use super::{Health, healthy, progressing};
use crate::items;

pub(super) fn service(object: &Value) -> Health {
    if object["spec"]["type"] == "LoadBalancer" { ingress(object) } else { healthy("") }
}

pub(super) fn ingress(object: &Value) -> Health {
    if items(object, "/status/loadBalancer/ingress").is_empty() { progressing("no address assigned yet") } else { healthy("") }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn an_address_makes_it_healthy() {
        check("{apiVersion: v1, kind: Service, spec: {type: ClusterIP}}", "Healthy");
        check("{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}}", "Progressing: no address assigned yet");
        check(
            "{apiVersion: v1, kind: Service, spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: 10.0.0.1}]}}}",
            "Healthy",
        );
        check("{apiVersion: networking.k8s.io/v1, kind: Ingress}", "Progressing: no address assigned yet");
        check("{apiVersion: networking.k8s.io/v1, kind: Ingress, status: {loadBalancer: {ingress: [{hostname: a}]}}}", "Healthy");
    }
}
