//! What the hub is told: conditions of the work and of each manifest, with OCM's types and reasons.

use std::collections::BTreeMap;

use api::Condition;
use api::conditions::{self, FALSE, Said, TRUE, UNKNOWN};
use api::work::{
    AppliedManifestResourceMeta, ConditionRuleType, ManifestCondition, ManifestResourceMeta, ManifestResourceStatus, ManifestWorkStatus,
    StatusFeedbackResult, condition, reason,
};
use jiff::Timestamp;
use kinds::HealthStatus;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::strategy::{Apply, Change, Refusal};
use crate::{Live, ObjectId, Observed, ReleasePlan, config, feedback};

/// How the apply of one manifest ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// The object as it is on the cluster now; `None` for one that is only read and does not exist.
    Done(Option<Value>),
    Failed(String),
}

/// Returns the status of a work after its applies; `outcomes` by ordinal, for all that have a change to send.
pub fn status(seen: &Observed<'_>, applies: &[Apply], outcomes: &BTreeMap<usize, Outcome>) -> ManifestWorkStatus {
    let before = seen.work.status.clone().unwrap_or_default();
    let mut by_ordinal: Vec<&Apply> = applies.iter().collect();
    by_ordinal.sort_by_key(|apply| apply.ordinal);
    let manifests: Vec<ManifestCondition> =
        by_ordinal.iter().map(|apply| manifest(seen, apply, outcomes.get(&apply.ordinal), &before.resource_status)).collect();
    let mut conditions = before.conditions;
    let generation = seen.work.metadata.generation;
    let mut healths = Vec::new();
    for apply in &by_ordinal {
        if let Some(object) = live_after(seen, apply, outcomes.get(&apply.ordinal))
            && let Some(health) = kinds::health(object)
        {
            healths.push(health.status);
        }
    }
    for said in work_conditions(seen, &manifests, &healths) {
        conditions::set(&mut conditions, &said.at_generation(generation), seen.now);
    }
    // What was aggregated from rules that are gone says nothing any more.
    for type_ in [condition::COMPLETE, condition::PROGRESSING, condition::DEGRADED] {
        if conditions::find(&conditions, type_).is_some_and(|c| c.observed_generation != generation) {
            conditions::remove(&mut conditions, type_);
        }
    }
    match not_acted_on(seen) {
        fields if fields.is_empty() => {
            conditions::remove(&mut conditions, condition::FIELDS_NOT_ACTED_ON);
        }
        fields => {
            let said =
                Said::new(condition::FIELDS_NOT_ACTED_ON, TRUE, reason::NOT_SUPPORTED_YET, format!("not acted on: {}", fields.join(", ")));
            conditions::set(&mut conditions, &said.at_generation(generation), seen.now);
        }
    }
    ManifestWorkStatus { conditions, resource_status: ManifestResourceStatus { manifests } }
}

/// Returns what the AppliedManifestWork should list: what is applied now, what was before and could not be this
/// time, and what is still to be released.
pub fn applied_resources(
    seen: &Observed<'_>,
    applies: &[Apply],
    outcomes: &BTreeMap<usize, Outcome>,
    prune: &ReleasePlan,
) -> Vec<AppliedManifestResourceMeta> {
    let before: &[AppliedManifestResourceMeta] =
        seen.applied.and_then(|a| a.status.as_ref()).map(|s| s.applied_resources.as_slice()).unwrap_or_default();
    let mut resources = Vec::new();
    for apply in applies {
        let is_read_only = matches!(&apply.change, Change::Keep { why } if why.contains("ReadOnly"));
        if is_read_only || apply.id.resource.is_empty() {
            continue;
        }
        let uid = match live_after(seen, apply, outcomes.get(&apply.ordinal)) {
            Some(object) => object["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            None => String::new(),
        };
        let known = before.iter().find(|meta| ObjectId::of_meta(meta).is_same_object(&apply.id));
        match (outcomes.get(&apply.ordinal), known) {
            (Some(Outcome::Failed(_)), None) => {}
            (Some(Outcome::Failed(_)), Some(known)) => resources.push(known.clone()),
            (Some(Outcome::Done(_)) | None, known) => {
                let is_there = !uid.is_empty();
                if is_there {
                    resources.push(meta_of(&apply.id, uid));
                } else if let Some(known) = known {
                    resources.push(known.clone());
                }
            }
        }
    }
    resources.extend(prune.remaining.iter().cloned());
    resources
}

fn meta_of(id: &ObjectId, uid: String) -> AppliedManifestResourceMeta {
    AppliedManifestResourceMeta {
        group: id.group.clone(),
        resource: id.resource.clone(),
        version: id.version.clone(),
        namespace: id.namespace.clone(),
        name: id.name.clone(),
        uid,
    }
}

/// The object after the apply, as far as it is known.
fn live_after<'a>(seen: &'a Observed<'_>, apply: &Apply, outcome: Option<&'a Outcome>) -> Option<&'a Value> {
    match outcome {
        Some(Outcome::Done(object)) => object.as_ref(),
        Some(Outcome::Failed(_)) | None => seen.live.get(&apply.id).and_then(Live::object),
    }
}

fn manifest(seen: &Observed<'_>, apply: &Apply, outcome: Option<&Outcome>, before: &ManifestResourceStatus) -> ManifestCondition {
    let resource_meta = ManifestResourceMeta {
        ordinal: i32::try_from(apply.ordinal).unwrap_or(i32::MAX),
        group: apply.id.group.clone(),
        version: apply.id.version.clone(),
        kind: apply.kind.clone(),
        resource: apply.id.resource.clone(),
        name: apply.id.name.clone(),
        namespace: apply.id.namespace.clone(),
    };
    let is_same =
        |m: &&ManifestCondition| ManifestResourceMeta { ordinal: resource_meta.ordinal, ..m.resource_meta.clone() } == resource_meta;
    let mut conditions: Vec<Condition> = before.manifests.iter().find(is_same).map(|m| m.conditions.clone()).unwrap_or_default();
    let object = live_after(seen, apply, outcome);
    let option = config::option_for(&seen.work.spec, &apply.id);
    let rules = option.map(|o| o.feedback_rules.as_slice()).unwrap_or_default();
    let (values, errors) = object.map(|object| feedback::collect(rules, object)).unwrap_or_default();
    let mut said = vec![applied_condition(apply, outcome), available_condition(seen, apply, object)];
    if object.is_some() || rules.is_empty() {
        said.push(feedback_condition(rules.is_empty(), &errors));
    }
    for said in said {
        conditions::set(&mut conditions, &said, seen.now);
    }
    let mut ruled = Vec::new();
    for rule in option.map(|o| o.condition_rules.as_slice()).unwrap_or_default() {
        let type_ = match rule.type_ {
            ConditionRuleType::WellKnownConditions if rule.condition.is_empty() => condition::COMPLETE.to_owned(),
            ConditionRuleType::WellKnownConditions | ConditionRuleType::CEL => rule.condition.clone(),
        };
        let (status, reason, message) = evaluate(rule.type_, &type_, object, &rule.message);
        set_named(&mut conditions, &type_, status, reason, message, seen.now);
        ruled.push(type_);
    }
    let own = [condition::APPLIED, condition::AVAILABLE, condition::STATUS_FEEDBACK_SYNCED];
    conditions.retain(|c| own.contains(&c.type_.as_str()) || ruled.contains(&c.type_));
    ManifestCondition { resource_meta, status_feedback: StatusFeedbackResult { values }, conditions }
}

fn applied_condition(apply: &Apply, outcome: Option<&Outcome>) -> Said {
    let failed = |reason, message: &str| Said::new(condition::APPLIED, FALSE, reason, format!("Failed to apply manifest: {message}"));
    match (&apply.change, outcome) {
        (Change::Refuse { reason: Refusal::IgnoreFields, message }, _) => failed(reason::APPLIED_MANIFEST_SSA_IGNORE_FIELD_ERROR, message),
        (Change::Refuse { message, .. }, _) => failed(reason::APPLIED_MANIFEST_FAILED, message),
        (Change::Wait { why }, _) => failed(reason::APPLIED_MANIFEST_FAILED, why),
        (_, Some(Outcome::Failed(message))) => failed(reason::APPLIED_MANIFEST_FAILED, message),
        (Change::Keep { .. } | Change::Create { .. } | Change::Apply { .. }, Some(Outcome::Done(_)) | None) => {
            Said::new(condition::APPLIED, TRUE, reason::APPLIED_MANIFEST_COMPLETE, "Apply manifest complete")
        }
    }
}

fn available_condition(seen: &Observed<'_>, apply: &Apply, object: Option<&Value>) -> Said {
    let said = |status, reason, message: &str| Said::new(condition::AVAILABLE, status, reason, message);
    match (&apply.change, object, seen.live.get(&apply.id)) {
        (Change::Refuse { reason: Refusal::IncompleteMeta, .. }, _, _) => {
            said(UNKNOWN, reason::INCOMPLETE_RESOURCE_META, "Resource meta is incomplete")
        }
        (_, Some(_), _) => said(TRUE, reason::RESOURCE_AVAILABLE, "Resource is available"),
        (_, None, Some(Live::Unreadable(why))) => {
            said(UNKNOWN, reason::FETCHING_RESOURCE_FAILED, &format!("Failed to fetch resource: {why}"))
        }
        (_, None, Some(Live::Missing | Live::Present(_)) | None) => {
            said(FALSE, reason::RESOURCE_NOT_AVAILABLE, "Resource is not available")
        }
    }
}

fn feedback_condition(has_no_rules: bool, errors: &[String]) -> Said {
    let type_ = condition::STATUS_FEEDBACK_SYNCED;
    match errors {
        [] if has_no_rules => Said::new(type_, TRUE, reason::NO_STATUS_FEEDBACK_SYNCED, ""),
        [] => Said::new(type_, TRUE, reason::STATUS_FEEDBACK_SYNCED, ""),
        errors => {
            Said::new(type_, FALSE, reason::STATUS_FEEDBACK_SYNC_FAILED, format!("Sync status feedback failed: {}", errors.join("; ")))
        }
    }
}

/// Evaluates one condition rule.
fn evaluate(rule: ConditionRuleType, type_: &str, object: Option<&Value>, message: &str) -> (&'static str, &'static str, String) {
    let Some(object) = object else {
        return (FALSE, reason::CONDITION_RULE_EVALUATED, "the resource does not exist".into());
    };
    match rule {
        ConditionRuleType::CEL => {
            (UNKNOWN, reason::CONDITION_RULE_INVALID, "CEL rules are not evaluated by this version; use WellKnownConditions".into())
        }
        ConditionRuleType::WellKnownConditions => match well_known_complete(object).filter(|_| type_ == condition::COMPLETE) {
            None => (UNKNOWN, reason::CONDITION_RULE_INVALID, format!("{} has no well-known condition {type_}", kinds::kind_of(object))),
            Some(is_complete) => (if is_complete { TRUE } else { FALSE }, reason::CONDITION_RULE_EVALUATED, message.to_owned()),
        },
    }
}

/// Returns whether a Job or Pod has ended, well or badly.
fn well_known_complete(object: &Value) -> Option<bool> {
    match (kinds::group_of(object), kinds::kind_of(object)) {
        ("batch", "Job") => {
            let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
            let has_ended = |c: &Value| (c["type"] == "Complete" || c["type"] == "Failed") && c["status"] == "True";
            Some(conditions.iter().any(has_ended))
        }
        ("", "Pod") => Some(object["status"]["phase"] == "Succeeded" || object["status"]["phase"] == "Failed"),
        _ => None,
    }
}

fn work_conditions(seen: &Observed<'_>, manifests: &[ManifestCondition], healths: &[HealthStatus]) -> Vec<Said> {
    let count = |type_: &str, status: &str| {
        manifests.iter().filter(|m| conditions::find(&m.conditions, type_).is_some_and(|c| c.status == status)).count()
    };
    let all = manifests.len();
    let mut said = Vec::new();
    said.push(if count(condition::APPLIED, TRUE) == all {
        Said::new(condition::APPLIED, TRUE, reason::APPLIED_MANIFEST_WORK_COMPLETE, "Apply manifest work complete")
    } else {
        Said::new(condition::APPLIED, FALSE, reason::APPLIED_MANIFEST_WORK_FAILED, "Failed to apply manifest work")
    });
    let (unavailable, unknown) = (count(condition::AVAILABLE, FALSE), count(condition::AVAILABLE, UNKNOWN));
    said.push(if unavailable > 0 {
        let message = format!("{unavailable} of {all} resources are not available");
        Said::new(condition::AVAILABLE, FALSE, reason::RESOURCES_NOT_AVAILABLE, message)
    } else if unknown > 0 {
        let message = format!("{unknown} of {all} resources have unknown status");
        Said::new(condition::AVAILABLE, UNKNOWN, reason::RESOURCES_STATUS_UNKNOWN, message)
    } else {
        Said::new(condition::AVAILABLE, TRUE, reason::RESOURCES_AVAILABLE, "All resources are available")
    });
    let mut ruled = false;
    for type_ in [condition::COMPLETE, condition::PROGRESSING, condition::DEGRADED] {
        let (yes, no, unknown) = (count(type_, TRUE), count(type_, FALSE), count(type_, UNKNOWN));
        if yes + no + unknown == 0 {
            continue;
        }
        ruled |= type_ != condition::COMPLETE;
        // Progressing if any is; complete and degraded if all are.
        let is_any = type_ == condition::PROGRESSING;
        let status = match (is_any, yes, no, unknown) {
            (true, 1.., _, _) | (false, _, 0, 0) => TRUE,
            (true, 0, _, 1..) | (false, _, 0, 1..) => UNKNOWN,
            _ => FALSE,
        };
        let message = format!("{yes} of {} manifests are {type_}", yes + no + unknown);
        said.push(Said::new(type_, status, reason::CONDITION_RULES_AGGREGATED, message));
    }
    if !ruled && !seen.settings.is_strict && !healths.is_empty() {
        said.extend(health_conditions(healths));
    }
    said
}

/// Rollouts advance by these two; OCM leaves both to CEL rules.
fn health_conditions(healths: &[HealthStatus]) -> [Said; 2] {
    let count = |wanted: HealthStatus| healths.iter().filter(|h| **h == wanted).count();
    let (progressing, degraded) = (count(HealthStatus::Progressing), count(HealthStatus::Degraded));
    let truth = |is_true| if is_true { TRUE } else { FALSE };
    // Degraded is counted as progressing too: OCM's rollout calls a cluster failed only while both are true.
    [
        Said::new(
            condition::PROGRESSING,
            truth(progressing + degraded > 0),
            "ResourceHealth",
            format!("{progressing} of {} resources are progressing", healths.len()),
        ),
        Said::new(
            condition::DEGRADED,
            truth(degraded > 0),
            "ResourceHealth",
            format!("{degraded} of {} resources are degraded", healths.len()),
        ),
    ]
}

/// Names what the spec asks for and this version does not do.
fn not_acted_on(seen: &Observed<'_>) -> Vec<String> {
    let mut fields = Vec::new();
    let spec = &seen.work.spec;
    for (index, option) in spec.manifest_configs.iter().enumerate() {
        for (rule_index, rule) in option.condition_rules.iter().enumerate() {
            if rule.type_ == ConditionRuleType::CEL {
                fields.push(format!("spec.manifestConfigs[{index}].conditionRules[{rule_index}].celExpressions"));
            }
            if !rule.message_expression.is_empty() {
                fields.push(format!("spec.manifestConfigs[{index}].conditionRules[{rule_index}].messageExpression"));
            }
        }
    }
    fields
}

/// As [`conditions::set`], for a type that a rule names.
fn set_named(conditions: &mut Vec<Condition>, type_: &str, status: &str, reason: &str, message: String, now: Timestamp) {
    let since = match conditions.iter().find(|c| c.type_ == type_) {
        Some(current) if current.status == status => current.last_transition_time.clone(),
        Some(_) | None => api::Time(Timestamp::from_second(now.as_second()).unwrap_or(now)),
    };
    conditions.retain(|c| c.type_ != type_);
    conditions.push(Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: None,
        last_transition_time: since,
    });
}
