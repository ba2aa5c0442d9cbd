//! Defaults of HorizontalPodAutoscaler. As kubernetes `pkg/apis/autoscaling/v2/defaults.go`.

use serde_json::{Value, json};

use crate::edit::{at, ensure, get, is_empty, put, set};

/// Target utilization of CPU where nothing is said, in percent.
const CPU: i32 = 80;

pub fn v1(autoscaler: &mut Value) {
    let has_metrics = !get(autoscaler, &["metadata", "annotations", "autoscaling.alpha.kubernetes.io/metrics"]).is_null();
    let spec = ensure(autoscaler, "spec");
    set(spec, "minReplicas", 1);
    if !has_metrics {
        set(spec, "targetCPUUtilizationPercentage", CPU);
    }
}

pub fn v2(autoscaler: &mut Value) {
    let spec = ensure(autoscaler, "spec");
    set(spec, "minReplicas", 1);
    if is_empty(get(spec, &["metrics"])) {
        let target = json!({"type": "Utilization", "averageUtilization": CPU});
        put(spec, "metrics", json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]));
    }
    if let Some(behavior) = at(spec, &["behavior"]) {
        let up = ensure(behavior, "scaleUp");
        set(up, "stabilizationWindowSeconds", 0);
        set(up, "selectPolicy", "Max");
        let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
        let all = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
        set(up, "policies", json!([pods, all]));
        let down = ensure(behavior, "scaleDown");
        set(down, "selectPolicy", "Max");
        set(down, "policies", json!([all]));
    }
}
