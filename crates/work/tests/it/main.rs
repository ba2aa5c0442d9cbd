//! Tables of decisions: least YAML in, a few readable lines out.

mod cases;

use std::collections::BTreeMap;
use std::fmt::Write;

use api::work::{AppliedManifestWork, ManifestWork, ManifestWorkStatus};
use apimachinery::gvk::GroupVersionKind;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use work::{Apply, Change, Live, Mapping, ObjectId, Observed, Outcome, Release, ReleasePlan, Settings, Stage};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    /// `spec` of the work.
    spec: Value,
    #[serde(default)]
    work_metadata: Value,
    #[serde(default)]
    work_status: Value,
    /// `None`: not created yet. Each resource as `group/version/resource/namespace/name uid`.
    applied: Option<Vec<String>>,
    #[serde(default)]
    evicting_since: Option<String>,
    /// Objects on the cluster; `hash` in place of the annotation means the hash of the manifest of the same name.
    #[serde(default)]
    live: Vec<Value>,
    #[serde(default)]
    denied: BTreeMap<usize, String>,
    /// What the cluster answers to applies, by ordinal; the others succeed.
    #[serde(default)]
    failures: BTreeMap<usize, String>,
    #[serde(default)]
    strict: bool,
}

const KINDS: &[(&str, &str, &str, bool)] = &[
    ("v1", "Namespace", "namespaces", false),
    ("v1", "ConfigMap", "configmaps", true),
    ("v1", "Pod", "pods", true),
    ("apps/v1", "Deployment", "deployments", true),
    ("batch/v1", "Job", "jobs", true),
];

pub struct Told {
    pub plan: String,
    pub status: String,
    pub applied: String,
    /// UIDs of the owners that are sent, of all applies.
    pub owners: Vec<String>,
}

fn id_of(object: &Value) -> ObjectId {
    let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (_, _, resource, _) = KINDS.iter().find(|k| k.0 == api_version && k.1 == kind).unwrap();
    let gvk = GroupVersionKind::from_api_version(api_version, kind);
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    ObjectId { group: gvk.group, version: gvk.version, resource: (*resource).into(), namespace: text("namespace"), name: text("name") }
}

fn owners(apply: &Apply) -> Vec<String> {
    let (Change::Create { object } | Change::Apply { object, .. }) = &apply.change else { return Vec::new() };
    let owners = object["metadata"]["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    owners.iter().map(|owner| owner["uid"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Plans a case, pretends that its applies went as told, and returns everything in words.
pub fn tell(yaml: &str) -> Told {
    let case: Case = serde_saphyr::from_str(yaml).unwrap();
    let settings = Settings { hub_hash: "hub".into(), agent_id: "agent".into(), is_strict: case.strict };
    let mut metadata = json!({"name": "w", "namespace": "store-1", "generation": 2, "finalizers": ["cluster.open-cluster-management.io/manifest-work-cleanup"]});
    merge(&mut metadata, &case.work_metadata);
    let mut work =
        json!({"apiVersion": "work.open-cluster-management.io/v1", "kind": "ManifestWork", "metadata": metadata, "spec": case.spec});
    if !case.work_status.is_null() {
        work["status"] = case.work_status;
    }
    let work: ManifestWork = serde_json::from_value(work).unwrap();
    let applied = case.applied.map(|resources| applied(&resources, case.evicting_since.as_deref()));
    let mappings: BTreeMap<_, _> = KINDS
        .iter()
        .map(|(api_version, kind, resource, is_namespaced)| {
            (GroupVersionKind::from_api_version(api_version, kind), Mapping { resource: (*resource).into(), is_namespaced: *is_namespaced })
        })
        .collect();
    let hash = |object: &Value| {
        let manifests = &work.spec.workload.manifests;
        manifests
            .iter()
            .find(|m| m.0["metadata"]["name"] == object["metadata"]["name"])
            .map(|m| work::manifest_hash(&m.0))
            .unwrap_or_default()
    };
    let live: BTreeMap<ObjectId, Live> = case
        .live
        .into_iter()
        .map(|mut object| {
            if let Some(text) = object.get("unreadable") {
                return (id_of(&object), Live::Unreadable(text.as_str().unwrap().to_owned()));
            }
            if object["metadata"]["annotations"] == "hash" {
                object["metadata"]["annotations"] = json!({"open-cluster-management.io/config-spec-hash": hash(&object)});
            }
            (id_of(&object), Live::Present(object))
        })
        .collect();
    let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let seen = Observed {
        settings: &settings,
        work: &work,
        applied: applied.as_ref(),
        mappings: &mappings,
        live: &live,
        denied: &case.denied,
        now,
    };
    let plan = work::plan(&seen);
    let mut told = Told { plan: String::new(), status: String::new(), applied: String::new(), owners: Vec::new() };
    match &plan.stage {
        Stage::Apply { applies, prune } => {
            tell_applies(&mut told.plan, applies);
            told.owners = applies.iter().flat_map(owners).collect();
            tell_release(&mut told.plan, prune);
            let outcomes = outcomes(applies, &case.failures);
            tell_status(&mut told.status, &work::status(&seen, applies, &outcomes));
            for meta in work::applied_resources(&seen, applies, &outcomes, prune) {
                writeln!(told.applied, "{} {}", ObjectId::of_meta(&meta), meta.uid).unwrap();
            }
        }
        Stage::Release(release) => tell_release(&mut told.plan, release),
        other => writeln!(told.plan, "{other:?}").unwrap(),
    }
    if let Some(delay) = plan.look_again {
        writeln!(told.plan, "look again in {} s", delay.as_secs()).unwrap();
    }
    told
}

fn applied(resources: &[String], evicting_since: Option<&str>) -> AppliedManifestWork {
    let metas: Vec<Value> = resources
        .iter()
        .map(|text| {
            let (path, uid) = text.split_once(' ').unwrap();
            let parts: Vec<&str> = path.split('/').collect();
            json!({"group": parts[0], "version": parts[1], "resource": parts[2], "namespace": parts[3], "name": parts[4], "uid": uid})
        })
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "work.open-cluster-management.io/v1",
        "kind": "AppliedManifestWork",
        "metadata": {"name": "hub-w", "uid": "owner"},
        "spec": {"hubHash": "hub", "agentID": "agent", "manifestWorkName": "w"},
        "status": {"appliedResources": metas, "evictionStartTime": evicting_since},
    }))
    .unwrap()
}

fn outcomes(applies: &[Apply], failures: &BTreeMap<usize, String>) -> BTreeMap<usize, Outcome> {
    let mut outcomes = BTreeMap::new();
    for apply in applies {
        let object = match &apply.change {
            Change::Create { object } | Change::Apply { object, .. } => object,
            Change::Keep { .. } | Change::Refuse { .. } | Change::Wait { .. } => continue,
        };
        let outcome = match failures.get(&apply.ordinal) {
            Some(message) => Outcome::Failed(message.clone()),
            None => {
                let mut object = object.clone();
                object["metadata"]["uid"] = format!("uid-of-{}", apply.id.name).into();
                Outcome::Done(Some(object))
            }
        };
        outcomes.insert(apply.ordinal, outcome);
    }
    outcomes
}

fn tell_applies(out: &mut String, applies: &[Apply]) {
    for apply in applies {
        let name = format!("{} {} {}", apply.ordinal, apply.kind, apply.id.name);
        match &apply.change {
            Change::Keep { why } => writeln!(out, "{name}: keep, {why}"),
            Change::Create { .. } => writeln!(out, "{name}: create"),
            Change::Apply { field_manager, force, why, object } => {
                let force = if *force { " by force" } else { "" };
                let owned = if object["metadata"]["ownerReferences"].is_null() { " without owner" } else { "" };
                writeln!(out, "{name}: apply as {field_manager}{force}{owned}, {why}")
            }
            Change::Refuse { reason, message } => writeln!(out, "{name}: refuse ({reason:?}), {message}"),
            Change::Wait { why } => writeln!(out, "{name}: wait, {why}"),
        }
        .unwrap();
    }
}

fn tell_release(out: &mut String, plan: &ReleasePlan) {
    for step in &plan.steps {
        match step {
            Release::Delete { id, uid } => writeln!(out, "delete {id} ({uid})"),
            Release::Disown { id, why, .. } => writeln!(out, "disown {id}, {why}"),
            Release::Forget { id, why } => writeln!(out, "forget {id}, {why}"),
            Release::Wait { id, why } => writeln!(out, "wait for {id}, {why}"),
        }
        .unwrap();
    }
}

fn tell_status(out: &mut String, status: &ManifestWorkStatus) {
    let tell = |out: &mut String, indent: &str, c: &api::Condition| {
        let message = if c.message.is_empty() { String::new() } else { format!(": {}", c.message) };
        writeln!(out, "{indent}{}={} {}{message}", c.type_, c.status, c.reason).unwrap();
    };
    status.conditions.iter().for_each(|c| tell(out, "", c));
    for manifest in &status.resource_status.manifests {
        let meta = &manifest.resource_meta;
        writeln!(out, "{} {}/{}", meta.ordinal, meta.resource, meta.name).unwrap();
        manifest.conditions.iter().for_each(|c| tell(out, "  ", c));
        for value in &manifest.status_feedback.values {
            writeln!(out, "  {} = {}", value.name, serde_json::to_string(&value.field_value).unwrap()).unwrap();
        }
    }
}

fn merge(into: &mut Value, from: &Value) {
    for (key, value) in from.as_object().into_iter().flatten() {
        into[key] = value.clone();
    }
}
