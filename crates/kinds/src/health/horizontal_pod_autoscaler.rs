//! HorizontalPodAutoscaler: the first condition that tells; `autoscaling/v1` keeps them in an annotation.

use serde_json::Value;

use super::{Health, degraded, healthy, progressing};
use crate::{items, text};

const V1_CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

pub(super) fn health(object: &Value) -> Health {
    let annotated: Vec<Value>;
    let mut conditions = items(object, "/status/conditions");
    if conditions.is_empty()
        && let Some(text) = object["metadata"]["annotations"][V1_CONDITIONS].as_str()
    {
        annotated = serde_json::from_str(text).unwrap_or_default();
        conditions = &annotated;
    }
    conditions.iter().find_map(judge).unwrap_or_else(|| progressing("waiting to autoscale"))
}

fn judge(condition: &Value) -> Option<Health> {
    let [kind, reason, message] = ["/type", "/reason", "/message"].map(|p| text(condition, p));
    match (kind, reason) {
        ("AbleToScale", "FailedGetScale" | "FailedUpdateScale") | ("ScalingActive", "InvalidSelector") => Some(degraded(message)),
        ("ScalingActive", metric) if metric.starts_with("FailedGet") && metric.ends_with("Metric") => Some(degraded(message)),
        ("AbleToScale" | "ScalingLimited", _) if condition["status"] == "True" => Some(healthy(message)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn the_first_telling_condition_decides() {
        let of = |conditions: &str| {
            format!("{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, status: {{conditions: [{conditions}]}}}}")
        };
        check(&of(""), "Progressing: waiting to autoscale");
        check(&of("{type: AbleToScale, status: 'False', reason: FailedGetScale, message: gone}"), "Degraded: gone");
        check(&of("{type: ScalingActive, status: 'False', reason: FailedGetResourceMetric, message: none}"), "Degraded: none");
        check(&of("{type: AbleToScale, status: 'True', reason: SucceededRescale, message: fine}"), "Healthy: fine");
        check(
            "{apiVersion: autoscaling/v1, kind: HorizontalPodAutoscaler, metadata: {annotations: {autoscaling.alpha.kubernetes.io/conditions: \
             '[{\"type\":\"ScalingLimited\",\"status\":\"True\",\"reason\":\"TooFewReplicas\",\"message\":\"few\"}]'}}}",
            "Healthy: few",
        );
    }
}
