//! Order: kinds, waves, what others need first, hooks, prunes.

use serde_json::json;

use crate::cluster::Cluster;

const AUTO: &str = "syncPolicy: {automated: {prune: true}, retry: {limit: 0}}";

fn object(kind: &str, name: &str, annotations: &str) -> String {
    let api_version = match kind {
        "Deployment" => "apps/v1",
        "Job" => "batch/v1",
        _ => "v1",
    };
    format!("{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: {name}, annotations: {{{annotations}}}}}}}")
}

fn wave(wave: i32) -> String {
    format!("argocd.argoproj.io/sync-wave: '{wave}'")
}

fn hook(phase: &str) -> String {
    format!("argocd.argoproj.io/hook: {phase}")
}

fn git(objects: &[String]) -> String {
    objects.join("\n---\n")
}

fn job_done() -> serde_json::Value {
    json!({"conditions": [{"type": "Complete", "status": "True"}]})
}

fn job_failed() -> serde_json::Value {
    json!({"conditions": [{"type": "Failed", "status": "True", "message": "exit code 1"}]})
}

#[test]
fn kinds_are_applied_in_argos_order() {
    let kinds = ["Deployment", "Service", "Widget", "ConfigMap", "Job", "ServiceAccount"];
    let mut cluster = Cluster::new(AUTO, &git(&kinds.map(|kind| object(kind, &kind.to_lowercase(), ""))));
    let order: Vec<String> = cluster.settle().iter().map(|line| line.split(' ').nth(1).unwrap_or_default().to_owned()).collect();
    assert_eq!(order, ["ServiceAccount", "ConfigMap", "Service", "Deployment", "Job", "Widget"]);
}

#[test]
fn a_wave_waits_until_the_one_before_is_healthy() {
    let all = git(&[object("Deployment", "db", &wave(-1)), object("Deployment", "web", ""), object("ConfigMap", "last", &wave(5))]);
    let mut cluster = Cluster::new(AUTO, &all);
    assert_eq!(cluster.settle(), ["apply Deployment db"]);
    cluster.set_status("db", json!({"observedGeneration": 1, "updatedReplicas": 1}));
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(cluster.summary(), "OutOfSync Progressing | Running: waiting for healthy state of apps/Deployment shop/db");
    cluster.set_status("db", json!({"observedGeneration": 1, "availableReplicas": 1, "updatedReplicas": 1}));
    assert_eq!(cluster.settle(), ["apply Deployment web"]);
    cluster.set_status("web", json!({"observedGeneration": 1}));
    assert_eq!(cluster.settle(), ["apply ConfigMap last"]);
    assert_eq!(cluster.summary(), "Synced Healthy | Succeeded: successfully synced (all tasks run)");
}

#[test]
fn a_degraded_wave_fails_the_sync() {
    let mut cluster = Cluster::new(AUTO, &git(&[object("Job", "first", &wave(-1)), object("ConfigMap", "second", "")]));
    assert_eq!(cluster.settle(), ["apply Job first"]);
    cluster.set_status("first", job_failed());
    assert_eq!(cluster.settle(), [""; 0]);
    assert_eq!(
        cluster.summary(),
        "OutOfSync Degraded | Failed: one or more synchronization tasks completed unsuccessfully, reason: batch/Job shop/first: exit code 1"
    );
}

#[test]
fn a_namespace_and_a_definition_come_before_what_needs_them() {
    let namespace =
        "{apiVersion: v1, kind: Namespace, metadata: {name: other, annotations: {argocd.argoproj.io/sync-wave: '3'}}}".to_owned();
    let inside =
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: inside, namespace: other, annotations: {argocd.argoproj.io/sync-wave: '-2'}}}"
            .to_owned();
    let mut cluster = Cluster::new(AUTO, &git(&[namespace, inside, object("ConfigMap", "early", &wave(-3))]));
    assert_eq!(cluster.settle(), ["apply ConfigMap early", "apply Namespace other", "apply ConfigMap inside"]);
}

/// Once the end of a sync was taken for all that there is to say: what went missing while its hook ran was not healed.
#[test]
fn what_is_deleted_while_a_hook_runs_is_healed_when_the_sync_has_ended() {
    let all = git(&[object("ConfigMap", "config", ""), object("Job", "smoke", &hook("PostSync"))]);
    let mut cluster = Cluster::new("syncPolicy: {automated: {selfHeal: true}}", &all);
    assert_eq!(cluster.settle(), ["apply ConfigMap config", "apply Job smoke"]);
    cluster.delete("config");
    assert_eq!(cluster.settle(), [""; 0], "a sync is under way");
    cluster.set_status("smoke", job_done());
    assert_eq!(cluster.settle(), [""; 0]);
    let wait = cluster.next.expect("a time to look again");
    cluster.now += wait;
    assert_eq!(cluster.settle(), ["apply ConfigMap config"]);
    assert!(cluster.summary().starts_with("Synced Healthy | Succeeded"), "{}", cluster.summary());
}

#[test]
fn hooks_run_around_the_sync_and_are_deleted_as_they_ask() {
    let keep_until_success = format!("{}, argocd.argoproj.io/hook-delete-policy: HookSucceeded", hook("PreSync"));
    let all =
        git(&[object("Job", "migrate", &keep_until_success), object("ConfigMap", "config", ""), object("Job", "smoke", &hook("PostSync"))]);
    let mut cluster = Cluster::new(AUTO, &all);
    assert_eq!(cluster.settle(), ["apply Job migrate"]);
    assert_eq!(cluster.summary(), "OutOfSync Missing | Running: waiting for completion of hook batch/Job shop/migrate");
    cluster.set_status("migrate", job_done());
    assert_eq!(cluster.settle(), ["apply ConfigMap config", "apply Job smoke"]);
    cluster.set_status("smoke", job_done());
    assert_eq!(cluster.settle(), ["delete Job migrate"]);
    assert_eq!(cluster.summary(), "Synced Healthy | Succeeded: successfully synced (no more tasks)");
    assert_eq!(cluster.names(), "config smoke", "the other hook stays until the next sync");
    let status = cluster.status();
    assert!(status.resources.iter().all(|r| !r.hook || r.status.is_empty()), "hooks are not compared");
    let results = status.operation_state.and_then(|o| o.sync_result).expect("a result").resources;
    let smoke = results.iter().find(|r| r.name == "smoke").expect("its result");
    assert_eq!((smoke.hook_type.as_str(), smoke.hook_phase.as_str(), smoke.sync_phase.as_str()), ("PostSync", "Succeeded", "PostSync"));
    // The next sync removes the old run before it makes a new one.
    cluster.commit('2', &format!("{all}\n---\n{}", object("ConfigMap", "more", "")));
    assert_eq!(cluster.settle(), ["apply Job migrate"]);
    cluster.set_status("migrate", job_done());
    assert_eq!(cluster.settle(), ["apply ConfigMap config", "apply ConfigMap more", "delete Job smoke", "apply Job smoke"]);
}

#[test]
fn a_failed_hook_stops_the_sync_and_runs_the_failure_hooks() {
    let clean = format!("{}, argocd.argoproj.io/hook-delete-policy: HookFailed", hook("PreSync"));
    let all = git(&[object("Job", "migrate", &clean), object("ConfigMap", "config", ""), object("Job", "alarm", &hook("SyncFail"))]);
    let mut cluster = Cluster::new(AUTO, &all);
    cluster.settle();
    cluster.set_status("migrate", job_failed());
    assert_eq!(cluster.settle(), ["apply Job alarm"]);
    assert!(cluster.summary().contains("Running: waiting for completion of hook batch/Job shop/alarm"), "{}", cluster.summary());
    cluster.set_status("alarm", job_done());
    assert_eq!(cluster.settle(), ["delete Job migrate"]);
    assert!(
        cluster
            .summary()
            .contains("Failed: one or more synchronization tasks completed unsuccessfully, reason: batch/Job shop/migrate: exit code 1")
    );
    assert_eq!(cluster.names(), "alarm");
}

#[test]
fn failure_hooks_also_run_when_an_object_is_refused() {
    let all = git(&[object("ConfigMap", "config", ""), object("Job", "alarm", &hook("SyncFail"))]);
    let mut cluster = Cluster::new(AUTO, &all);
    cluster.refuse = vec!["config"];
    assert_eq!(cluster.settle(), ["refused ConfigMap config", "apply Job alarm"]);
    cluster.set_status("alarm", job_done());
    cluster.settle();
    assert!(cluster.summary().contains("Failed: "), "{}", cluster.summary());
}

#[test]
fn a_hook_with_a_generated_name_runs_once_a_sync() {
    let generated = "{apiVersion: batch/v1, kind: Job, metadata: {generateName: check-, annotations: {argocd.argoproj.io/hook: PostSync}}}";
    let mut cluster = Cluster::new(AUTO, &git(&[generated.to_owned(), object("ConfigMap", "config", "")]));
    assert_eq!(cluster.settle(), ["apply ConfigMap config", "apply Job check-1111111-postsync-1767225600"]);
    cluster.set_status("check-1111111-postsync-1767225600", job_done());
    assert_eq!(cluster.pass(5).settle(), [""; 0]);
    assert!(cluster.summary().contains("Succeeded"));
}

#[test]
fn a_hook_nobody_knows_never_runs() {
    let mut cluster = Cluster::new(AUTO, &git(&[object("Job", "odd", &hook("Sometime")), object("ConfigMap", "config", "")]));
    assert_eq!(cluster.settle(), ["apply ConfigMap config"]);
    assert!(cluster.summary().starts_with("Synced"));
}

#[test]
fn prunes_run_in_the_mirrored_order() {
    let three = git(&[
        object("ConfigMap", "a", &wave(1)),
        object("ConfigMap", "b", &wave(2)),
        object("ConfigMap", "c", &wave(3)),
        object("ConfigMap", "stay", ""),
    ]);
    let mut cluster = Cluster::new(AUTO, &three);
    cluster.settle();
    cluster.commit('2', &git(&[object("ConfigMap", "stay", "")]));
    assert_eq!(cluster.settle(), ["apply ConfigMap stay", "delete ConfigMap c", "delete ConfigMap b", "delete ConfigMap a"]);
}

#[test]
fn prunes_may_be_put_last() {
    let spec = "syncPolicy: {automated: {prune: true}, syncOptions: [PruneLast=true]}";
    let mut cluster = Cluster::new(spec, &git(&[object("ConfigMap", "old", ""), object("ConfigMap", "stay", "")]));
    cluster.settle();
    cluster.commit('2', &git(&[object("ConfigMap", "stay", ""), object("ConfigMap", "new", &wave(4))]));
    assert_eq!(cluster.settle(), ["apply ConfigMap stay", "apply ConfigMap new", "delete ConfigMap old"]);
}

#[test]
fn a_running_sync_can_be_ended() {
    let mut cluster = Cluster::new("", &git(&[object("Job", "migrate", &hook("PreSync")), object("ConfigMap", "config", "")]));
    cluster.app.operation = serde_json::from_value(json!({"sync": {}, "retry": {"limit": 3}})).ok();
    assert_eq!(cluster.settle(), ["apply Job migrate"]);
    let state = cluster.app.status.as_mut().and_then(|s| s.operation_state.as_mut()).expect("an operation");
    state.phase = "Terminating".into();
    assert_eq!(cluster.settle(), ["delete Job migrate"]);
    assert!(cluster.summary().ends_with("Failed: operation terminated"), "{}", cluster.summary());
}

#[test]
fn deletion_goes_wave_by_wave_and_keeps_what_says_so() {
    let keep = format!("{}, argocd.argoproj.io/sync-options: Delete=false", wave(9));
    let mut cluster = Cluster::new(
        AUTO,
        &git(&[object("ConfigMap", "a", &wave(1)), object("ConfigMap", "b", &wave(2)), object("ConfigMap", "keep", &keep)]),
    );
    cluster.settle();
    cluster.app.metadata.finalizers = Some(vec!["resources-finalizer.argocd.argoproj.io".into()]);
    let mut order = Vec::new();
    cluster.app.metadata.deletion_timestamp = Some(api::Time(cluster.now));
    let confirm = |cluster: &mut Cluster, words: &[&str]| {
        cluster.app.spec.sync_policy.get_or_insert_default().sync_options = words.iter().map(|w| (*w).to_owned()).collect();
        let live = cluster.objects.iter().map(|(k, o)| (k.clone(), gitops::Live::of(o))).collect();
        gitops::deletion(&cluster.app, "web", &live)
    };
    let gitops::Deletion::Confirm { message } = confirm(&mut cluster, &["Delete=confirm"]) else { panic!("it does not wait") };
    assert!(message.starts_with("waiting for the deletion of ConfigMap shop/a and 1 more to be confirmed"), "{message}");
    let approved = ("argocd.argoproj.io/deletion-approved".to_owned(), cluster.now.to_string());
    cluster.app.metadata.annotations = Some([approved].into());
    assert!(matches!(confirm(&mut cluster, &["Delete=confirm"]), gitops::Deletion::Prune { .. }));
    loop {
        let live = cluster.objects.iter().map(|(k, o)| (k.clone(), gitops::Live::of(o))).collect();
        match gitops::deletion(&cluster.app, "web", &live) {
            gitops::Deletion::Release => break,
            gitops::Deletion::Confirm { message } => panic!("{message}"),
            gitops::Deletion::Prune { groups, .. } => {
                for action in groups.iter().flat_map(|g| &g.actions) {
                    order.push(action.key().name.clone());
                    cluster.objects.remove(action.key());
                }
            }
        }
    }
    assert_eq!((order.join(" ").as_str(), cluster.names().as_str()), ("b a", "keep"));
}
