//! StatefulSet: ready count first, then the update by its strategy.

use serde_json::Value;

use super::{Health, healthy, is_stale, progressing};
use crate::{number, text};

pub(super) fn health(object: &Value) -> Health {
    if number(object, "/status/observedGeneration") == 0 || is_stale(object) {
        return progressing("the latest spec is not observed yet");
    }
    let wanted = object["spec"]["replicas"].as_i64();
    let [ready, updated] = ["/status/readyReplicas", "/status/updatedReplicas"].map(|p| number(object, p));
    if let Some(wanted) = wanted
        && ready < wanted
    {
        return progressing(format!("{} pods are not ready yet", wanted - ready));
    }
    let strategy = &object["spec"]["updateStrategy"];
    if strategy["type"] == "RollingUpdate" && !strategy["rollingUpdate"].is_null() {
        // A partition above the count wants nothing updated.
        if let (Some(wanted), Some(partition)) = (wanted, strategy["rollingUpdate"]["partition"].as_i64())
            && updated < wanted - partition
        {
            return progressing(format!("partitioned rollout: {updated} of {} pods are updated", wanted - partition));
        }
        return healthy(format!("partitioned rollout complete: {updated} pods are updated"));
    }
    if strategy["type"] == "OnDelete" {
        return healthy(format!("{ready} pods are ready"));
    }
    let [update_revision, current_revision] = ["/status/updateRevision", "/status/currentRevision"].map(|p| text(object, p));
    if update_revision != current_revision {
        return progressing(format!("{updated} pods are at revision {update_revision}"));
    }
    healthy("")
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    fn of(spec: &str, status: &str) -> String {
        format!("{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{generation: 1}}, spec: {{{spec}}}, status: {{{status}}}}}")
    }

    #[test]
    fn health_follows_ready_pods_then_the_strategy() {
        check(&of("replicas: 1", ""), "Progressing: the latest spec is not observed yet");
        check(&of("replicas: 3", "observedGeneration: 1, readyReplicas: 1"), "Progressing: 2 pods are not ready yet");
        let partition = "replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 1}}";
        check(
            &of(partition, "observedGeneration: 1, readyReplicas: 3, updatedReplicas: 1"),
            "Progressing: partitioned rollout: 1 of 2 pods are updated",
        );
        check(
            &of(partition, "observedGeneration: 1, readyReplicas: 3, updatedReplicas: 2"),
            "Healthy: partitioned rollout complete: 2 pods are updated",
        );
        check(
            &of(
                "replicas: 1, updateStrategy: {type: OnDelete}",
                "observedGeneration: 1, readyReplicas: 1, updateRevision: b, currentRevision: a",
            ),
            "Healthy: 1 pods are ready",
        );
        check(
            &of("replicas: 1", "observedGeneration: 1, readyReplicas: 1, updateRevision: b, currentRevision: a"),
            "Progressing: 0 pods are at revision b",
        );
        check(&of("replicas: 1", "observedGeneration: 1, readyReplicas: 1, updateRevision: a, currentRevision: a"), "Healthy");
    }
}
