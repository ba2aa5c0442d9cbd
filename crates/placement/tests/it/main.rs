//! What a Placement selects, feature by feature. Each row is the least YAML that makes the point.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use api::cluster::{AddOnPlacementScore, ManagedCluster, ManagedClusterSet, ManagedClusterSetBinding, Placement};
use jiff::Timestamp;
use placement::{Placed, Snapshot, decide};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    spec: Value,
    annotations: Value,
    bindings: Vec<String>,
    sets: BTreeMap<String, Value>,
    clusters: BTreeMap<String, Value>,
    before: BTreeSet<String>,
    elsewhere: BTreeMap<String, u32>,
    scores: Vec<Value>,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            spec: json!({}),
            annotations: json!({}),
            bindings: vec!["global".into()],
            sets: BTreeMap::from([("global".into(), json!({"clusterSelector": {"selectorType": "LabelSelector", "labelSelector": {}}}))]),
            clusters: BTreeMap::new(),
            before: BTreeSet::new(),
            elsewhere: BTreeMap::new(),
            scores: Vec::new(),
        }
    }
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().expect("a time")
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).expect("a well-formed row"))
}

impl Given {
    /// A cluster is `{labels, claims, taints, allocatable, deleted}`, all optional.
    fn cluster(name: &str, said: &Value) -> Arc<ManagedCluster> {
        let claims: Vec<Value> = said["claims"].as_object().into_iter().flatten().map(|(n, v)| json!({"name": n, "value": v})).collect();
        let mut cluster = json!({
            "apiVersion": "cluster.open-cluster-management.io/v1", "kind": "ManagedCluster",
            "metadata": {"name": name, "labels": said["labels"]},
            "spec": {"taints": said.get("taints").cloned().unwrap_or(json!([]))},
            "status": {"clusterClaims": claims, "allocatable": said["allocatable"]},
        });
        if said["deleted"] == true {
            cluster["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        read(cluster)
    }

    fn snapshot(&self) -> Snapshot {
        let set = |(name, spec): (&String, &Value)| -> Arc<ManagedClusterSet> {
            read(json!({"apiVersion": "v", "kind": "ManagedClusterSet", "metadata": {"name": name}, "spec": spec}))
        };
        let binding = |name: &String| -> Arc<ManagedClusterSetBinding> {
            read(json!({"apiVersion": "v", "kind": "b", "metadata": {"name": name, "namespace": "ns"}, "spec": {"clusterSet": name}}))
        };
        let score = |said: &Value| -> Arc<AddOnPlacementScore> {
            read(json!({
                "apiVersion": "v", "kind": "s", "metadata": {"name": said["resource"], "namespace": said["cluster"]},
                "status": {"scores": [{"name": "s", "value": said["value"]}], "validUntil": said["until"]},
            }))
        };
        let placement: Arc<Placement> = read(json!({
            "apiVersion": "v", "kind": "Placement",
            "metadata": {"name": "p", "namespace": "ns", "annotations": self.annotations}, "spec": self.spec,
        }));
        Snapshot {
            placement,
            bindings: self.bindings.iter().map(binding).collect(),
            sets: self.sets.iter().map(set).collect(),
            clusters: self.clusters.iter().map(|(n, c)| Self::cluster(n, c)).collect(),
            scores: self.scores.iter().map(score).collect(),
            selected_before: self.before.clone(),
            selected_elsewhere: self.elsewhere.clone(),
        }
    }
}

/// Compares with `object[group name]=clusters`, then the reason, then whatever else is said.
fn check(given: &str, expect: &str) {
    let given: Given = serde_saphyr::from_str(given).unwrap_or_else(|e| panic!("{e}\n{given}"));
    let found = decide(&given.snapshot(), now());
    let mut text: Vec<String> = Vec::new();
    match &found.placed {
        Placed::AsBefore => text.push("as before".into()),
        Placed::Anew(groups) => {
            for group in groups {
                for object in &group.objects {
                    let names: Vec<&str> = object.decisions.iter().map(|d| d.cluster_name.as_str()).collect();
                    assert_eq!(object.labels["cluster.open-cluster-management.io/decision-group-index"], group.index.to_string());
                    let number = object.name.strip_prefix("p-decision-").expect("the Placement's name first");
                    text.push(format!("{number}[{}]={}", group.name, names.join(",")));
                }
            }
        }
    }
    for condition in &found.conditions {
        let is_news = match condition.type_ {
            "PlacementSatisfied" => true,
            _ => condition.status == "True",
        };
        if is_news {
            text.push(condition.reason.to_owned());
        }
        if is_news && condition.type_ != "PlacementSatisfied" {
            text.push(format!("({})", condition.message));
        }
    }
    text.extend(found.left_out.iter().map(|(name, why)| format!("-{name}: {why}")));
    text.extend(found.look_again_at.map(|at| format!("again {}", at - now())));
    text.extend(found.warnings);
    assert_eq!(text.join("; "), expect);
}

#[test]
fn all_clusters_of_bound_sets_by_default() {
    check("clusters: {b: {}, a: {}}", "1[]=a,b; AllDecisionsScheduled");
    check("clusters: {}", "1[]=; AllManagedClusterSetsEmpty");
    check("clusters: {a: {deleted: true}, b: {}}", "1[]=b; AllDecisionsScheduled; -a: the cluster is being deleted");
}

#[test]
fn sets_must_exist_be_bound_and_be_asked_for() {
    check("{bindings: [], clusters: {a: {}}}", "1[]=; NoManagedClusterSetBindings");
    check("{bindings: [nowhere], clusters: {a: {}}}", "1[]=; NoManagedClusterSetBindings");
    check("{spec: {clusterSets: [other]}, clusters: {a: {}}}", "1[]=; NoIntersection");
    check(
        "
bindings: [one, all]
sets: {one: {}, all: {clusterSelector: {selectorType: LabelSelector, labelSelector: {matchLabels: {x: yes}}}}}
spec: {clusterSets: [one]}
clusters: {a: {labels: {cluster.open-cluster-management.io/clusterset: one}}, b: {labels: {x: yes}}}
"
        .replace("yes", "\"1\"")
        .as_str(),
        "1[]=a; AllDecisionsScheduled",
    );
    check(
        "
bindings: [one, all]
sets: {one: {}, all: {clusterSelector: {selectorType: LabelSelector, labelSelector: {matchLabels: {x: one}}}}}
clusters: {a: {labels: {cluster.open-cluster-management.io/clusterset: one}}, b: {labels: {x: one}}, c: {}}
",
        "1[]=a,b; AllDecisionsScheduled",
    );
    check(
        "{bindings: [s], sets: {s: {clusterSelector: {selectorType: LabelSelector}}}, clusters: {a: {}}}",
        "1[]=; AllManagedClusterSetsEmpty",
    );
}

#[test]
fn predicates_are_alternatives_and_their_parts_are_not() {
    let clusters = "clusters: {a: {labels: {env: prod}, claims: {os: linux}}, b: {labels: {env: prod}}, c: {labels: {env: dev}}}";
    check(
        &format!(
            "
{clusters}
spec:
  predicates:
  - requiredClusterSelector:
      labelSelector: {{matchLabels: {{env: prod}}}}
      claimSelector: {{matchExpressions: [{{key: os, operator: In, values: [linux]}}]}}
  - requiredClusterSelector: {{labelSelector: {{matchExpressions: [{{key: env, operator: NotIn, values: [prod]}}]}}}}
"
        ),
        "1[]=a,c; AllDecisionsScheduled; -b: no predicate matches its labels and claims",
    );
    check(
        &format!("{clusters}\nspec: {{predicates: [{{requiredClusterSelector: {{labelSelector: {{matchLabels: {{x: z}}}}}}}}]}}")
            .replace("c: {labels: {env: dev}}", "c: {}"),
        "1[]=; NoManagedClusterMatched; -a: no predicate matches its labels and claims; -b: no predicate matches its labels and claims; \
         -c: no predicate matches its labels and claims",
    );
}

#[test]
fn what_is_not_understood_changes_nothing_and_names_the_field() {
    let cel = "{clusters: {a: {}}, spec: {predicates: [{requiredClusterSelector: {celSelector: {celExpressions: ['true']}}}]}}";
    check(
        cel,
        "as before; Misconfigured; (spec.predicates[0].requiredClusterSelector.celSelector is not supported yet; use labelSelector or \
         claimSelector); Misconfigured",
    );
    let toleration = |t: &str| format!("{{clusters: {{a: {{}}}}, spec: {{tolerations: [{t}]}}}}");
    check(
        &toleration("{operator: Equal, value: x}"),
        "as before; Misconfigured; (spec.tolerations[0].operator must be Exists where key is empty); Misconfigured",
    );
    check(
        &toleration("{key: a, operator: Exists, value: x}"),
        "as before; Misconfigured; (spec.tolerations[0].value must be empty for operator Exists); Misconfigured",
    );
    check(
        "{clusters: {a: {}}, spec: {prioritizerPolicy: {configurations: [{scoreCoordinate: {type: BuiltIn, builtIn: Spread}}]}}}",
        "as before; Misconfigured; (spec.prioritizerPolicy.configurations[0].scoreCoordinate.builtIn is \"Spread\": one of Balance, Steady, \
         ResourceAllocatableCPU, ResourceAllocatableMemory is needed); Misconfigured",
    );
    check(
        "{clusters: {a: {}}, spec: {predicates: [{requiredClusterSelector: {labelSelector: {matchExpressions: [{key: a, operator: In}]}}}]}}",
        "as before; Misconfigured; (spec.predicates[0].requiredClusterSelector.labelSelector.matchExpressions[0].values must not be empty \
         for In and NotIn); Misconfigured",
    );
    check("{clusters: {a: {}}, annotations: {cluster.open-cluster-management.io/experimental-scheduling-disable: 'true'}}", "as before");
}

#[test]
fn fields_without_effect_are_named() {
    check(
        "{clusters: {a: {}}, spec: {sortBy: Score, scoreRateLimit: 1m, spreadPolicy: {spreadConstraints: [{topologyKey: z, topologyKeyType: Label}]}}}",
        "1[]=a; AllDecisionsScheduled; NotSupportedYet; (not acted on yet: spec.spreadPolicy, spec.sortBy)",
    );
}

#[test]
fn taints_keep_clusters_out_unless_tolerated() {
    let tainted = |effect: &str, spec: &str, more: &str| {
        format!(
            "{{clusters: {{a: {{taints: [{{key: k, value: v, effect: {effect}, timeAdded: '2026-01-01T11:59:00Z'}}]}}, b: {{}}}}, spec: {{tolerations: [{spec}]}}{more}}}"
        )
    };
    let out = "1[]=b; AllDecisionsScheduled; -a: taint k:NoSelect is not tolerated";
    let both = "1[]=a,b; AllDecisionsScheduled";
    check(&tainted("NoSelect", "", ""), out);
    check(&tainted("PreferNoSelect", "", ""), both);
    check(&tainted("NoSelectIfNew", "", ""), "1[]=b; AllDecisionsScheduled; -a: taint k:NoSelectIfNew is not tolerated");
    check(&tainted("NoSelectIfNew", "", ", before: [a]"), both);
    check(&tainted("NoSelect", "{operator: Exists}", ""), both);
    check(&tainted("NoSelect", "{key: k, operator: Exists}", ""), both);
    check(&tainted("NoSelect", "{key: k, value: v}", ""), both);
    check(&tainted("NoSelect", "{key: k, value: w}", ""), out);
    check(&tainted("NoSelect", "{key: k, value: v, effect: NoSelectIfNew}", ""), out);
    check(&tainted("NoSelect", "{key: k, value: v, effect: NoSelect}", ""), both);
    check(&tainted("NoSelect", "{key: k, value: v, tolerationSeconds: 300}", ""), "1[]=a,b; AllDecisionsScheduled; again PT240S");
    check(&tainted("NoSelect", "{key: k, value: v, tolerationSeconds: 60}", ""), out);
    check(&tainted("NoSelect", "{key: k, value: v, tolerationSeconds: 61}, {operator: Exists}", ""), both);
}

#[test]
fn as_many_as_wanted_and_the_best_first() {
    check(
        "{clusters: {a: {}, b: {}, c: {}}, spec: {numberOfClusters: 2}}",
        "1[]=a,b; AllDecisionsScheduled; -c: enough clusters rank before it (score 0)",
    );
    check("{clusters: {a: {}}, spec: {numberOfClusters: 3}}", "1[]=a; NotAllDecisionsScheduled");
    // Steady: what is selected stays selected.
    check(
        "{clusters: {a: {}, b: {}, c: {}}, before: [b, c], spec: {numberOfClusters: 2}}",
        "1[]=b,c; AllDecisionsScheduled; -a: enough clusters rank before it (score 0)",
    );
    // Balance: who has fewer decisions of others comes first.
    check(
        "{clusters: {a: {}, b: {}}, elsewhere: {a: 4, b: 1}, spec: {numberOfClusters: 1}}",
        "1[]=b; AllDecisionsScheduled; -a: enough clusters rank before it (score -100)",
    );
    check("{clusters: {a: {}}, spec: {numberOfClusters: 0}}", "1[]=; AllDecisionsScheduled; -a: enough clusters rank before it (score 0)");
}

#[test]
fn resources_and_scores_rank() {
    let by = |coordinate: &str| {
        format!(
            "
clusters: {{a: {{allocatable: {{cpu: '2', memory: 8Gi}}}}, b: {{allocatable: {{cpu: 4000m, memory: 4Gi}}}}, c: {{allocatable: {{cpu: 3}}}}}}
scores:
- {{cluster: a, resource: r, value: 40}}
- {{cluster: b, resource: r, value: 90, until: '2026-01-01T11:00:00Z'}}
- {{cluster: c, resource: r, value: -10, until: '2026-01-01T13:00:00Z'}}
spec: {{numberOfClusters: 1, prioritizerPolicy: {{mode: Exact, configurations: [{{weight: 2, scoreCoordinate: {coordinate}}}]}}}}
"
        )
    };
    let left = |name: &str, score: i64| format!("-{name}: enough clusters rank before it (score {score})");
    check(
        &by("{type: BuiltIn, builtIn: ResourceAllocatableCPU}"),
        &format!("1[]=b; AllDecisionsScheduled; {}; {}", left("a", -200), left("c", 0)),
    );
    check(
        &by("{type: BuiltIn, builtIn: ResourceAllocatableMemory}"),
        &format!("1[]=a; AllDecisionsScheduled; {}; {}", left("b", -200), left("c", 0)),
    );
    check(
        &by("{type: AddOn, addOn: {resourceName: r, scoreName: s}}"),
        &format!(
            "1[]=a; AllDecisionsScheduled; {}; {}; again PT3600S; AddOnPlacementScore r has expired on 1 clusters and counts as 0 there",
            left("b", 0),
            left("c", -20)
        ),
    );
}

#[test]
fn selected_clusters_are_divided_into_groups() {
    check(
        "
clusters: {a: {}, b: {labels: {canary: x}}, c: {}, d: {labels: {canary: x}}, e: {}}
spec:
  decisionStrategy:
    groupStrategy:
      clustersPerDecisionGroup: 25%
      decisionGroups: [{groupName: canary, groupClusterSelector: {labelSelector: {matchLabels: {canary: x}}}}]
",
        "1[canary]=b,d; 2[]=a,c; 3[]=e; AllDecisionsScheduled",
    );
    check(
        "{clusters: {a: {}, b: {}}, spec: {decisionStrategy: {groupStrategy: {clustersPerDecisionGroup: 1}}}}",
        "1[]=a; 2[]=b; AllDecisionsScheduled",
    );
    check(
        "{clusters: {a: {}}, spec: {decisionStrategy: {groupStrategy: {clustersPerDecisionGroup: 0}}}}",
        "as before; Misconfigured; (spec.decisionStrategy.groupStrategy.clustersPerDecisionGroup must be a number above 0 or a percentage \
         from 1% to 100%); Misconfigured",
    );
}

#[test]
fn ten_thousand_clusters_fill_a_hundred_objects() {
    let spec = json!({
        "predicates": [{"requiredClusterSelector": {"labelSelector": {"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}}}],
    });
    let clusters = (0..10_000).map(|i| (format!("store-{i:05}"), json!({"labels": {"env": "prod"}}))).collect();
    let snapshot = Given { spec, clusters, ..Given::default() }.snapshot();
    let found = decide(&snapshot, now());
    let Placed::Anew(groups) = &found.placed else { panic!("nothing decided") };
    assert_eq!(groups.len(), 1);
    assert_eq!(groups[0].objects.len(), 100);
    assert!(groups[0].objects.iter().all(|o| o.decisions.len() == 100));
    assert_eq!(found.selected_count(), Some(10_000));
    assert_eq!(decide(&snapshot, now()), found);
}
