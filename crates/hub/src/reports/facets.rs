//! By what reported values are filtered and counted.

use api::report::{Application, Kind, Workload};
use records::Facets;
use serde_json::value::RawValue;

/// Returns the facets of a value; a value that is not what its kind says has none, and is kept all the same.
pub fn of(kind: &Kind, value: Option<&RawValue>) -> Facets {
    let Some(value) = value else { return Facets::new() };
    let pairs: Vec<(&str, String)> = match kind {
        Kind::Application => match serde_json::from_str::<Application>(value.get()) {
            Ok(app) => vec![
                ("namespace", app.namespace),
                ("name", app.name),
                ("project", app.project),
                ("repo", app.repo),
                ("revision", app.revision),
                ("sync", app.sync),
                ("health", app.health),
                ("engine", app.engine),
                ("operation", app.operation),
            ],
            Err(_) => Vec::new(),
        },
        Kind::Workload => match serde_json::from_str::<Workload>(value.get()) {
            Ok(workload) => vec![
                ("kind", workload.kind),
                ("namespace", workload.namespace),
                ("name", workload.name),
                ("health", workload.health),
                ("application", workload.application.unwrap_or_default()),
            ],
            Err(_) => Vec::new(),
        },
        Kind::ClusterInfo | Kind::Resources | Kind::Event | Kind::Other(_) => Vec::new(),
    };
    pairs.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect()
}
