use crate::tell;

fn check_plan(yaml: &str, expect: &str) {
    assert_eq!(lines(&tell(yaml).plan), lines(expect), "plan of {yaml}");
}

fn check_status(yaml: &str, expect: &str) {
    assert_eq!(lines(&tell(yaml).status), lines(expect), "status of {yaml}");
}

fn check_applied(yaml: &str, expect: &str) {
    assert_eq!(lines(&tell(yaml).applied), lines(expect), "applied resources of {yaml}");
}

/// The lines without the indentation that Rust's layout gives them.
fn lines(text: &str) -> Vec<String> {
    let indent = text.lines().filter(|l| !l.trim().is_empty()).map(|l| l.len() - l.trim_start().len()).min().unwrap_or(0);
    text.lines().filter(|l| !l.trim().is_empty()).map(|l| l[indent..].trim_end().to_owned()).collect()
}

const CONFIG_MAP: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: b}}";

#[test]
fn nothing_is_applied_before_it_is_certain_to_be_cleaned_up() {
    check_plan(&format!("spec: {{workload: {{manifests: [{CONFIG_MAP}]}}}}\nworkMetadata: {{finalizers: []}}"), "AddFinalizer");
    check_plan(&format!("spec: {{workload: {{manifests: [{CONFIG_MAP}]}}}}"), r#"CreateApplied { name: "hub-w" }"#);
    check_plan(
        &format!("spec: {{workload: {{manifests: [{CONFIG_MAP}]}}}}\napplied: []\nevictingSince: '2026-01-01T11:30:00Z'"),
        "CancelEviction",
    );
}

#[test]
fn manifests_are_applied_in_the_order_of_their_kinds() {
    check_plan(
        "
spec:
  workload:
    manifests:
    - {apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}}
    - {apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}}
    - {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
applied: []
",
        "
        2 Namespace shop: apply as work-agent by force, it is missing
        1 ConfigMap c: apply as work-agent by force, it is missing
        0 Deployment web: apply as work-agent by force, it is missing
        look again in 240 s
        ",
    );
}

#[test]
fn what_is_as_the_manifest_says_is_left_alone_and_drift_is_not() {
    let case = |live: &str| format!("spec: {{workload: {{manifests: [{CONFIG_MAP}]}}}}\napplied: []\nlive: [{live}]");
    let owners = "ownerReferences: [{apiVersion: work.open-cluster-management.io/v1, kind: AppliedManifestWork, name: hub-w, uid: owner}]";
    check_plan(
        &case(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: shop, annotations: hash, {owners}}}, data: {{a: b, x: y}}}}"
        )),
        "0 ConfigMap c: keep, it is as the manifest says\nlook again in 240 s",
    );
    check_plan(
        &case(&format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: shop, annotations: hash, {owners}}}, data: {{a: other}}}}"
        )),
        "0 ConfigMap c: apply as work-agent by force, .data.a on the cluster differs from the manifest\nlook again in 240 s",
    );
    check_plan(
        &case("{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop, annotations: hash}, data: {a: b}}"),
        "0 ConfigMap c: apply as work-agent by force, .metadata.ownerReferences on the cluster differs from the manifest\nlook again in 240 s",
    );
    check_plan(
        &case("{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: b}}"),
        "0 ConfigMap c: apply as work-agent by force, the manifest is new or changed\nlook again in 240 s",
    );
    check_plan(
        &case("{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop, deletionTimestamp: '2026-01-01T00:00:00Z'}}"),
        "0 ConfigMap c: wait, the object on the cluster is being deleted\nlook again in 5 s",
    );
}

#[test]
fn each_strategy_does_what_it_says() {
    let case = |strategy: &str, live: &str| {
        format!(
            "spec:\n  workload: {{manifests: [{CONFIG_MAP}]}}\n  manifestConfigs:\n  - {{resourceIdentifier: {{resource: configmaps, namespace: '*', name: c}}, updateStrategy: {strategy}}}\napplied: []\nlive: [{live}]"
        )
    };
    let live = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}, data: {a: other}}";
    let again = "look again in 240 s";
    check_plan(&case("{type: CreateOnly}", ""), &format!("0 ConfigMap c: create\n{again}"));
    check_plan(
        &case("{type: CreateOnly}", live),
        &format!("0 ConfigMap c: apply as work-agent, it exists, and this work will own it\n{again}"),
    );
    check_plan(&case("{type: ReadOnly}", live), &format!("0 ConfigMap c: keep, the strategy is ReadOnly\n{again}"));
    check_plan(
        &case("{type: ServerSideApply, serverSideApply: {fieldManager: work-agent-x}}", live),
        &format!("0 ConfigMap c: apply as work-agent-x, the manifest is new or changed\n{again}"),
    );
    check_plan(
        &case("{type: ServerSideApply, serverSideApply: {force: true}}", live),
        &format!("0 ConfigMap c: apply as work-agent by force, the manifest is new or changed\n{again}"),
    );
}

#[test]
fn ignored_fields_keep_what_they_have_on_the_spoke() {
    let case = |ignore: &str, annotations: &str| {
        format!(
            "
spec:
  workload: {{manifests: [{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: shop}}, spec: {{replicas: 1}}}}]}}
  manifestConfigs:
  - resourceIdentifier: {{group: apps, resource: deployments, namespace: shop, name: web}}
    updateStrategy: {{type: ServerSideApply, serverSideApply: {{ignoreFields: [{ignore}]}}}}
applied: []
live:
- {{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web, namespace: shop, annotations: {annotations}, ownerReferences: [{{apiVersion: work.open-cluster-management.io/v1, kind: AppliedManifestWork, name: hub-w, uid: owner}}]}}, spec: {{replicas: 5}}}}
"
        )
    };
    let keeps = "0 Deployment web: keep, it is as the manifest says\nlook again in 240 s";
    check_plan(&case("{condition: OnSpokePresent, jsonPaths: [.spec.replicas]}", "hash"), keeps);
    check_plan(&case("{condition: OnSpokeChange, jsonPointers: [/spec/replicas]}", "hash"), keeps);
    check_plan(&case("{condition: OnSpokePresent, jqPathExpressions: [.spec.replicas]}", "hash"), keeps);
    check_plan(
        &case("{condition: OnSpokeChange, jsonPointers: [/spec/replicas]}", "{}"),
        "0 Deployment web: apply as work-agent, the manifest is new or changed\nlook again in 240 s",
    );
    check_plan(
        &case("{condition: OnSpokePresent, jqPathExpressions: ['.spec | keys']}", "hash"),
        "0 Deployment web: refuse (IgnoreFields), the path \".spec | keys\" is not understood at \".spec | keys\"\nlook again in 240 s",
    );
}

#[test]
fn works_that_share_an_object_leave_each_others_references_on_it() {
    let owner = |name: &str, uid: &str| {
        format!("{{apiVersion: work.open-cluster-management.io/v1, kind: AppliedManifestWork, name: {name}, uid: {uid}}}")
    };
    let foreign = "{apiVersion: v1, kind: ConfigMap, name: f, uid: f}";
    let plan = |owners: &[&str], annotations: &str, option: &str| {
        let owners = owners.join(", ");
        let live = format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: shop, annotations: {annotations}, ownerReferences: [{owners}]}}, data: {{a: b}}}}"
        );
        tell(&format!("spec: {{workload: {{manifests: [{CONFIG_MAP}]}}{option}}}\napplied: []\nlive: [{live}]"))
    };
    let (ours, others) = (owner("hub-w", "owner"), owner("hub-x", "x"));
    for owners in [vec![&*ours, &others], vec![&*others, &ours], vec![foreign, &others, &ours]] {
        assert!(plan(&owners, "hash", "").plan.contains("keep, it is as the manifest says"), "{owners:?}");
    }
    assert_eq!(plan(&[&others], "hash", "").owners, ["x", "owner"]);
    assert_eq!(plan(&[foreign, &others, &ours], "{}", "").owners, ["x", "owner"]);
    assert_eq!(plan(&[foreign], "hash", "").owners, ["owner"]);
    let orphaned = ", deleteOption: {propagationPolicy: Orphan}";
    assert_eq!(plan(&[&others], "{}", orphaned).owners, ["x"]);
}

#[test]
fn what_left_the_spec_goes_unless_somebody_else_needs_it() {
    let case = |live: &str, delete_option: &str| {
        format!(
            "spec: {{workload: {{manifests: []}}, deleteOption: {delete_option}}}\napplied: ['/v1/configmaps/shop/old u1']\nlive: [{live}]"
        )
    };
    let live = |owners: &str, more: &str| {
        format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: old, namespace: shop, uid: u1, ownerReferences: [{owners}]{more}}}}}")
    };
    let ours = "{kind: AppliedManifestWork, uid: owner}";
    let foreground = "{propagationPolicy: Foreground}";
    check_plan(&case(&live(ours, ""), foreground), "delete configmaps shop/old (u1)\nlook again in 5 s");
    check_plan(
        &case(&live(&format!("{ours}, {{kind: AppliedManifestWork, uid: x}}"), ""), foreground),
        "disown configmaps shop/old, another work owns it too\nlook again in 240 s",
    );
    check_plan(&case(&live("", ""), foreground), "forget configmaps shop/old, this work does not own it (any more)\nlook again in 240 s");
    check_plan(&case("", foreground), "forget configmaps shop/old, it is gone\nlook again in 240 s");
    check_plan(
        &case(&live(ours, ", deletionTimestamp: '2026-01-01T00:00:00Z'"), foreground),
        "wait for configmaps shop/old, it is being deleted\nlook again in 5 s",
    );
    check_plan(
        &case(&live(ours, ""), "{propagationPolicy: Orphan}"),
        "disown configmaps shop/old, deleteOption orphans it\nlook again in 240 s",
    );
    check_plan(
        &case(&live(ours, "").replace("u1", "u2"), foreground),
        "forget configmaps shop/old, another object has its name now\nlook again in 240 s",
    );
    check_plan(
        &case(
            &live(ours, ""),
            "{propagationPolicy: SelectivelyOrphan, selectivelyOrphans: {orphaningRules: [{resource: configmaps, namespace: shop, name: old}]}}",
        ),
        "disown configmaps shop/old, deleteOption orphans it\nlook again in 240 s",
    );
}

#[test]
fn a_deleted_work_goes_when_what_it_applied_is_gone() {
    let case = |live: &str| {
        format!(
            "spec: {{workload: {{manifests: [{CONFIG_MAP}]}}}}\nworkMetadata: {{deletionTimestamp: '2026-01-01T00:00:00Z'}}\napplied: ['/v1/namespaces//shop u0', '/v1/configmaps/shop/c u1']\nlive: [{live}]"
        )
    };
    let object = |kind: &str, name: &str, uid: &str| {
        format!(
            "{{apiVersion: v1, kind: {kind}, metadata: {{name: {name}, uid: {uid}, ownerReferences: [{{kind: AppliedManifestWork, uid: owner}}]}}}}"
        )
    };
    let config_map = object("ConfigMap", "c, namespace: shop", "u1");
    check_plan(
        &case(&format!("{config_map}, {}", object("Namespace", "shop", "u0"))),
        "delete configmaps shop/c (u1)\ndelete namespaces shop (u0)\nlook again in 5 s",
    );
    check_plan(&case(""), "Finish");
}

#[test]
fn a_complete_work_is_not_applied_again() {
    check_plan(
        &format!(
            "spec: {{workload: {{manifests: [{CONFIG_MAP}]}}}}\napplied: []\nworkStatus: {{conditions: [{{type: Complete, status: 'True', reason: x, message: '', lastTransitionTime: '2026-01-01T00:00:00Z'}}]}}"
        ),
        r#"Rest { why: "the work is complete" }"#,
    );
}

#[test]
fn one_bad_manifest_does_not_stop_the_others_and_is_named() {
    let case = format!(
        "
spec:
  workload:
    manifests:
    - {{apiVersion: example.com/v1, kind: Widget, metadata: {{name: x}}}}
    - {{apiVersion: v1, kind: ConfigMap, metadata: {{name: nowhere}}}}
    - {CONFIG_MAP}
    - {{apiVersion: v1, kind: ConfigMap, metadata: {{name: d, namespace: shop}}}}
applied: ['/v1/configmaps/shop/d before']
failures: {{3: 'configmaps \"d\" is forbidden'}}
"
    );
    check_plan(
        &case,
        "
        1 ConfigMap nowhere: refuse (IncompleteMeta), metadata.namespace is missing: ConfigMap is namespaced
        2 ConfigMap c: apply as work-agent by force, it is missing
        3 ConfigMap d: apply as work-agent by force, it is missing
        0 Widget x: refuse (IncompleteMeta), the cluster does not serve example.com/v1, Kind=Widget: install its CustomResourceDefinition or correct apiVersion and kind
        look again in 240 s
        ",
    );
    check_status(
        &case,
        "
        Applied=False AppliedManifestWorkFailed: Failed to apply manifest work
        Available=False ResourcesNotAvailable: 1 of 4 resources are not available
        0 /x
          Applied=False AppliedManifestFailed: Failed to apply manifest: the cluster does not serve example.com/v1, Kind=Widget: install its CustomResourceDefinition or correct apiVersion and kind
          Available=Unknown IncompleteResourceMeta: Resource meta is incomplete
          StatusFeedbackSynced=True NoStatusFeedbackSynced
        1 configmaps/nowhere
          Applied=False AppliedManifestFailed: Failed to apply manifest: metadata.namespace is missing: ConfigMap is namespaced
          Available=Unknown IncompleteResourceMeta: Resource meta is incomplete
          StatusFeedbackSynced=True NoStatusFeedbackSynced
        2 configmaps/c
          Applied=True AppliedManifestComplete: Apply manifest complete
          Available=True ResourceAvailable: Resource is available
          StatusFeedbackSynced=True NoStatusFeedbackSynced
        3 configmaps/d
          Applied=False AppliedManifestFailed: Failed to apply manifest: configmaps \"d\" is forbidden
          Available=False ResourceNotAvailable: Resource is not available
          StatusFeedbackSynced=True NoStatusFeedbackSynced
        ",
    );
    check_applied(&case, "configmaps shop/c uid-of-c\nconfigmaps shop/d before");
}

const DEPLOYMENT: &str = "
spec:
  workload: {manifests: [{apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}, spec: {replicas: 2}}]}
  manifestConfigs:
  - resourceIdentifier: {group: apps, resource: deployments, namespace: shop, name: web}
    feedbackRules: [RULES]
applied: []
live:
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop, generation: 1, uid: u, annotations: hash, ownerReferences: [{apiVersion: work.open-cluster-management.io/v1, kind: AppliedManifestWork, name: hub-w, uid: owner}]},
   spec: {replicas: 2}, status: {observedGeneration: 1, replicas: 2, updatedReplicas: 2, readyReplicas: 1, availableReplicas: 1, conditions: [{type: Available, status: 'True'}]}}
";

#[test]
fn feedback_and_health_are_told() {
    let rules = "{type: WellKnownStatus}, {type: JSONPaths, jsonPaths: [{name: isAvailable, path: '.status.conditions[?(@.type==\"Available\")].status'}, {name: bad, path: '.a..b'}]}";
    check_status(
        &DEPLOYMENT.replace("RULES", rules),
        "
        Applied=True AppliedManifestWorkComplete: Apply manifest work complete
        Available=True ResourcesAvailable: All resources are available
        Progressing=True ResourceHealth: 1 of 1 resources are progressing
        Degraded=False ResourceHealth: 0 of 1 resources are degraded
        0 deployments/web
          Applied=True AppliedManifestComplete: Apply manifest complete
          Available=True ResourceAvailable: Resource is available
          StatusFeedbackSynced=False StatusFeedbackSyncFailed: Sync status feedback failed: bad: the path \".a..b\" is not understood at \"..b\"
          ReadyReplicas = {\"type\":\"Integer\",\"integer\":1}
          Replicas = {\"type\":\"Integer\",\"integer\":2}
          AvailableReplicas = {\"type\":\"Integer\",\"integer\":1}
          isAvailable = {\"type\":\"String\",\"string\":\"True\"}
        ",
    );
}

#[test]
fn strict_works_say_only_what_ocm_says() {
    check_status(
        &format!("{}\nstrict: true", DEPLOYMENT.replace("RULES", "")),
        "
        Applied=True AppliedManifestWorkComplete: Apply manifest work complete
        Available=True ResourcesAvailable: All resources are available
        0 deployments/web
          Applied=True AppliedManifestComplete: Apply manifest complete
          Available=True ResourceAvailable: Resource is available
          StatusFeedbackSynced=True NoStatusFeedbackSynced
        ",
    );
}

#[test]
fn a_job_completes_its_work_and_cel_rules_are_named_as_not_acted_on() {
    check_status(
        "
spec:
  workload:
    manifests:
    - {apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop}}
    - {apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop}}
  manifestConfigs:
  - resourceIdentifier: {group: batch, resource: jobs, namespace: shop, name: j}
    conditionRules: [{condition: Complete, type: WellKnownConditions, message: done}]
  - resourceIdentifier: {resource: configmaps, namespace: shop, name: c}
    conditionRules: [{condition: Progressing, type: CEL, celExpressions: ['true']}]
    updateStrategy: {type: ReadOnly}
strict: true
applied: []
live:
- {apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop, uid: u, annotations: hash, ownerReferences: [{apiVersion: work.open-cluster-management.io/v1, kind: AppliedManifestWork, name: hub-w, uid: owner}]},
   status: {conditions: [{type: Complete, status: 'True'}]}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: shop, uid: u2}}
",
        "
        Applied=True AppliedManifestWorkComplete: Apply manifest work complete
        Available=True ResourcesAvailable: All resources are available
        Complete=True ConditionRulesAggregated: 1 of 1 manifests are Complete
        Progressing=Unknown ConditionRulesAggregated: 0 of 1 manifests are Progressing
        muster.dev/FieldsNotActedOn=True NotSupportedYet: not acted on: spec.manifestConfigs[1].conditionRules[0].celExpressions
        0 jobs/j
          Applied=True AppliedManifestComplete: Apply manifest complete
          Available=True ResourceAvailable: Resource is available
          StatusFeedbackSynced=True NoStatusFeedbackSynced
          Complete=True ConditionRuleEvaluated: done
        1 configmaps/c
          Applied=True AppliedManifestComplete: Apply manifest complete
          Available=True ResourceAvailable: Resource is available
          StatusFeedbackSynced=True NoStatusFeedbackSynced
          Progressing=Unknown ConditionRuleInvalid: CEL rules are not evaluated by this version; use WellKnownConditions
        ",
    );
}

#[test]
fn an_executor_without_the_right_is_refused_by_name() {
    let case = format!(
        "spec: {{workload: {{manifests: [{CONFIG_MAP}]}}}}\napplied: []\ndenied: {{0: 'system:serviceaccount:a:b may not create configmaps in shop'}}"
    );
    check_plan(&case, "0 ConfigMap c: refuse (Denied), system:serviceaccount:a:b may not create configmaps in shop\nlook again in 60 s");
}
