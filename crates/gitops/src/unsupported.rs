//! Fields of an Application that are accepted but not acted on, and those that make it unusable here.
//! Silence would be a bug: each is named by its path.

use api::argo::{Application, ApplicationSource, IN_CLUSTER_SERVER, Operation, RetryStrategy, annotation, finalizer};

use crate::retry::parse_duration;
use crate::words::is_comparison;

/// Returns whether a sync option (`Key=value`) is acted on.
pub(crate) fn is_acted_on(option: &str) -> bool {
    let (name, value) = option.split_once('=').map_or((option.trim(), ""), |(name, value)| (name.trim(), value.trim()));
    match name {
        "CreateNamespace" | "PruneLast" | "ApplyOutOfSyncOnly" | "SkipDryRunOnMissingResource" | "Replace" => {
            matches!(value, "true" | "false")
        }
        "PrunePropagationPolicy" => matches!(value, "foreground" | "background" | "orphan"),
        "Prune" | "Delete" => matches!(value, "true" | "false" | "confirm"),
        // There is no other way to apply.
        "ServerSideApply" => value == "true",
        // Saying no to what is not done anyway is acted on.
        "FailOnSharedResource" | "RespectIgnoreDifferences" | "Force" => value == "false",
        // A kind without a schema is the server's business: server-side apply has no client-side validation to switch off.
        "Validate" | "ClientSideApplyMigration" => true,
        _ => false,
    }
}

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
        for (field, text) in [("group", &rule.group), ("kind", &rule.kind)] {
            let is_pattern = text != "*" && text.contains(['*', '?', '[']);
            name_if(is_pattern, &format!("spec.ignoreDifferences[{index}].{field} ({text}: only * alone is a pattern)"));
        }
        for pointer in rule.json_pointers.iter().filter(|p| !p.starts_with('/')) {
            name_if(true, &format!("spec.ignoreDifferences[{index}].jsonPointers ({pointer}: a pointer begins with /)"));
        }
    }
    if let Some(policy) = &spec.sync_policy {
        for (index, option) in policy.sync_options.iter().enumerate() {
            name_if(!is_acted_on(option), &format!("spec.syncPolicy.syncOptions[{index}] ({option})"));
        }
        let creates = policy.sync_options.iter().any(|o| o.trim() == "CreateNamespace=true");
        name_if(
            policy.managed_namespace_metadata.is_some() && !creates,
            "spec.syncPolicy.managedNamespaceMetadata (it needs the sync option CreateNamespace=true)",
        );
        if let Some(retry) = &policy.retry {
            retry_fields(retry, "spec.syncPolicy.retry").iter().for_each(|path| name_if(true, path));
        }
    }
    if let Some(directory) = spec.sources().first().and_then(|s| s.directory.as_ref()) {
        name_if(directory.jsonnet.is_some(), "spec.source.directory.jsonnet");
        name_if(directory.disable_extension_filter, "spec.source.directory.disableExtensionFilter");
    }
    if let Some(sync) = app.operation.as_ref().and_then(|o| o.sync.as_ref()) {
        for (index, option) in sync.sync_options.iter().enumerate() {
            name_if(!is_acted_on(option), &format!("operation.sync.syncOptions[{index}] ({option})"));
        }
        name_if(
            sync.sync_strategy.as_ref().is_some_and(|s| s["apply"]["force"] == true || s["hook"]["force"] == true),
            "operation.sync.syncStrategy.*.force",
        );
    }
    if let Some(retry) = app.operation.as_ref().and_then(|o| o.retry.as_ref()) {
        retry_fields(retry, "operation.retry").iter().for_each(|path| name_if(true, path));
        // An automated sync gives way to a newer commit anyhow; one asked for keeps to what was asked.
        name_if(retry.refresh == Some(true), "operation.retry.refresh");
    }
    for finalizer in app.metadata.finalizers.iter().flatten().filter(|f| DELETE_HOOKS.iter().any(|hook| f.starts_with(hook))) {
        name_if(true, &format!("metadata.finalizers ({finalizer}: hooks at deletion are not run; remove it to let the Application go)"));
    }
    let compare =
        app.metadata.annotations.as_ref().and_then(|a| a.get(annotation::COMPARE_OPTIONS)).map(String::as_str).unwrap_or_default();
    for word in compare.split(',').map(str::trim).filter(|w| !w.is_empty() && !is_comparison(w)) {
        name_if(true, &format!("metadata.annotations[{}] ({word})", annotation::COMPARE_OPTIONS));
    }
    paths
}

const DELETE_HOOKS: [&str; 2] = [finalizer::PRE_DELETE, finalizer::POST_DELETE];

/// Back-offs that say nothing: the default takes their place.
fn retry_fields(retry: &RetryStrategy, path: &str) -> Vec<String> {
    let Some(backoff) = &retry.backoff else { return Vec::new() };
    let durations = [("duration", &backoff.duration), ("maxDuration", &backoff.max_duration)];
    let unread =
        durations.into_iter().filter_map(|(field, text)| Some((field, text.as_ref()?))).filter(|(_, text)| parse_duration(text).is_none());
    let mut paths: Vec<String> = unread.map(|(field, text)| format!("{path}.backoff.{field} ({text}: no duration such as 5s)")).collect();
    if backoff.factor.is_some_and(|factor| factor <= 0) {
        paths.push(format!("{path}.backoff.factor (it must be above 0)"));
    }
    paths
}

/// Returns why an operation must not be begun: doing something else than was asked for is worse than doing nothing.
pub(crate) fn refused(operation: &Operation) -> Option<String> {
    let Some(sync) = &operation.sync else { return Some("operation.sync is missing: it is the only operation there is".to_owned()) };
    let strategy = sync.sync_strategy.as_ref();
    let fields = [
        (sync.dry_run, "operation.sync.dryRun"),
        (!sync.manifests.is_empty(), "operation.sync.manifests"),
        (!sync.sources.is_empty(), "operation.sync.sources"),
        (!sync.revisions.is_empty(), "operation.sync.revisions"),
        // It leaves out the hooks.
        (strategy.is_some_and(|s| !s["apply"].is_null()), "operation.sync.syncStrategy.apply"),
    ];
    let (_, path) = fields.into_iter().find(|(is_set, _)| *is_set)?;
    Some(format!("{path} is not supported yet, so nothing was done; ask for a sync without it"))
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
    if is_version_range(&source.target_revision) {
        let range = &source.target_revision;
        return Some(format!(
            "spec.source.targetRevision: ranges of versions ({range}) are not supported yet; name a branch, a tag or a commit"
        ));
    }
    if !source.ref_.is_empty() {
        return Some("spec.source.ref: it only makes sense among several sources, which are not supported yet".to_owned());
    }
    None
}

/// Whether a revision is a range of versions: it holds what no name of a branch or tag may.
fn is_version_range(revision: &str) -> bool {
    let revision = revision.trim();
    revision.starts_with(['^', '~', '>', '<', '=', '!']) || revision.contains(['*', ' ']) || revision.contains("||")
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
        let spec = json!({"source": {"repoURL": "r"}, "ignoreDifferences": [{"kind": "Dep*", "jsonPointers": ["spec"]}],
            "syncPolicy": {"syncOptions": ["ServerSideApply=false", "Delete=confirm", "Prune=confirm", "PrunePropagationPolicy=fast"],
                "managedNamespaceMetadata": {"labels": {}}, "retry": {"refresh": true, "backoff": {"duration": "soon", "factor": 0}}}});
        let mut named = app(spec);
        named.metadata.finalizers = Some(vec![finalizer::POST_DELETE.into(), finalizer::RESOURCES.into()]);
        named.metadata.annotations = Some([(annotation::COMPARE_OPTIONS.into(), "ServerSideDiff=false".into())].into());
        named.operation =
            Some(Operation { retry: Some(RetryStrategy { refresh: Some(true), ..Default::default() }), ..Default::default() });
        let paths: Vec<String> = unsupported(&named).iter().map(|p| p.split(" (").next().unwrap_or_default().to_owned()).collect();
        assert_eq!(
            paths,
            [
                "spec.ignoreDifferences[0].kind",
                "spec.ignoreDifferences[0].jsonPointers",
                "spec.syncPolicy.syncOptions[0]",
                "spec.syncPolicy.syncOptions[3]",
                "spec.syncPolicy.managedNamespaceMetadata",
                "spec.syncPolicy.retry.backoff.duration",
                "spec.syncPolicy.retry.backoff.factor",
                "operation.retry.refresh",
                "metadata.finalizers",
                "metadata.annotations[argocd.argoproj.io/compare-options]",
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
        for range in ["1.*", "^1.2", ">=1.0 <2", "~1"] {
            assert!(refused(json!({"source": {"repoURL": "r", "targetRevision": range}})).contains(range));
        }
        assert_eq!(refused(json!({"source": {"repoURL": "r", "targetRevision": "release/1.x"}})), "");
        assert!(refused(json!({"source": {"repoURL": "r", "chart": "c"}})).contains("spec.source.chart"));
        assert_eq!(refused(json!({"source": {"repoURL": "r"}, "destination": {"server": IN_CLUSTER_SERVER}})), "");
        assert_eq!(refused(json!({"source": {"repoURL": "r"}, "destination": {"name": "in-cluster"}})), "");
    }
}
