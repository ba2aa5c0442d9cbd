//! ReplicaSet: available replicas, or why none can be made.

use serde_json::Value;

use super::{Health, degraded, healthy, is_stale, progressing};
use crate::{condition, number, text};

pub(super) fn health(object: &Value) -> Health {
    if is_stale(object) {
        return progressing("the latest spec is not observed yet");
    }
    if let Some(failure) = condition(object, "ReplicaFailure").filter(|c| c["status"] == "True") {
        return degraded(text(failure, "/message"));
    }
    let available = number(object, "/status/availableReplicas");
    match object["spec"]["replicas"].as_i64() {
        Some(wanted) if available < wanted => progressing(format!("{available} of {wanted} replicas are available")),
        _ => healthy(""),
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn a_replica_failure_is_degraded() {
        let of = |status: &str| format!("{{apiVersion: apps/v1, kind: ReplicaSet, spec: {{replicas: 2}}, status: {{{status}}}}}");
        check(&of("availableReplicas: 1"), "Progressing: 1 of 2 replicas are available");
        check(&of("availableReplicas: 2"), "Healthy");
        check(&of("conditions: [{type: ReplicaFailure, status: 'True', message: quota}]"), "Degraded: quota");
    }
}
