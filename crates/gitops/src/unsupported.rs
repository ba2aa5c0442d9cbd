//! Fields of an Application that are accepted but not acted on, and those that make it unusable here.
//! Silence would be a bug: each is named by its path.

use api::argo::{Application, ApplicationSource, IN_CLUSTER_SERVER};

/// Sync options that are acted on.
const OPTIONS: [&str; 8] = [
    "CreateNamespace",
    "PrunePropagationPolicy",
    "PruneLast",
    "ApplyOutOfSyncOnly",
    "SkipDryRunOnMissingResource",
    "Replace",
    "ServerSideApply",
    "Prune",
];

/// Returns the paths of fields that are set but not acted on.
pub fn unsupported(app: &Application) -> Vec<String> {
    let mut paths = Vec::new();
    let mut name_if = |is_set: bool, path: &str| {
        if is_set {
            paths.push(path.to_owned());
        }
    };
    let spec = &app.spec;
    name_if(!matches!(spec.project.as_str(), "" | "default"), "spec.project");
    name_if(spec.source_hydrator.is_some(), "spec.sourceHydrator");
    for (index, rule) in spec.ignore_differences.iter().enumerate() {
        name_if(!rule.jq_path_expressions.is_empty(), &format!("spec.ignoreDifferences[{index}].jqPathExpressions"));
        name_if(!rule.managed_fields_managers.is_empty(), &format!("spec.ignoreDifferences[{index}].managedFieldsManagers"));
    }
    if let Some(policy) = &spec.sync_policy {
        for (index, option) in policy.sync_options.iter().enumerate() {
            let name = option.split('=').next().unwrap_or_default().trim();
            // Saying no to what is not done anyway is acted on.
            let is_off = option.trim().ends_with("=false") && matches!(name, "FailOnSharedResource" | "RespectIgnoreDifferences" | "Force");
            // A kind without a schema is the server's business: server-side apply has no client-side validation to switch off.
            let is_moot = matches!(name, "Validate" | "ClientSideApplyMigration");
            name_if(!OPTIONS.contains(&name) && !is_off && !is_moot, &format!("spec.syncPolicy.syncOptions[{index}] ({option})"));
        }
    }
    if let Some(directory) = spec.sources().first().and_then(|s| s.directory.as_ref()) {
        name_if(directory.jsonnet.is_some(), "spec.source.directory.jsonnet");
        name_if(directory.disable_extension_filter, "spec.source.directory.disableExtensionFilter");
    }
    if let Some(sync) = app.operation.as_ref().and_then(|o| o.sync.as_ref()) {
        name_if(sync.dry_run, "operation.sync.dryRun");
        name_if(!sync.manifests.is_empty(), "operation.sync.manifests");
        name_if(!sync.sources.is_empty(), "operation.sync.sources");
        name_if(
            sync.sync_strategy.as_ref().is_some_and(|s| s["apply"]["force"] == true || s["hook"]["force"] == true),
            "operation.sync.syncStrategy.*.force",
        );
    }
    paths
}

/// Returns why an Application cannot be acted on at all.
pub fn invalid(app: &Application) -> Option<String> {
    let spec = &app.spec;
    let destination = &spec.destination;
    if !destination.server.is_empty() && !destination.name.is_empty() {
        return Some("spec.destination: server and name are both set; keep one".to_owned());
    }
    let is_here = match (destination.server.as_str(), destination.name.as_str()) {
        ("", "" | "in-cluster") => true,
        (server, "") => server == IN_CLUSTER_SERVER,
        _ => false,
    };
    if !is_here {
        return Some(format!(
            "spec.destination names another cluster ({}); an agent acts on its own only: use server {IN_CLUSTER_SERVER}",
            if destination.server.is_empty() { &destination.name } else { &destination.server }
        ));
    }
    match spec.sources() {
        [] => Some("spec.source is missing".to_owned()),
        [source] => invalid_source(source),
        _ => Some("spec.sources: several sources are not supported yet; use spec.source".to_owned()),
    }
}

fn invalid_source(source: &ApplicationSource) -> Option<String> {
    if source.repo_url.is_empty() {
        return Some("spec.source.repoURL is missing".to_owned());
    }
    if !source.chart.is_empty() {
        return Some("spec.source.chart: Helm repositories are not supported yet; put rendered manifests in Git".to_owned());
    }
    if !source.ref_.is_empty() {
        return Some("spec.source.ref: it only makes sense among several sources, which are not supported yet".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn app(spec: Value) -> Application {
        serde_json::from_value(json!({"metadata": {"name": "a"}, "spec": spec})).expect("an Application")
    }

    #[test]
    fn what_is_not_acted_on_is_named_by_its_path() {
        let spec = json!({"project": "team", "source": {"repoURL": "r", "directory": {"jsonnet": {}}},
            "ignoreDifferences": [{"kind": "A", "jqPathExpressions": [".x"]}],
            "syncPolicy": {"syncOptions": ["CreateNamespace=true", "FailOnSharedResource=true", "Force=false", "Validate=false"]}});
        assert_eq!(
            unsupported(&app(spec)),
            [
                "spec.project",
                "spec.ignoreDifferences[0].jqPathExpressions",
                "spec.syncPolicy.syncOptions[1] (FailOnSharedResource=true)",
                "spec.source.directory.jsonnet",
            ]
        );
        assert_eq!(unsupported(&app(json!({"project": "default", "source": {"repoURL": "r"}}))), [""; 0]);
    }

    #[test]
    fn what_cannot_be_acted_on_is_refused() {
        let refused = |spec: Value| invalid(&app(spec)).unwrap_or_default();
        assert!(refused(json!({"source": {"repoURL": "r"}, "destination": {"name": "other"}})).contains("another cluster (other)"));
        assert!(refused(json!({"source": {"repoURL": "r"}, "destination": {"server": "https://x"}})).contains("another cluster"));
        assert!(refused(json!({"destination": {}})).contains("spec.source is missing"));
        assert!(refused(json!({"sources": [{"repoURL": "a"}, {"repoURL": "b"}]})).contains("spec.sources"));
        assert!(refused(json!({"source": {"repoURL": "r", "chart": "c"}})).contains("spec.source.chart"));
        assert_eq!(refused(json!({"source": {"repoURL": "r"}, "destination": {"server": IN_CLUSTER_SERVER}})), "");
        assert_eq!(refused(json!({"source": {"repoURL": "r"}, "destination": {"name": "in-cluster"}})), "");
    }
}
