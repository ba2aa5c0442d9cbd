//! Argo Workflow: its phase. It matters because workflows are common hooks.

use serde_json::Value;

use super::{Health, degraded, healthy, progressing, unknown};
use crate::text;

pub(super) fn health(object: &Value) -> Health {
    let message = text(object, "/status/message");
    match text(object, "/status/phase") {
        "" | "Pending" | "Running" => progressing(message),
        "Succeeded" => healthy(message),
        "Failed" | "Error" => degraded(message),
        _ => unknown(message),
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn the_phase_decides() {
        let of = |phase: &str| format!("{{apiVersion: argoproj.io/v1alpha1, kind: Workflow, status: {{phase: '{phase}', message: m}}}}");
        check(&of("Running"), "Progressing: m");
        check(&of("Succeeded"), "Healthy: m");
        check(&of("Error"), "Degraded: m");
    }
}
