//! What is not acted on, in words.

use api::argo::{AppProject, AppProjectSpec, ApplicationDestination, ApplicationSet, ProjectResource, annotation, set_condition};
use jiff::Timestamp;
use serde_json::{Value, json};

/// What an ApplicationSet is told, and its author.
pub const SET_MESSAGE: &str = "this hub does not act on ApplicationSets, so no Application comes of this one: \
     put the Application into a ManifestWorkReplicaSet and let a Placement choose its clusters";

/// Returns the conditions that a set should have, if it does not.
pub fn conditions(set: &ApplicationSet, now: Timestamp) -> Option<Vec<Value>> {
    if set.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let present = set.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    // Said already, or somebody else acts on it.
    let is_untold = present.is_empty();
    let is_outdated = present.iter().any(|c| is_ours(c) && c["message"] != SET_MESSAGE) && present.iter().all(is_ours);
    (is_untold || is_outdated).then(|| {
        let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
        vec![json!({
            "type": set_condition::ERROR_OCCURRED,
            "status": "True",
            "reason": set_condition::NOT_ACTED_ON,
            "message": SET_MESSAGE,
            "lastTransitionTime": at.to_string(),
        })]
    })
}

fn is_ours(condition: &Value) -> bool {
    condition["reason"] == set_condition::NOT_ACTED_ON
}

/// What changes on a project.
#[derive(Debug, PartialEq, Eq)]
pub struct Note {
    /// The annotation; none takes it away.
    pub annotation: Option<String>,
    /// What an event tells about it.
    pub text: Option<String>,
}

/// Returns what a project should say, if it does not.
pub fn note(project: &AppProject) -> Option<Note> {
    if project.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let fields = fields(&project.spec);
    let wanted = (!fields.is_empty()).then(|| fields.join(", "));
    let present = project.metadata.annotations.as_ref().and_then(|all| all.get(annotation::NOT_ACTED_ON));
    (present != wanted.as_ref()).then(|| Note { text: wanted.as_ref().map(|_| project_message(&fields)), annotation: wanted })
}

/// Says that these fields of a project are not acted on.
pub fn project_message(fields: &[&str]) -> String {
    format!(
        "accepted but not acted on: {}; Applications of this project may do what the agent of their cluster may: \
         keep to RBAC and to the repositories' own access rights, or let an Argo CD on the cluster enforce the project",
        fields.join(", ")
    )
}

/// Returns the fields by which a project restricts or grants anything. One that permits all, as Argo CD's `default`
/// does, has none: what it says is what happens.
pub fn fields(spec: &AppProjectSpec) -> Vec<&'static str> {
    let is_every = |r: &ProjectResource| r.group == "*" && r.kind == "*" && matches!(r.name.as_str(), "" | "*");
    let is_anywhere = |d: &ApplicationDestination| d.namespace == "*" && (d.server == "*" || d.name == "*");
    [
        ("spec.sourceRepos", !spec.source_repos.iter().any(|repo| repo == "*") || spec.source_repos.iter().any(|r| r.starts_with('!'))),
        ("spec.destinations", !spec.destinations.iter().any(is_anywhere) || spec.destinations.iter().any(is_denied)),
        ("spec.sourceNamespaces", !spec.source_namespaces.is_empty()),
        ("spec.clusterResourceWhitelist", !spec.cluster_resource_whitelist.iter().any(is_every)),
        ("spec.clusterResourceBlacklist", !spec.cluster_resource_blacklist.is_empty()),
        ("spec.namespaceResourceWhitelist", spec.namespace_resource_whitelist.as_ref().is_some_and(|all| !all.iter().any(is_every))),
        ("spec.namespaceResourceBlacklist", !spec.namespace_resource_blacklist.is_empty()),
        ("spec.roles", !spec.roles.is_empty()),
        ("spec.orphanedResources", spec.orphaned_resources.is_some()),
        ("spec.syncWindows", !spec.sync_windows.is_empty()),
        ("spec.signatureKeys", !spec.signature_keys.is_empty()),
        ("spec.sourceIntegrity", spec.source_integrity.is_some()),
        ("spec.destinationServiceAccounts", !spec.destination_service_accounts.is_empty()),
        ("spec.permitOnlyProjectScopedClusters", spec.permit_only_project_scoped_clusters),
    ]
    .into_iter()
    .filter_map(|(field, is_unacted)| is_unacted.then_some(field))
    .collect()
}

fn is_denied(destination: &ApplicationDestination) -> bool {
    [&destination.server, &destination.name, &destination.namespace].into_iter().any(|part| part.starts_with('!'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_project(spec: Value, expect: &str) {
        let spec = serde_json::from_value(spec).expect("a spec");
        assert_eq!(fields(&spec).join(" ").replace("spec.", ""), expect);
    }

    #[test]
    fn a_project_names_the_fields_that_restrict_and_one_that_permits_all_has_none() {
        let every = json!([{"group": "*", "kind": "*"}]);
        let everywhere = json!([{"server": "*", "namespace": "*"}]);
        check_project(json!({"sourceRepos": ["*"], "destinations": everywhere, "clusterResourceWhitelist": every}), "");
        // In Argo CD an empty list permits nothing.
        check_project(json!({"description": "a team"}), "sourceRepos destinations clusterResourceWhitelist");
        check_project(
            json!({"sourceRepos": ["*", "!https://git/secret"], "clusterResourceWhitelist": every, "namespaceResourceWhitelist": [],
                "destinations": [{"server": "*", "namespace": "*"}, {"server": "*", "namespace": "!kube-system"}],
                "syncWindows": [{"kind": "deny", "schedule": "* * * * *", "duration": "1h"}], "roles": [{"name": "ci"}]}),
            "sourceRepos destinations namespaceResourceWhitelist roles syncWindows",
        );
    }

    fn check_note(annotation: Option<&str>, spec: Value, expect: Option<Option<&str>>) {
        let annotations: Vec<(&str, &str)> = annotation.map(|text| (annotation::NOT_ACTED_ON, text)).into_iter().collect();
        let annotations: serde_json::Map<String, Value> = annotations.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
        let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": {"name": "p", "annotations": annotations}, "spec": spec});
        let note = note(&serde_json::from_value(project).expect("a project"));
        assert_eq!(note.as_ref().map(|note| note.annotation.as_deref()), expect);
        assert!(note.is_none_or(|note| note.text.is_some() == note.annotation.is_some()));
    }

    #[test]
    fn a_note_is_written_when_it_changes_and_taken_away_when_nothing_is_left() {
        let open = || {
            let every = json!([{"group": "*", "kind": "*"}]);
            json!({"sourceRepos": ["*"], "destinations": [{"name": "*", "namespace": "*"}], "clusterResourceWhitelist": every})
        };
        let mut closed = open();
        closed["syncWindows"] = json!([{"kind": "deny"}]);
        check_note(None, open(), None);
        check_note(None, closed.clone(), Some(Some("spec.syncWindows")));
        check_note(Some("spec.syncWindows"), closed.clone(), None);
        check_note(Some("spec.roles"), closed, Some(Some("spec.syncWindows")));
        check_note(Some("spec.roles"), open(), Some(None));
    }

    fn check_set(conditions_there: Value, expect: bool) {
        let mut set: ApplicationSet = ApplicationSet::new("s", Default::default());
        set.status.get_or_insert_default().conditions = conditions_there.as_array().cloned().unwrap_or_default();
        assert_eq!(conditions(&set, Timestamp::UNIX_EPOCH).is_some(), expect, "{conditions_there}");
    }

    #[test]
    fn a_set_is_told_once_and_not_when_another_controller_acts_on_it() {
        check_set(json!([]), true);
        let told = conditions(&ApplicationSet::new("s", Default::default()), Timestamp::UNIX_EPOCH).expect("untold");
        assert_eq!(told[0]["lastTransitionTime"], "1970-01-01T00:00:00Z");
        check_set(json!(told), false);
        check_set(json!([{"type": "ErrorOccurred", "status": "True", "reason": "NotActedOn", "message": "older words"}]), true);
        let of_argo_cd = json!({"type": "ParametersGenerated", "status": "True", "reason": "ParametersGenerated", "message": "ok"});
        check_set(json!([of_argo_cd]), false);
        check_set(
            json!([of_argo_cd, {"type": "ErrorOccurred", "status": "True", "reason": "NotActedOn", "message": "older words"}]),
            false,
        );
    }
}
