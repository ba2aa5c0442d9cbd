use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads an object and writes it again: nothing of it may be lost.
fn check<K: Serialize + DeserializeOwned>(yaml: &str) -> K {
    let given: Value = serde_saphyr::from_str(yaml).expect("YAML");
    let object: K = serde_json::from_value(given.clone()).expect("an object of the kind");
    let written = serde_json::to_value(&object).expect("plain data");
    contains(&written, &given, "");
    object
}

fn contains(written: &Value, given: &Value, path: &str) {
    match given {
        Value::Object(fields) => {
            for (name, value) in fields {
                let found = written.get(name).unwrap_or_else(|| panic!("{path}.{name} is lost"));
                contains(found, value, &format!("{path}.{name}"));
            }
        }
        Value::Array(items) => {
            for (i, value) in items.iter().enumerate() {
                contains(&written[i], value, &format!("{path}[{i}]"));
            }
        }
        plain => assert_eq!(written, plain, "{path}"),
    }
}

#[test]
fn managed_cluster() {
    let cluster: api::cluster::ManagedCluster = check(
        r#"
apiVersion: cluster.open-cluster-management.io/v1
kind: ManagedCluster
metadata: {name: store-1, labels: {cluster.open-cluster-management.io/clusterset: default}}
spec:
  hubAcceptsClient: true
  leaseDurationSeconds: 60
  managedClusterClientConfigs: [{url: "https://10.0.0.1:6443", caBundle: "Y2E="}]
  taints: [{key: gpu, value: "true", effect: NoSelectIfNew, timeAdded: "2026-01-02T03:04:05Z"}]
status:
  allocatable: {cpu: "4", memory: 8Gi}
  capacity: {cpu: "4", memory: 8Gi, sockets: "2"}
  clusterClaims: [{name: id.k8s.io, value: 9b1deb4d}]
  conditions:
  - {type: ManagedClusterJoined, status: "True", reason: ManagedClusterJoined, message: ok, lastTransitionTime: "2026-01-02T03:04:05Z"}
  managedNamespaces: [{clusterSet: default, name: shop, conditions: []}]
  version: {kubernetes: v1.33.1}
"#
        .replace(", conditions: []", "")
        .as_str(),
    );
    assert_eq!(cluster.claim("id.k8s.io"), Some("9b1deb4d"));
    assert!(api::conditions::is_true(cluster.conditions(), api::cluster::condition::JOINED));
}

#[test]
fn a_capacity_may_be_a_number() {
    let status: api::cluster::ManagedClusterStatus =
        serde_json::from_value(serde_json::json!({"capacity": {"cpu": 4, "memory": "1Gi"}, "allocatable": null})).expect("readable");
    assert_eq!(status.capacity["cpu"].0, "4");
}

#[test]
fn sets_and_bindings() {
    let set: api::cluster::ManagedClusterSet = check(
        r#"
apiVersion: cluster.open-cluster-management.io/v1beta2
kind: ManagedClusterSet
metadata: {name: global}
spec:
  clusterSelector: {selectorType: LabelSelector, labelSelector: {}}
  managedNamespaces: [{name: shop}]
"#,
    );
    assert!(set.spec.cluster_selector.is_some());
    check::<api::cluster::ManagedClusterSetBinding>(
        "{apiVersion: cluster.open-cluster-management.io/v1beta2, kind: ManagedClusterSetBinding, metadata: {name: global, namespace: a}, spec: {clusterSet: global}}",
    );
}

#[test]
fn placement() {
    check::<api::cluster::Placement>(
        r#"
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: Placement
metadata: {name: p, namespace: default}
spec:
  clusterSets: [default]
  numberOfClusters: 3
  predicates:
  - requiredClusterSelector:
      labelSelector: {matchLabels: {env: prod}, matchExpressions: [{key: region, operator: In, values: [eu]}]}
      claimSelector: {matchExpressions: [{key: platform.open-cluster-management.io, operator: In, values: [AWS]}]}
      celSelector: {celExpressions: ["managedCluster.status.version.kubernetes == 'v1.31.0'"]}
  prioritizerPolicy:
    mode: Exact
    configurations:
    - {scoreCoordinate: {type: BuiltIn, builtIn: Steady}, weight: 3}
    - {scoreCoordinate: {type: AddOn, addOn: {resourceName: r, scoreName: s}}, weight: -1}
  spreadPolicy: {spreadConstraints: [{topologyKey: zone, topologyKeyType: Label, maxSkew: 1, whenUnsatisfiable: DoNotSchedule}]}
  tolerations: [{key: gpu, operator: Equal, value: "true", effect: NoSelect, tolerationSeconds: 300}]
  decisionStrategy:
    groupStrategy:
      clustersPerDecisionGroup: 25%
      decisionGroups: [{groupName: canary, groupClusterSelector: {labelSelector: {matchLabels: {canary: "true"}}}}]
  sortBy: Score
  scoreRateLimit: 1m
status:
  numberOfSelectedClusters: 1
  decisionGroups: [{decisionGroupIndex: 0, decisionGroupName: "", decisions: [p-decision-1], clusterCount: 1}]
"#,
    );
    check::<api::cluster::PlacementDecision>(
        r#"
apiVersion: cluster.open-cluster-management.io/v1beta1
kind: PlacementDecision
metadata: {name: p-decision-1, namespace: default, labels: {cluster.open-cluster-management.io/placement: p}}
status: {decisions: [{clusterName: store-1, reason: "", score: 12}]}
"#,
    );
}

#[test]
fn scores_and_claims() {
    check::<api::cluster::AddOnPlacementScore>(
        r#"
apiVersion: cluster.open-cluster-management.io/v1alpha1
kind: AddOnPlacementScore
metadata: {name: r, namespace: store-1}
status: {scores: [{name: s, value: 66}], validUntil: "2026-01-02T03:04:05Z"}
"#,
    );
    check::<api::cluster::ClusterClaim>(
        "{apiVersion: cluster.open-cluster-management.io/v1alpha1, kind: ClusterClaim, metadata: {name: id.k8s.io}, spec: {value: abc}}",
    );
}

const WORK_SPEC: &str = r#"
workload:
  manifests:
  - {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}, data: {k: v}}
deleteOption:
  propagationPolicy: SelectivelyOrphan
  selectivelyOrphans: {orphaningRules: [{resource: configmaps, namespace: default, name: a}]}
  ttlSecondsAfterFinished: 30
executor: {subject: {type: ServiceAccount, serviceAccount: {namespace: a, name: b}}}
manifestConfigs:
- resourceIdentifier: {group: apps, resource: deployments, namespace: default, name: "*"}
  feedbackRules:
  - {type: WellKnownStatus}
  - {type: JSONPaths, jsonPaths: [{name: x, version: v1, path: .status.x}]}
  feedbackScrapeType: Watch
  updateStrategy:
    type: ServerSideApply
    serverSideApply:
      force: true
      fieldManager: work-agent-x
      ignoreFields: [{condition: OnSpokeChange, jsonPaths: [.spec.replicas]}]
  conditionRules: [{condition: Progressing, type: CEL, celExpressions: ["true"], message: m}]
"#;

#[test]
fn works() {
    let spec: api::work::ManifestWorkSpec = check(WORK_SPEC);
    assert_eq!(spec.workload.manifests[0].0["data"]["k"], "v");
    check::<api::work::ManifestWorkStatus>(
        r#"
conditions: [{type: Applied, status: "True", reason: AppliedManifestWorkComplete, message: "", lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 2}]
resourceStatus:
  manifests:
  - resourceMeta: {ordinal: 0, group: apps, version: v1, kind: Deployment, resource: deployments, name: a, namespace: b}
    statusFeedback: {values: [{name: ReadyReplicas, fieldValue: {type: Integer, integer: 1}}, {name: j, fieldValue: {type: JsonRaw, jsonRaw: "{}"}}]}
    conditions: []
"#,
    );
    check::<api::work::AppliedManifestWork>(
        r#"
apiVersion: work.open-cluster-management.io/v1
kind: AppliedManifestWork
metadata: {name: 0badc0de-w}
spec: {hubHash: 0badc0de, agentID: a, manifestWorkName: w}
status: {appliedResources: [{group: apps, version: v1, resource: deployments, namespace: b, name: a, uid: u}], evictionStartTime: "2026-01-02T03:04:05Z"}
"#,
    );
}

#[test]
fn replica_set() {
    check::<api::work::ManifestWorkReplicaSet>(
        r#"
apiVersion: work.open-cluster-management.io/v1alpha1
kind: ManifestWorkReplicaSet
metadata: {name: a, namespace: default}
spec:
  cascadeDeletionPolicy: Foreground
  manifestWorkTemplate: {workload: {manifests: [{apiVersion: v1, kind: Namespace, metadata: {name: x}}]}}
  placementRefs:
  - {name: p, rolloutStrategy: {type: All, all: {progressDeadline: None, maxFailures: 5%, minSuccessTime: "0"}}}
  - name: q
    rolloutStrategy:
      type: Progressive
      progressive: {maxConcurrency: 25%, maxFailures: 2, mandatoryDecisionGroups: [{groupName: canary}, {groupIndex: 1}]}
status:
  summary: {desiredTotal: 2, total: 2, applied: 1, available: 1, updated: 2}
  placementSummary: [{name: p, availableDecisionGroups: "1 (1 / 2 clusters applied)", summary: {total: 2}}]
"#,
    );
}

#[test]
fn addons() {
    check::<api::addon::ManagedClusterAddOn>(
        r#"
apiVersion: addon.open-cluster-management.io/v1alpha1
kind: ManagedClusterAddOn
metadata: {name: a, namespace: store-1}
spec: {installNamespace: default, configs: [{group: g, resource: r, namespace: ns, name: c}]}
"#,
    );
    check::<api::addon::ClusterManagementAddOn>(
        r#"
apiVersion: addon.open-cluster-management.io/v1alpha1
kind: ClusterManagementAddOn
metadata: {name: a}
spec: {addOnMeta: {displayName: A, description: B}}
"#,
    );
}

#[test]
fn application() {
    let app: api::argo::Application = check(
        r#"
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: shop, namespace: argocd, finalizers: [resources-finalizer.argocd.argoproj.io]}
spec:
  project: default
  source:
    repoURL: https://git.example/shop.git
    targetRevision: main
    path: deploy
    directory: {recurse: true, include: "*.yaml", exclude: "{a,b}*", jsonnet: {tlas: [{name: x, value: y}]}}
    kustomize: {namePrefix: p-, images: ["a=b:1"], replicas: [{name: web, count: 3}], patches: [{patch: x}], components: [c]}
    helm: {releaseName: r, valueFiles: [v.yaml], valuesObject: {a: {b: 1}}, parameters: [{name: x, value: v, forceString: true}]}
  destination: {server: "https://kubernetes.default.svc", namespace: shop}
  syncPolicy:
    automated: {prune: true, selfHeal: true, allowEmpty: false, enabled: true}
    syncOptions: [CreateNamespace=true]
    retry: {limit: 5, backoff: {duration: 5s, factor: 2, maxDuration: 3m}}
    managedNamespaceMetadata: {labels: {a: b}}
  ignoreDifferences: [{group: apps, kind: Deployment, jsonPointers: [/spec/replicas]}]
  info: [{name: url, value: x}]
  revisionHistoryLimit: 3
operation:
  initiatedBy: {username: anna}
  sync: {revision: abc, prune: true, resources: [{group: apps, kind: Deployment, name: web}], syncOptions: [x]}
status:
  sync:
    status: Synced
    revision: abc
    comparedTo: {source: {repoURL: r, path: p}, destination: {namespace: shop}}
  health: {status: Healthy, lastTransitionTime: "2026-01-02T03:04:05Z"}
  resources: [{group: apps, version: v1, kind: Deployment, namespace: shop, name: web, status: Synced, health: {status: Healthy}, syncWave: 2}]
  operationState:
    operation: {sync: {revision: abc}}
    phase: Succeeded
    message: successfully synced (all tasks run)
    startedAt: "2026-01-02T03:04:05Z"
    finishedAt: "2026-01-02T03:04:06Z"
    syncResult: {revision: abc, source: {repoURL: r}, resources: [{group: "", version: v1, kind: Pod, namespace: shop, name: h, status: Synced, hookType: PreSync, hookPhase: Succeeded, syncPhase: PreSync}]}
  history: [{id: 0, revision: abc, deployedAt: "2026-01-02T03:04:05Z", deployStartedAt: "2026-01-02T03:04:05Z", initiatedBy: {automated: true}, source: {repoURL: r}}]
  conditions: [{type: RepeatedResourceWarning, message: twice}, {type: RepeatedResourceWarning, message: again}]
  summary: {images: ["nginx:1"], externalURLs: ["https://x"]}
  sourceType: Directory
  reconciledAt: "2026-01-02T03:04:05Z"
  controllerNamespace: argocd
"#
        .replace(", allowEmpty: false", "")
        .as_str(),
    );
    assert_eq!(app.spec.sources().len(), 1);
    assert!(app.spec.sync_policy.and_then(|p| p.automated).is_some_and(|a| a.is_enabled()));
}

#[test]
fn an_application_without_type_fields_or_status_reads() {
    let app: api::argo::Application = serde_json::from_value(
        serde_json::json!({"metadata": {"name": "a"}, "spec": {"project": "default"}, "status": {"resources": null}}),
    )
    .expect("readable");
    assert_eq!(app.kind, "Application");
    assert!(app.status.expect("a status").resources.is_empty());
}

#[test]
fn projects_and_sets() {
    check::<api::argo::AppProject>(
        r#"
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  description: all
  sourceRepos: ["*"]
  destinations: [{namespace: "*", server: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
  namespaceResourceBlacklist: [{group: "", kind: ResourceQuota}]
  roles: [{name: r, policies: [p]}]
  syncWindows: [{kind: deny, schedule: "0 8 * * *", duration: 9h, applications: ["*"], timeZone: Europe/Berlin, manualSync: true}]
  orphanedResources: {warn: true}
"#,
    );
    check::<api::argo::ApplicationSet>(
        r#"
apiVersion: argoproj.io/v1alpha1
kind: ApplicationSet
metadata: {name: a, namespace: argocd}
spec:
  goTemplate: true
  goTemplateOptions: ["missingkey=error"]
  generators: [{clusterDecisionResource: {configMapRef: x, requeueAfterSeconds: 30}}]
  template:
    metadata: {name: "{{.name}}-shop", labels: {a: b}}
    spec: {project: default, source: {repoURL: r, path: p}, destination: {name: "{{.name}}", namespace: shop}}
  syncPolicy: {applicationsSync: sync, preserveResourcesOnDeletion: true}
  strategy: {type: RollingSync}
"#,
    );
}
