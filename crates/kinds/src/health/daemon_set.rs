//! DaemonSet: a node counts when its pod is of the latest template and available.

use serde_json::Value;

use super::{Health, healthy, is_stale, progressing};
use crate::number;

pub(super) fn health(object: &Value) -> Health {
    if is_stale(object) {
        return progressing("the rollout has not started: the latest spec is not observed yet");
    }
    let [desired, updated, available] =
        ["/status/desiredNumberScheduled", "/status/updatedNumberScheduled", "/status/numberAvailable"].map(|p| number(object, p));
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return healthy(format!("{updated} of {desired} pods are updated; the others are when they are deleted"));
    }
    if updated < desired {
        return progressing(format!("{updated} of {desired} pods are updated"));
    }
    if available < desired {
        return progressing(format!("{available} of {desired} updated pods are available"));
    }
    healthy("")
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn a_rollout_is_progressing_until_every_node_has_an_available_pod() {
        let of = |spec: &str, generation: u32, updated: u32, available: u32| {
            format!(
                "{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{generation: {generation}}}, spec: {{{spec}}}, status: \
                 {{observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: {updated}, numberAvailable: {available}}}}}"
            )
        };
        check(&of("", 2, 2, 2), "Progressing: the rollout has not started: the latest spec is not observed yet");
        check(&of("", 1, 1, 2), "Progressing: 1 of 2 pods are updated");
        check(&of("", 1, 2, 1), "Progressing: 1 of 2 updated pods are available");
        check(&of("", 1, 2, 2), "Healthy");
        check(&of("updateStrategy: {type: OnDelete}", 1, 0, 2), "Healthy: 0 of 2 pods are updated; the others are when they are deleted");
    }
}
