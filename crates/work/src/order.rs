//! Whether an order is to be taken now; see [`api::work::Order`].

use api::argo::annotation::REFRESH;
use api::argo::operation_phase::{RUNNING, TERMINATING};
use api::argo::{Info, Operation, OperationInitiator, SyncOperation};
use api::work::{INFO, ManifestWorkSpec, Order, TAKEN, UpdateStrategyType};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Apply, Change, config};

/// What to do with an order.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Merge this into the Application, whole and at once.
    Take(Value),
    /// It was taken before.
    Taken,
    /// Something must end first.
    Wait(String),
    /// It never will be.
    Refuse(String),
}

/// Returns why a work may not write what it applies, if it may not: then it may not order either.
pub fn denied(spec: &ManifestWorkSpec, apply: &Apply) -> Option<String> {
    let strategy = config::option_for(spec, &apply.id).and_then(|option| option.update_strategy.as_ref());
    match &apply.change {
        Change::Refuse { message, .. } => Some(message.clone()),
        _ if strategy.is_some_and(|strategy| strategy.type_ == UpdateStrategyType::ReadOnly) => {
            Some("the work only reads the Application (updateStrategy ReadOnly)".to_owned())
        }
        Change::Keep { .. } | Change::Wait { .. } | Change::Create { .. } | Change::Apply { .. } => None,
    }
}

/// Decides about an order; `application` is the live one, `denied` why the work may not write it, `now` by the hub's clock.
pub fn decide(order: &Order, application: Option<&Value>, denied: Option<&str>, now: Timestamp) -> Verdict {
    // 1. Once. An order that was taken stays so, also after its time.
    let taken = application.map(|app| &app["metadata"]["annotations"][TAKEN]);
    if taken.is_some_and(|taken| *taken == order.id.as_str()) {
        return Verdict::Taken;
    }
    // 2. In time: whoever asked does not reckon with it any more.
    if now >= order.expires {
        return Verdict::Refuse(format!("expired at {}", order.expires));
    }
    // 3. Nobody gains by an order what he could not by the work.
    if let Some(why) = denied {
        return Verdict::Refuse(why.to_owned());
    }
    let Some(application) = application else {
        return Verdict::Wait("the Application is not there yet".to_owned());
    };
    // 4. One operation at a time, as Argo CD has it.
    let phase = application["status"]["operationState"]["phase"].as_str().unwrap_or_default();
    if !application["operation"].is_null() || matches!(phase, RUNNING | TERMINATING) {
        return Verdict::Wait("another operation is in progress".to_owned());
    }
    // 5. What the policy says of every sync holds for this one; as Argo CD's server does.
    let policy = &application["spec"]["syncPolicy"];
    let operation = Operation {
        sync: Some(SyncOperation {
            revision: order.sync.revision.clone(),
            prune: order.sync.prune,
            sync_options: serde_json::from_value(policy["syncOptions"].clone()).unwrap_or_default(),
            ..SyncOperation::default()
        }),
        initiated_by: Some(OperationInitiator { username: order.by.clone(), automated: false }),
        info: vec![Info { name: INFO.to_owned(), value: order.id.clone() }],
        retry: serde_json::from_value(policy["retry"].clone()).unwrap_or_default(),
    };
    Verdict::Take(json!({
        "metadata": {
            // Whoever wrote meanwhile is looked at first.
            "resourceVersion": application["metadata"]["resourceVersion"],
            "uid": application["metadata"]["uid"],
            // Whoever asks for a sync wants what is in Git now to be looked at.
            "annotations": {TAKEN: order.id, REFRESH: "normal"},
        },
        "operation": operation,
    }))
}

#[cfg(test)]
mod tests {
    use api::work::SyncOrder;

    use super::*;

    const NOW: &str = "2026-11-23T07:00:00Z";

    fn order() -> Order {
        let time = |text: &str| text.parse().expect("a time");
        let sync = SyncOrder { revision: "v2".into(), prune: true };
        Order { id: "one".into(), by: "ann".into(), at: time(NOW), expires: time("2026-11-23T08:00:00Z"), sync }
    }

    fn decided(application: Option<Value>, denied: Option<&str>, now: &str) -> Verdict {
        decide(&order(), application.as_ref(), denied, now.parse().expect("a time"))
    }

    #[test]
    fn an_order_becomes_the_operation_of_its_application_once() {
        let app = json!({
            "metadata": {"resourceVersion": "7", "uid": "u"},
            "spec": {"syncPolicy": {"syncOptions": ["Replace=true"], "retry": {"limit": 3}}},
            "status": {"operationState": {"phase": "Failed"}},
        });
        let Verdict::Take(patch) = decided(Some(app.clone()), None, NOW) else { panic!("not taken") };
        assert_eq!(patch["metadata"], json!({"resourceVersion": "7", "uid": "u", "annotations": {TAKEN: "one", REFRESH: "normal"}}));
        assert_eq!(
            patch["operation"],
            json!({
                "sync": {"revision": "v2", "prune": true, "syncOptions": ["Replace=true"]},
                "initiatedBy": {"username": "ann"},
                "info": [{"name": INFO, "value": "one"}],
                "retry": {"limit": 3},
            })
        );
        let mut taken = app;
        taken["metadata"]["annotations"] = json!({TAKEN: "one"});
        assert_eq!(decided(Some(taken.clone()), None, NOW), Verdict::Taken);
        assert_eq!(decided(Some(taken.clone()), None, "2026-11-23T09:00:00Z"), Verdict::Taken, "what was done in time stays done");
        taken["metadata"]["annotations"] = json!({TAKEN: "the one before"});
        assert!(matches!(decided(Some(taken), None, NOW), Verdict::Take(_)));
    }

    #[test]
    fn a_work_that_only_reads_an_application_does_not_order_it() {
        let id = crate::ObjectId {
            group: api::argo::GROUP.into(),
            version: "v1alpha1".into(),
            resource: "applications".into(),
            namespace: "argocd".into(),
            name: "web".into(),
        };
        let apply = |change| Apply { ordinal: 0, id: id.clone(), kind: "Application".into(), change };
        let keep = || apply(Change::Keep { why: String::new() });
        let spec = |strategy: &str| -> ManifestWorkSpec {
            let resource = json!({"group": api::argo::GROUP, "resource": "applications", "namespace": "argocd", "name": "web"});
            let option = json!({"resourceIdentifier": resource, "updateStrategy": {"type": strategy}});
            serde_json::from_value(json!({"workload": {"manifests": []}, "manifestConfigs": [option]})).expect("a spec")
        };
        assert_eq!(denied(&spec("Update"), &keep()), None);
        assert_eq!(denied(&spec("CreateOnly"), &keep()), None);
        assert!(denied(&spec("ReadOnly"), &keep()).is_some_and(|why| why.contains("ReadOnly")));
    }

    #[test]
    fn it_waits_for_what_goes_on_and_not_for_ever() {
        let running = json!({"status": {"operationState": {"phase": "Running"}}});
        for app in [Some(json!({"operation": {}})), Some(running.clone()), None] {
            assert!(matches!(decided(app, None, NOW), Verdict::Wait(_)));
        }
        let late = decided(Some(running), None, "2026-11-23T08:00:00Z");
        assert_eq!(late, Verdict::Refuse("expired at 2026-11-23T08:00:00Z".into()));
        assert_eq!(decided(Some(json!({})), Some("not allowed"), NOW), Verdict::Refuse("not allowed".into()));
    }
}
