//! Automated and manual syncs, pruning, healing, failures and retries, status and history.

use gitops::Key;
use jiff::SignedDuration;
use serde_json::json;

use crate::cluster::Cluster;

const CONFIG: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {a: '1'}}";
const CONFIG_2: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: config}, data: {a: '2'}}";
const WEB: &str = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: deploy}, spec: {replicas: 1, template: {spec: {containers: [{image: 'web:1'}]}}}}";

fn both() -> String {
    format!("{CONFIG}\n---\n{WEB}")
}

const AUTO: &str = "syncPolicy: {automated: {prune: true, selfHeal: true}}";

fn healthy() -> serde_json::Value {
    json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
}

#[test]
fn an_automated_application_is_synced_once_and_then_left_alone() {
    let mut cluster = Cluster::new(AUTO, &both());
    assert_eq!(cluster.settle(), ["apply ConfigMap config", "apply Deployment deploy"]);
    assert_eq!(cluster.summary(), "Synced Progressing | Succeeded: successfully synced (all tasks run)");
    cluster.set_status("deploy", healthy());
    assert_eq!(cluster.pass(60).settle(), [""; 0]);
    assert_eq!(cluster.summary(), "Synced Healthy | Succeeded: successfully synced (all tasks run)");
    assert_eq!(cluster.reason, "Synced with 1111111");
    let status = cluster.status();
    assert_eq!(status.summary.images, ["web:1"]);
    assert_eq!(status.history.len(), 1);
    assert_eq!(status.source_type, "Directory");
    assert_eq!(
        status.resources.iter().map(|r| format!("{} {} {}", r.kind, r.namespace, r.status)).collect::<Vec<_>>(),
        ["ConfigMap shop Synced", "Deployment shop Synced"]
    );
    let result = status.operation_state.expect("an operation").sync_result.expect("a result");
    assert_eq!(result.resources[1].message, "configured");
    assert_eq!(result.resources[1].images, ["web:1"]);
}

#[test]
fn a_new_commit_is_synced_and_what_it_lacks_is_pruned_if_allowed() {
    let mut cluster = Cluster::new(AUTO, &both());
    cluster.settle();
    cluster.commit('2', CONFIG_2);
    assert_eq!(cluster.settle(), ["delete Deployment deploy", "apply ConfigMap config"]);
    assert_eq!(cluster.summary(), "Synced Healthy | Succeeded: successfully synced (all tasks run)");

    let mut cluster = Cluster::new("syncPolicy: {automated: {selfHeal: true}}", &both());
    cluster.settle();
    cluster.commit('2', CONFIG_2);
    assert_eq!(cluster.settle(), ["apply ConfigMap config"]);
    assert_eq!(cluster.names(), "config deploy");
    assert!(cluster.summary().starts_with("OutOfSync"));
    assert_eq!(cluster.reason, "only resources that are no longer in Git are out of sync, and prune is off");
    let status = cluster.status();
    assert!(status.resources.iter().any(|r| r.name == "deploy" && r.requires_pruning));
    let skipped = status.operation_state.and_then(|o| o.sync_result).expect("a result").resources.into_iter().find(|r| r.name == "deploy");
    assert_eq!(skipped.map(|r| (r.status, r.message)), Some(("PruneSkipped".into(), "ignored (requires pruning)".into())));
}

#[test]
fn a_resource_may_refuse_pruning_and_extra_ones_may_be_ignored() {
    let keep = "{apiVersion: v1, kind: ConfigMap, metadata: {name: keep, annotations: {argocd.argoproj.io/sync-options: Prune=false}}}";
    let extra =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: extra, annotations: {argocd.argoproj.io/compare-options: IgnoreExtraneous}}}";
    let mut cluster = Cluster::new(AUTO, &format!("{CONFIG}\n---\n{keep}\n---\n{extra}"));
    cluster.settle();
    cluster.commit('2', CONFIG);
    // Applied once, and not again and again: the back-off holds.
    assert_eq!(cluster.settle(), ["delete ConfigMap extra", "apply ConfigMap config"]);
    assert_eq!(cluster.names(), "config keep");
}

#[test]
fn everything_is_never_pruned_by_itself_unless_allowed() {
    let mut cluster = Cluster::new(AUTO, &both());
    cluster.settle();
    cluster.commit('2', "");
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(
        cluster.conditions(),
        ["SyncError: automated sync would delete all 2 resources; set spec.syncPolicy.automated.allowEmpty or sync by hand"]
    );
    let mut cluster = Cluster::new("syncPolicy: {automated: {prune: true, allowEmpty: true}}", &both());
    cluster.settle();
    cluster.commit('2', "");
    assert_eq!(cluster.settle(), ["delete Deployment deploy", "delete ConfigMap config"]);
}

#[test]
fn a_deleted_object_is_healed_at_once_and_a_fight_is_slowed_down() {
    let mut cluster = Cluster::new(AUTO, &both());
    cluster.settle();
    cluster.pass(3600).delete("deploy");
    assert_eq!(cluster.settle(), ["apply Deployment deploy"], "only what is out of sync, at once");
    assert_eq!(cluster.status().history.len(), 1, "healing is no deployment");
    let mut waits = Vec::new();
    for _ in 0..6 {
        cluster.delete("deploy");
        assert_eq!(cluster.settle(), [""; 0]);
        let wait = cluster.next.expect("a time to look again");
        waits.push(wait.as_secs());
        cluster.now += wait;
        assert_eq!(cluster.settle(), ["apply Deployment deploy"]);
    }
    assert_eq!(waits, [6, 18, 54, 162, 300, 300]);
    // Without selfHeal it is only told.
    let mut cluster = Cluster::new("syncPolicy: {automated: {}}", &both());
    cluster.settle();
    cluster.pass(3600).delete("deploy");
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(cluster.reason, "1111111 was synced already, and selfHeal is off");
    assert!(cluster.summary().starts_with("OutOfSync"));
}

#[test]
fn a_manual_application_waits_to_be_asked() {
    let mut cluster = Cluster::new("", &both());
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(cluster.summary(), "OutOfSync Missing | ");
    assert_eq!(cluster.reason, "automated sync is off");
    cluster.app.operation = serde_json::from_value(json!({"sync": {}, "initiatedBy": {"username": "ana"}})).ok();
    assert_eq!(cluster.settle(), ["apply ConfigMap config", "apply Deployment deploy"]);
    assert_eq!(cluster.summary(), "Synced Progressing | Succeeded: successfully synced (all tasks run)");
    assert!(cluster.app.operation.is_none());
    assert_eq!(cluster.status().history[0].initiated_by.as_ref().map(|i| i.username.as_str()), Some("ana"));
}

#[test]
fn what_is_out_of_sync_says_why() {
    let object = |name: &str, data: &str| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}, data: {{a: {data}}}}}");
    let mut cluster = Cluster::new(AUTO, &[object("same", "x"), object("changed", "x"), object("extra", "x")].join("\n---\n"));
    cluster.settle();
    assert!(cluster.notes.is_empty(), "{:?}", cluster.notes);
    cluster.app.spec.sync_policy = None;
    cluster.refuse_dry_run = vec!["refused"];
    let refused = object("refused", "x");
    cluster.objects.insert(Key::new("", "ConfigMap", "shop", "refused"), cluster.objects.values().next().expect("an object").clone());
    cluster.commit('2', &[object("same", "x"), object("changed", "y"), object("missing", "x"), refused].join("\n---\n"));
    assert_eq!(cluster.settle(), [""; 0]);
    let notes: Vec<(&str, &str)> = cluster.notes.iter().map(|(key, note)| (key.name.as_str(), note.as_str())).collect();
    assert_eq!(notes, [("changed", "differs from Git: spec"), ("extra", "is not in Git"), ("refused", "spec.replicas: must be a number")]);
}

#[test]
fn a_part_can_be_synced_and_an_old_revision_rolled_back_to() {
    let mut cluster = Cluster::new("", &both());
    cluster.app.operation = serde_json::from_value(json!({"sync": {"resources": [{"kind": "ConfigMap", "name": "config"}]}})).ok();
    assert_eq!(cluster.settle(), ["apply ConfigMap config"]);
    assert_eq!(cluster.status().history.len(), 0);
    let first = cluster.revision.clone();
    cluster.commit('2', CONFIG_2);
    cluster.app.operation = serde_json::from_value(json!({"sync": {}})).ok();
    assert_eq!(cluster.settle(), ["apply ConfigMap config"]);
    cluster.app.operation = serde_json::from_value(json!({"sync": {"revision": first}})).ok();
    assert_eq!(cluster.settle(), ["apply ConfigMap config", "apply Deployment deploy"]);
    let status = cluster.status();
    assert_eq!(status.sync.status, "OutOfSync", "the target revision still asks for something else");
    assert_eq!(status.history.iter().map(|h| &h.revision[..1]).collect::<Vec<_>>(), ["2", "1"]);
    assert_eq!(status.history.iter().map(|h| h.id).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn nothing_is_touched_if_one_object_is_refused_before() {
    let mut cluster = Cluster::new("syncPolicy: {automated: {}, retry: {limit: 0}}", &both());
    cluster.refuse_dry_run = vec!["deploy"];
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(cluster.summary(), "OutOfSync Missing | Failed: one or more objects failed to apply (dry run)");
    assert_eq!(
        cluster.conditions(),
        [
            "ComparisonError: apps/Deployment shop/deploy: spec.replicas: must be a number",
            "SyncError: the last sync to 1111111 failed and is not tried again: one or more objects failed to apply (dry run)",
        ]
    );
    let result = cluster.status().operation_state.and_then(|o| o.sync_result).expect("a result");
    assert_eq!(result.resources[0].message, "spec.replicas: must be a number");
    // A new commit is a new try.
    cluster.refuse_dry_run.clear();
    cluster.commit('2', &both());
    assert_eq!(cluster.settle().len(), 2);
}

#[test]
fn a_failed_sync_is_retried_with_growing_waits_and_then_told() {
    let mut cluster = Cluster::new("syncPolicy: {automated: {}, retry: {limit: 2, backoff: {duration: 1s, factor: 3}}}", &both());
    cluster.refuse = vec!["config"];
    assert_eq!(cluster.settle(), ["refused ConfigMap config", "apply Deployment deploy"], "one failure does not stop the others");
    assert_eq!(
        cluster.summary(),
        "OutOfSync Progressing | Running: one or more objects failed to apply, reason: ConfigMap shop/config: admission said no. Trying again (number 1) in 1 s"
    );
    assert_eq!(cluster.next, Some(SignedDuration::from_secs(1)));
    assert_eq!(cluster.pass(1).settle().len(), 2);
    assert_eq!(cluster.next, Some(SignedDuration::from_secs(3)));
    assert_eq!(cluster.pass(3).settle().len(), 2);
    assert!(
        cluster.summary().ends_with(
            "Failed: one or more objects failed to apply, reason: ConfigMap shop/config: admission said no (tried again 2 times)"
        )
    );
    assert_eq!(cluster.pass(1000).settle(), [""; 0]);
    // With selfHeal a store does not stay broken for ever.
    cluster.app.spec.sync_policy.as_mut().and_then(|p| p.automated.as_mut()).expect("automated").self_heal = Some(true);
    cluster.refuse.clear();
    assert_eq!(cluster.pass(1000).settle(), ["apply ConfigMap config", "apply Deployment deploy"]);
}

#[test]
fn a_newer_commit_replaces_a_sync_that_waits() {
    let mut cluster = Cluster::new(AUTO, &both());
    cluster.refuse = vec!["config"];
    cluster.settle();
    cluster.refuse.clear();
    cluster.commit('2', &both());
    assert_eq!(cluster.settle(), ["apply ConfigMap config", "apply Deployment deploy"], "without waiting for the retry");
    assert_eq!(cluster.status().operation_state.and_then(|o| o.sync_result).expect("a result").revision, "2".repeat(40));
}

#[test]
fn unknown_wishes_change_nothing_and_are_not_green() {
    let mut cluster = Cluster::new(AUTO, &both());
    cluster.git = Err("repository https://git.example.com/shop cannot be reached".into());
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(cluster.summary(), "Unknown Unknown | ");
    assert_eq!(cluster.conditions(), ["ComparisonError: repository https://git.example.com/shop cannot be reached"]);
    cluster.git = Ok(crate::cluster::yaml(&both()));
    cluster.settle();
    cluster.set_status("deploy", healthy());
    cluster.settle();
    cluster.git = Err("gone".into());
    assert_eq!(cluster.settle(), [""; 0]);
    assert!(cluster.summary().starts_with("Unknown Healthy"), "{}", cluster.summary());
    assert_eq!(cluster.status().sync.revision, cluster.revision, "the last known revision stays");
}

#[test]
fn a_copy_with_our_tracking_id_is_never_pruned() {
    let mut cluster = Cluster::new(AUTO, CONFIG);
    cluster.settle();
    let (mut key, mut copy) = cluster.objects.iter().next().map(|(k, o)| (k.clone(), o.clone())).expect("an object");
    key.name = "copy".into();
    copy["metadata"]["name"] = json!("copy");
    cluster.objects.insert(key, copy);
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!((cluster.names().as_str(), &*cluster.status().sync.status), ("config copy", "Synced"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let mut cluster = Cluster::new(AUTO, CONFIG);
    cluster.app.spec.destination.server = "https://elsewhere".into();
    assert_eq!(cluster.settle(), [""; 0]);
    assert!(cluster.conditions()[0].starts_with("InvalidSpecError: spec.destination names another cluster"));
    let mut cluster = Cluster::new("{project: team, syncPolicy: {automated: {}}}", CONFIG);
    assert_eq!(cluster.settle(), ["apply ConfigMap config"]);
    assert_eq!(cluster.conditions(), ["FieldsNotActedOnWarning: accepted but not acted on: spec.project"]);
    let mut cluster = Cluster::new("", CONFIG);
    cluster.app.operation = serde_json::from_value(json!({})).ok();
    cluster.settle();
    assert!(cluster.summary().contains("Error: operation.sync is missing"), "{}", cluster.summary());
}

#[test]
fn the_namespace_is_made_first_if_asked() {
    let mut cluster = Cluster::new(
        "syncPolicy: {automated: {}, syncOptions: [CreateNamespace=true], managedNamespaceMetadata: {labels: {team: a}}}",
        CONFIG,
    );
    assert_eq!(cluster.settle(), ["apply Namespace shop", "apply ConfigMap config"]);
    let namespace = cluster.objects.values().find(|o| o["kind"] == "Namespace").expect("a namespace");
    assert_eq!(namespace["metadata"]["labels"]["team"], "a");
    assert_eq!(cluster.pass(60).settle(), [""; 0]);
}

#[test]
fn missing_kinds_are_named_unless_they_come_along() {
    let widget = "{apiVersion: example.com/v1, kind: Widget, metadata: {name: w}}";
    let mut cluster = Cluster::new("syncPolicy: {automated: {}, retry: {limit: 0}}", widget);
    assert_eq!(cluster.settle(), [""; 0]);
    let result = cluster.status().operation_state.and_then(|o| o.sync_result).expect("a result");
    assert_eq!(
        result.resources[0].message,
        "the cluster has no kind Widget in group \"example.com\"; apply its CustomResourceDefinition first"
    );
    let definition = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: zz}, spec: {group: example.com, names: {kind: Widget}, scope: Namespaced}}";
    cluster.commit('2', &format!("{widget}\n---\n{definition}"));
    assert_eq!(cluster.settle(), ["apply CustomResourceDefinition zz", "apply Widget w"]);
}

#[test]
fn sync_options_of_a_resource_are_obeyed() {
    let replaced =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: config, annotations: {argocd.argoproj.io/sync-options: Replace=true}}}";
    let skipped = "{apiVersion: v1, kind: ConfigMap, metadata: {name: never, annotations: {argocd.argoproj.io/hook: Skip}}}";
    let mut cluster = Cluster::new(
        "syncPolicy: {automated: {}, syncOptions: [ApplyOutOfSyncOnly=true]}",
        &format!("{replaced}\n---\n{skipped}\n---\n{WEB}"),
    );
    assert_eq!(cluster.settle(), ["replace ConfigMap config", "apply Deployment deploy"]);
    let changed = replaced.replace("Replace=true}}", "Replace=true}}, data: {a: b}");
    cluster.commit('2', &format!("{changed}\n---\n{skipped}\n---\n{WEB}"));
    assert_eq!(cluster.settle(), ["replace ConfigMap config"], "only what is out of sync");
}

#[test]
fn a_prune_that_asks_for_it_waits_for_a_persons_word() {
    let kept = "{apiVersion: v1, kind: ConfigMap, metadata: {name: config, annotations: {argocd.argoproj.io/sync-options: Prune=confirm}}}";
    let mut cluster = Cluster::new(AUTO, &format!("{kept}\n---\n{WEB}"));
    cluster.settle();
    cluster.commit('2', WEB);
    assert_eq!(cluster.pass(60).settle(), [""; 0]);
    let waiting = "Running: waiting for the pruning of ConfigMap shop/config to be confirmed";
    assert!(cluster.summary().contains(waiting), "{}", cluster.summary());
    assert!(cluster.status().resources.iter().any(|r| r.name == "config" && r.requires_deletion_confirmation));
    let approve = |cluster: &mut Cluster, at: &str| {
        let annotations = [("argocd.argoproj.io/deletion-approved".to_owned(), at.to_owned())];
        cluster.app.metadata.annotations = Some(annotations.into());
    };
    approve(&mut cluster, "2025-12-31T00:00:00Z");
    assert_eq!(cluster.settle(), [""; 0], "an old word is none for this sync");
    approve(&mut cluster, "2026-01-01T00:02:00Z");
    assert!(cluster.settle().contains(&"delete ConfigMap config".to_owned()));
    assert!(cluster.summary().contains("Succeeded"));
}

#[test]
fn an_operation_that_asks_for_what_is_not_there_does_nothing_at_all() {
    let mut cluster = Cluster::new("", &both());
    for (field, value) in
        [("dryRun", json!(true)), ("manifests", json!(["x"])), ("revisions", json!(["a"])), ("syncStrategy", json!({"apply": {}}))]
    {
        cluster.app.operation = Some(serde_json::from_value(json!({"sync": {field: value}})).expect("an operation"));
        assert_eq!(cluster.settle(), [""; 0]);
        assert!(cluster.summary().contains(&format!("Error: operation.sync.{field}")), "{}", cluster.summary());
    }
}

#[test]
fn a_list_that_is_cut_says_so() {
    let many: Vec<String> = (0..1_001).map(|n| format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c{n:04}}}}}")).collect();
    let mut cluster = Cluster::new("", &many.join("\n---\n"));
    cluster.settle();
    assert_eq!(cluster.status().resources.len(), 1_000);
    let said = "ListCutWarning: status.resources holds the first 1000 of 1001; split the Application to see all";
    assert_eq!(cluster.conditions(), [said]);
}

#[test]
fn an_error_keeps_the_last_revision_with_the_source_it_was_of() {
    let mut cluster = Cluster::new(AUTO, &both());
    cluster.settle();
    let before = cluster.status().sync;
    cluster.app.spec.source.as_mut().expect("a source").path = "elsewhere".into();
    cluster.git = Err("path elsewhere does not exist".into());
    cluster.settle();
    let after = cluster.status().sync;
    assert_eq!((after.status.as_str(), after.revision, after.compared_to), ("Unknown", before.revision, before.compared_to));
}
