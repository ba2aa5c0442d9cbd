//! HorizontalPodAutoscaler: keeps its Deployment between its bounds. Nothing is measured here, so load is always as asked.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Condition, Plan, api_time, condition};
use crate::kind::Kind;
use crate::model::{Deployment, HorizontalPodAutoscaler};

/// As upstream's sync period.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(15);

pub struct Observed<'a> {
    pub autoscaler: &'a HorizontalPodAutoscaler,
    /// What it scales, if that is a Deployment that is there.
    pub deployment: Option<&'a Deployment>,
}

pub fn reconcile(seen: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let (autoscaler, meta) = (seen.autoscaler, &seen.autoscaler.metadata);
    if meta.is_being_deleted() {
        return plan;
    }
    let before = autoscaler.status.value();
    let Some(deployment) = seen.deployment else {
        let target = &autoscaler.spec.scale_target_ref;
        let message =
            format!("the HPA controller was unable to get the target's current scale: {} {:?} not found", target.kind, target.name);
        let unable = Condition { kind: "AbleToScale", status: "False", reason: "FailedGetScale", message };
        plan.set_status(
            Kind::HorizontalPodAutoscaler,
            meta,
            &autoscaler.status,
            json!({"conditions": conditions(&before, vec![unable], now)}),
        );
        plan.look_again(now + LOOK_EVERY);
        return plan;
    };
    let replicas = deployment.spec.replicas.unwrap_or(1);
    let wanted = replicas.clamp(autoscaler.spec.min_replicas.unwrap_or(1), autoscaler.spec.max_replicas.max(1));
    if replicas != wanted && replicas != 0 {
        plan.patch(Kind::Deployment, &deployment.metadata, json!({"spec": {"replicas": wanted}}));
        let message = format!("New size: {wanted}; reason: Current number of replicas outside of its bounds");
        plan.inform(Kind::HorizontalPodAutoscaler, meta, "SuccessfulRescale", message);
    }
    let able = Condition {
        kind: "AbleToScale",
        status: "True",
        reason: "ReadyForNewScale",
        message: "recommended size matches current size".into(),
    };
    let active = Condition {
        kind: "ScalingActive",
        status: if replicas == 0 { "False" } else { "True" },
        reason: if replicas == 0 { "ScalingDisabled" } else { "ValidMetricFound" },
        message: String::new(),
    };
    let status = json!({
        "currentReplicas": replicas, "desiredReplicas": if replicas == 0 { 0 } else { wanted },
        "lastScaleTime": if replicas == wanted { before["lastScaleTime"].clone() } else { api_time(now) },
        "conditions": conditions(&before, vec![able, active], now),
    });
    plan.set_status(Kind::HorizontalPodAutoscaler, meta, &autoscaler.status, status);
    plan
}

fn conditions(before: &Value, wanted: Vec<Condition>, now: Timestamp) -> Vec<Value> {
    let shown = |wanted: Condition| {
        let old = condition(before, wanted.kind);
        let since = if old["status"] == wanted.status { old["lastTransitionTime"].clone() } else { api_time(now) };
        let mut shown = json!({"type": wanted.kind, "status": wanted.status, "reason": wanted.reason, "lastTransitionTime": since});
        if !wanted.message.is_empty() {
            shown["message"] = json!(wanted.message);
        }
        shown
    };
    wanted.into_iter().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workloads::Action;
    use serde_json::from_value;

    fn decide(replicas: Option<i64>) -> Plan {
        let autoscaler = from_value(json!({
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"minReplicas": 3, "maxReplicas": 5, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
        }));
        let autoscaler: HorizontalPodAutoscaler = autoscaler.expect("an autoscaler");
        let deployment = replicas.map(|n| from_value(json!({"metadata": {"name": "web"}, "spec": {"replicas": n}})).expect("a Deployment"));
        reconcile(&Observed { autoscaler: &autoscaler, deployment: deployment.as_ref() }, Timestamp::UNIX_EPOCH)
    }

    fn patched(plan: &Plan) -> Option<Value> {
        plan.actions
            .iter()
            .find_map(|action| if let Action::Patch { patch, .. } = action { Some(patch["spec"]["replicas"].clone()) } else { None })
    }

    #[test]
    fn a_deployment_is_kept_between_the_bounds_unless_it_is_switched_off() {
        assert_eq!(patched(&decide(Some(1))), Some(json!(3)));
        assert_eq!(patched(&decide(Some(9))), Some(json!(5)));
        assert_eq!((patched(&decide(Some(4))), patched(&decide(Some(0)))), (None, None));
    }

    #[test]
    fn a_target_that_is_not_there_is_told_and_looked_for_again() {
        let plan = decide(None);
        assert!(plan.again_at.is_some());
        assert!(matches!(&plan.actions[0], Action::Status { status, .. } if status["conditions"][0]["reason"] == "FailedGetScale"));
    }
}
