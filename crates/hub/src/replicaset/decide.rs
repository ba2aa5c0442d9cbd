//! Which works there should be, and what the set says about those there are.

use std::collections::{BTreeMap, BTreeSet};

use api::conditions::{self, FALSE, Said, TRUE};
use api::work::{
    ManifestWork, ManifestWorkReplicaSet, ManifestWorkReplicaSetSummary, ManifestWorkSpec, PlacementSummary, RolloutType, annotation,
    condition, finalizer, label, reason,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::observe::{Observed, Selected};

/// An AppliedManifestWork's name is 64 characters of hub hash, a dash, and the work's name, within 253.
const WORK_NAME_MAX: usize = 180;
const LABEL_VALUE_MAX: usize = 63;

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub add_finalizer: bool,
    pub remove_finalizer: bool,
    /// Cluster and the placement that selected it.
    pub create: Vec<(String, String)>,
    pub update: Vec<(String, String)>,
    /// Clusters whose work goes.
    pub delete: Vec<String>,
    pub conditions: Vec<Said>,
    pub summary: ManifestWorkReplicaSetSummary,
    pub placement_summary: Vec<PlacementSummary>,
}

pub fn decide(seen: &Observed) -> Plan {
    let set = &*seen.set;
    if set.metadata.deletion_timestamp.is_some() {
        return end(seen);
    }
    let mut plan = Plan { add_finalizer: !has_finalizer(set), ..Plan::default() };
    // 1. A placement whose rollout is not done yet changes nothing: its clusters keep the works they have.
    let refused = refused(set);
    let held: BTreeSet<&String> = seen
        .placements
        .iter()
        .filter(|(name, _)| refused.contains_key(*name))
        .flat_map(|(_, s)| s.iter().flat_map(Selected::clusters))
        .collect();
    // 2. Every other selected cluster gets the work; the first placement that names it counts.
    let mut wanted: BTreeMap<&String, &String> = BTreeMap::new();
    for reference in set.spec.placement_refs.iter().filter(|r| !refused.contains_key(&r.name)) {
        let clusters = seen.placements.get(&reference.name).into_iter().flatten().flat_map(Selected::clusters);
        for cluster in clusters {
            wanted.entry(cluster).or_insert(&reference.name);
        }
    }
    let made = Made::of(seen);
    for (cluster, placement) in &wanted {
        let entry = ((*cluster).clone(), (*placement).clone());
        match seen.works.get(*cluster) {
            None => plan.create.push(entry),
            // A work on its way out is made again when it is gone.
            Some(work) if work.metadata.deletion_timestamp.is_some() => {}
            Some(work) if !made.has(cluster) || !has_labels(work, set, placement) => plan.update.push(entry),
            Some(_) => {}
        }
    }
    // 3. The rest goes; but where a placement has no decisions at all, nothing is known, and nothing goes.
    let is_known = seen.placements.values().all(Option::is_some);
    if is_known {
        let is_unwanted = |cluster: &&String| !wanted.contains_key(cluster) && !held.contains(cluster);
        plan.delete =
            seen.works.iter().filter(|(c, w)| is_unwanted(c) && w.metadata.deletion_timestamp.is_none()).map(|(c, _)| c.clone()).collect();
    }
    tell(seen, &made, &wanted, &refused, &mut plan);
    plan
}

/// Clusters whose works were made from the template as it is, and still say all that it says: looked at once for each work.
struct Made<'a>(BTreeSet<&'a String>);

impl<'a> Made<'a> {
    fn of(seen: &'a Observed) -> Self {
        let template = &seen.set.spec.manifest_work_template;
        let hash = template_hash(template);
        Self(seen.works.iter().filter(|(_, work)| has_spec(work, template, &hash)).map(|(cluster, _)| cluster).collect())
    }

    fn has(&self, cluster: &String) -> bool {
        self.0.contains(cluster)
    }
}

/// Background: the works are told to go and the set goes at once. Foreground: the set waits for them.
fn end(seen: &Observed) -> Plan {
    use api::work::CascadeDeletionPolicy as Policy;
    let set = &*seen.set;
    if !has_finalizer(set) {
        return Plan::default();
    }
    let going = seen.works.iter().filter(|(_, w)| w.metadata.deletion_timestamp.is_none()).map(|(c, _)| c.clone()).collect();
    let is_done = match set.spec.cascade_deletion_policy {
        Policy::Background => true,
        Policy::Foreground => seen.works.is_empty() && seen.strays.is_empty(),
    };
    Plan { delete: going, remove_finalizer: is_done, summary: summary(seen, &Made::of(seen), seen.works.keys()), ..Plan::default() }
}

fn has_finalizer(set: &ManifestWorkReplicaSet) -> bool {
    set.metadata.finalizers.iter().flatten().any(|f| f == finalizer::REPLICA_SET)
}

/// Returns placements whose rollout cannot be done, with the field that says so.
fn refused(set: &ManifestWorkReplicaSet) -> BTreeMap<String, String> {
    let strategy = |i: usize, r: &api::work::LocalPlacementReference| {
        let strategy = r.rollout_strategy.as_ref().filter(|s| s.type_ != RolloutType::All)?;
        Some((r.name.clone(), format!("spec.placementRefs[{i}].rolloutStrategy.type {:?}", strategy.type_)))
    };
    set.spec.placement_refs.iter().enumerate().filter_map(|(i, r)| strategy(i, r)).collect()
}

/// Returns fields that are accepted and have no effect yet.
fn ignored(set: &ManifestWorkReplicaSet) -> Vec<String> {
    let mut fields = Vec::new();
    for (i, reference) in set.spec.placement_refs.iter().enumerate() {
        let Some(all) = reference.rollout_strategy.as_ref().and_then(|s| s.all.as_ref()) else { continue };
        let path = format!("spec.placementRefs[{i}].rolloutStrategy.all");
        if all.progress_deadline.as_deref().is_some_and(|d| d != "None") {
            fields.push(format!("{path}.progressDeadline"));
        }
        if all.min_success_time.as_deref().is_some_and(|t| !matches!(t, "" | "0" | "0s")) {
            fields.push(format!("{path}.minSuccessTime"));
        }
        let is_zero = |m: &api::IntOrString| {
            matches!(m, api::IntOrString::Int(0)) || matches!(m, api::IntOrString::String(s) if s == "0" || s == "0%")
        };
        if all.max_failures.as_ref().is_some_and(|m| !is_zero(m)) {
            fields.push(format!("{path}.maxFailures"));
        }
    }
    fields
}

fn tell(seen: &Observed, made: &Made<'_>, wanted: &BTreeMap<&String, &String>, refused: &BTreeMap<String, String>, plan: &mut Plan) {
    let set = &*seen.set;
    plan.summary = ManifestWorkReplicaSetSummary { desired_total: to_i64(wanted.len()), ..summary(seen, made, seen.works.keys()) };
    for reference in &set.spec.placement_refs {
        let Some(selected) = seen.placements.get(&reference.name).and_then(Option::as_ref) else { continue };
        let part = summary(seen, made, selected.clusters());
        let total = selected.clusters().count();
        plan.placement_summary.push(PlacementSummary {
            name: reference.name.clone(),
            available_decision_groups: format!("{} ({} / {total} clusters applied)", selected.groups.len(), part.applied),
            summary: ManifestWorkReplicaSetSummary { desired_total: to_i64(total), ..part },
        });
    }
    plan.conditions =
        vec![verified(seen), applied(wanted.len(), &plan.summary), rolled_out(wanted.len(), &plan.summary, refused), unheard(set)];
    for said in &mut plan.conditions {
        said.observed_generation = set.metadata.generation;
    }
}

fn verified(seen: &Observed) -> Said {
    let missing: Vec<&str> = seen.placements.iter().filter(|(_, s)| s.is_none()).map(|(name, _)| name.as_str()).collect();
    if !missing.is_empty() {
        let text = format!("no PlacementDecision of Placement {} in the namespace", missing.join(", "));
        return Said::new(condition::PLACEMENT_VERIFIED, FALSE, reason::PLACEMENT_DECISION_NOT_FOUND, text);
    }
    if seen.placements.values().flatten().all(|s| s.clusters().next().is_none()) {
        return Said::new(condition::PLACEMENT_VERIFIED, FALSE, reason::PLACEMENT_DECISION_EMPTY, "the placements select no cluster");
    }
    Said::new(condition::PLACEMENT_VERIFIED, TRUE, reason::AS_EXPECTED, "")
}

fn applied(wanted: usize, summary: &ManifestWorkReplicaSetSummary) -> Said {
    let type_ = condition::MANIFESTWORK_APPLIED;
    if wanted == 0 {
        return Said::new(type_, FALSE, reason::PLACEMENT_DECISION_EMPTY, "no cluster is to have the work");
    }
    let text = format!("{} of {wanted} works are applied", summary.applied);
    if summary.applied == to_i64(wanted) && summary.total == summary.desired_total {
        Said::new(type_, TRUE, reason::AS_EXPECTED, text)
    } else if summary.updated < to_i64(wanted) {
        Said::new(type_, FALSE, reason::PROCESSING, text)
    } else {
        Said::new(type_, FALSE, reason::NOT_AS_EXPECTED, text)
    }
}

fn rolled_out(wanted: usize, summary: &ManifestWorkReplicaSetSummary, refused: &BTreeMap<String, String>) -> Said {
    let type_ = condition::PLACEMENT_ROLLED_OUT;
    if !refused.is_empty() {
        let fields = refused.values().cloned().collect::<Vec<_>>().join(", ");
        return Said::new(type_, FALSE, reason::NOT_SUPPORTED_YET, format!("not rolled out, since only All is done yet: {fields}"));
    }
    if summary.updated == to_i64(wanted) && summary.applied == to_i64(wanted) {
        Said::new(type_, TRUE, reason::COMPLETE, format!("{wanted} of {wanted} clusters have the work"))
    } else {
        Said::new(type_, FALSE, reason::PROGRESSING, format!("{} of {wanted} clusters have the work", summary.applied))
    }
}

fn unheard(set: &ManifestWorkReplicaSet) -> Said {
    let fields = ignored(set);
    if fields.is_empty() {
        return Said::new(condition::FIELDS_NOT_ACTED_ON, FALSE, "AllFieldsActedOn", "");
    }
    Said::new(condition::FIELDS_NOT_ACTED_ON, TRUE, reason::NOT_SUPPORTED_YET, format!("not acted on yet: {}", fields.join(", ")))
}

fn summary<'a>(seen: &Observed, made: &Made<'_>, clusters: impl Iterator<Item = &'a String>) -> ManifestWorkReplicaSetSummary {
    let mut sum = ManifestWorkReplicaSetSummary::default();
    for (cluster, work) in clusters.filter_map(|c| Some((c, seen.works.get(c)?))) {
        // What an agent said about an earlier spec says nothing about this one.
        let says = |type_: &str| {
            let found = conditions::find(work.conditions(), type_);
            found.is_some_and(|c| c.status == TRUE && c.observed_generation.is_none_or(|g| Some(g) == work.metadata.generation))
        };
        sum.total += 1;
        sum.updated += i64::from(made.has(cluster));
        sum.applied += i64::from(says(condition::APPLIED));
        sum.available += i64::from(says(condition::AVAILABLE));
        sum.progressing += i64::from(says(condition::PROGRESSING));
        sum.degraded += i64::from(says(condition::DEGRADED));
    }
    sum
}

/// Returns the label value that ties works to a set: `<namespace>.<name>`, shortened by a hash where it is too long.
pub fn label_value(set: &ManifestWorkReplicaSet) -> String {
    let whole = format!("{}.{}", set.metadata.namespace.as_deref().unwrap_or_default(), set.metadata.name.as_deref().unwrap_or_default());
    if whole.len() <= LABEL_VALUE_MAX { whole } else { shortened(&whole, LABEL_VALUE_MAX) }
}

/// Returns the name of a set's works: the set's own and a hash, since other namespaces may have a set of that name.
pub fn work_name(set: &ManifestWorkReplicaSet) -> String {
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let whole = format!("{}/{name}", set.metadata.namespace.as_deref().unwrap_or_default());
    let kept: String = name.chars().take(WORK_NAME_MAX - 9).collect();
    format!("{}-{}", kept.trim_end_matches(['-', '.']), short_hash(&whole))
}

fn shortened(whole: &str, max: usize) -> String {
    let kept: String = whole.chars().take(max - 9).collect();
    format!("{}-{}", kept.trim_end_matches(['-', '.']), short_hash(whole))
}

fn short_hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(4).map(|b| format!("{b:02x}")).collect()
}

/// Returns the labels a work must have.
pub fn labels(set: &ManifestWorkReplicaSet, placement: &str) -> BTreeMap<String, String> {
    [(label::REPLICA_SET, label_value(set)), (label::PLACEMENT_NAME, placement.to_owned())].map(|(k, v)| (k.to_owned(), v)).into()
}

/// Returns the annotations a work must have.
pub fn annotations(set: &ManifestWorkReplicaSet) -> BTreeMap<String, String> {
    [(annotation::TEMPLATE_HASH.to_owned(), template_hash(&set.spec.manifest_work_template))].into()
}

fn template_hash(template: &ManifestWorkSpec) -> String {
    short_hash(&serde_json::to_string(template).unwrap_or_default())
}

fn has_labels(work: &ManifestWork, set: &ManifestWorkReplicaSet, placement: &str) -> bool {
    let found = work.metadata.labels.as_ref();
    labels(set, placement).iter().all(|(k, v)| found.and_then(|l| l.get(k)) == Some(v))
}

/// Returns whether a work was made from the template of this hash, as it is, and still says all that it says. The hash is for what the
/// template no longer says; what the server filled in besides does not matter.
fn has_spec(work: &ManifestWork, template: &ManifestWorkSpec, hash: &str) -> bool {
    let made_from = work.metadata.annotations.as_ref().and_then(|annotations| annotations.get(annotation::TEMPLATE_HASH));
    if made_from.is_none_or(|made_from| made_from != hash) {
        return false;
    }
    // The manifests, the larger part, are stored as they are written.
    let is_workload_same = work.spec.workload == template.workload;
    let to_compare = |spec: &ManifestWorkSpec| {
        let mut rest = ManifestWorkSpec {
            delete_option: spec.delete_option.clone(),
            manifest_configs: spec.manifest_configs.clone(),
            executor: spec.executor.clone(),
            ..ManifestWorkSpec::default()
        };
        if !is_workload_same {
            rest.workload = spec.workload.clone();
        }
        serde_json::to_value(rest)
    };
    match (to_compare(&work.spec), to_compare(template)) {
        (Ok(found), Ok(wanted)) => covers(&found, &wanted),
        _ => false,
    }
}

fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, value)| found.get(key).is_some_and(|f| covers(f, value))),
        (Value::Array(found), Value::Array(wanted)) => found.len() == wanted.len() && found.iter().zip(wanted).all(|(f, w)| covers(f, w)),
        (found, wanted) => found == wanted,
    }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::work::ManifestWorkReplicaSetSpec;
    use serde_json::json;

    use super::*;

    fn set(spec: Value) -> Arc<ManifestWorkReplicaSet> {
        let mut spec = spec;
        spec["manifestWorkTemplate"] = json!({"workload": {"manifests": [{"kind": "ConfigMap", "data": {"k": "new"}}]}});
        let spec: ManifestWorkReplicaSetSpec = serde_json::from_value(spec).expect("a spec");
        let mut set = ManifestWorkReplicaSet::new("web", spec);
        set.metadata.namespace = Some("default".into());
        set.metadata.finalizers = Some(vec![finalizer::REPLICA_SET.into()]);
        Arc::new(set)
    }

    /// A work is `cluster`, `cluster!` for an old template, `cluster+` for one that is applied.
    fn seen(set: Arc<ManifestWorkReplicaSet>, placements: &[(&str, Option<&[&str]>)], works: &[&str]) -> Observed {
        let placements = placements.iter().map(|(name, clusters)| {
            let selected = clusters.map(|c| Selected { groups: [(0, c.iter().map(|c| (*c).to_owned()).collect())].into() });
            ((*name).to_owned(), selected)
        });
        let works = works.iter().map(|text| {
            let cluster = text.trim_end_matches(['!', '+']);
            let mut spec = set.spec.manifest_work_template.clone();
            if text.ends_with('!') {
                spec.workload.manifests[0].0["data"]["k"] = json!("old");
            }
            let mut work = ManifestWork::new(&work_name(&set), spec);
            work.metadata.labels = Some(labels(&set, "p"));
            work.metadata.annotations = Some(annotations(&set));
            // What the server fills in.
            work.spec.delete_option = Some(serde_json::from_value(json!({"propagationPolicy": "Foreground"})).expect("an option"));
            if text.ends_with('+') {
                let all = &mut work.status.get_or_insert_default().conditions;
                conditions::set(all, &Said::new(condition::APPLIED, TRUE, "r", ""), jiff::Timestamp::UNIX_EPOCH);
            }
            (cluster.to_owned(), Arc::new(work))
        });
        Observed { placements: placements.collect(), works: works.collect(), strays: Vec::new(), set: set.clone() }
    }

    fn check(seen: &Observed, expect: &str) {
        let plan = decide(seen);
        let list = |entries: &[(String, String)]| entries.iter().map(|(c, _)| c.as_str()).collect::<Vec<_>>().join(",");
        let mut text = format!("create {} update {} delete {}", list(&plan.create), list(&plan.update), plan.delete.join(","));
        for said in plan.conditions.iter().filter(|s| s.type_ != condition::FIELDS_NOT_ACTED_ON || s.status == TRUE) {
            text += &format!("; {}={}", said.type_, said.reason);
        }
        assert_eq!(text, expect);
    }

    #[test]
    fn works_follow_the_decisions() {
        let refs = || set(json!({"placementRefs": [{"name": "p"}]}));
        check(
            &seen(refs(), &[("p", Some(&["a", "b", "c"]))], &["b+", "c!", "d"]),
            "create a update c delete d; PlacementVerified=AsExpected; ManifestworkApplied=Processing; PlacementRolledOut=Progressing",
        );
        check(
            &seen(refs(), &[("p", Some(&["a", "b"]))], &["a+", "b+"]),
            "create  update  delete ; PlacementVerified=AsExpected; ManifestworkApplied=AsExpected; PlacementRolledOut=Complete",
        );
        check(
            &seen(refs(), &[("p", Some(&[]))], &["a+"]),
            "create  update  delete a; PlacementVerified=PlacementDecisionEmpty; ManifestworkApplied=PlacementDecisionEmpty; \
             PlacementRolledOut=Progressing",
        );
    }

    #[test]
    fn what_the_template_no_longer_says_leaves_the_works() {
        let refs = set(json!({"placementRefs": [{"name": "p"}]}));
        let mut seen = seen(refs, &[("p", Some(&["a"]))], &["a+"]);
        assert!(decide(&seen).update.is_empty());
        let set = Arc::make_mut(&mut seen.set);
        set.spec.manifest_work_template.workload.manifests[0].0["data"] = json!({});
        assert_eq!(decide(&seen).update, [("a".to_owned(), "p".to_owned())]);
    }

    #[test]
    fn where_nothing_is_decided_nothing_is_deleted() {
        let set = set(json!({"placementRefs": [{"name": "p"}]}));
        check(
            &seen(set, &[("p", None)], &["a+"]),
            "create  update  delete ; PlacementVerified=PlacementDecisionNotFound; ManifestworkApplied=PlacementDecisionEmpty; \
             PlacementRolledOut=Progressing",
        );
    }

    #[test]
    fn another_rollout_is_refused_and_keeps_what_is_there() {
        let set = set(json!({"placementRefs": [{"name": "p"}, {"name": "q", "rolloutStrategy": {"type": "Progressive"}}]}));
        let seen = seen(set, &[("p", Some(&["a"])), ("q", Some(&["b", "c"]))], &["a+", "b!", "d"]);
        check(
            &seen,
            "create  update  delete d; PlacementVerified=AsExpected; ManifestworkApplied=NotAsExpected; PlacementRolledOut=NotSupportedYet",
        );
        let plan = decide(&seen);
        assert!(plan.conditions[2].message.ends_with("spec.placementRefs[1].rolloutStrategy.type Progressive"));
        assert_eq!(plan.placement_summary[0].available_decision_groups, "1 (1 / 1 clusters applied)");
    }

    #[test]
    fn fields_without_effect_are_named() {
        let all = json!({"type": "All", "all": {"progressDeadline": "10m", "maxFailures": 0, "minSuccessTime": "0"}});
        let set = set(json!({"placementRefs": [{"name": "p", "rolloutStrategy": all}]}));
        let plan = decide(&seen(set, &[("p", Some(&[]))], &[]));
        assert_eq!(plan.conditions[3].message, "not acted on yet: spec.placementRefs[0].rolloutStrategy.all.progressDeadline");
    }

    #[test]
    fn a_deleted_set_takes_its_works_along() {
        let mut gone = set(json!({"placementRefs": [{"name": "p"}], "cascadeDeletionPolicy": "Foreground"}));
        Arc::make_mut(&mut gone).metadata.deletion_timestamp = Some(api::Time(jiff::Timestamp::UNIX_EPOCH));
        let plan = decide(&seen(gone.clone(), &[("p", Some(&["a"]))], &["a+"]));
        assert_eq!((plan.delete.as_slice(), plan.remove_finalizer), (["a".to_owned()].as_slice(), false));
        assert!(decide(&seen(gone, &[("p", Some(&["a"]))], &[])).remove_finalizer);
    }

    #[test]
    fn long_names_fit_and_stay_apart() {
        let mut long = (*set(json!({"placementRefs": []}))).clone();
        long.metadata.name = Some("x".repeat(250));
        assert_eq!(label_value(&long).len(), 63);
        assert_eq!(work_name(&long).len(), 180);
        let mut other = long.clone();
        other.metadata.namespace = Some("other".into());
        assert_ne!(work_name(&long), work_name(&other));
    }
}
