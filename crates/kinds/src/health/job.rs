//! Job: failed, complete, suspended or running.

use serde_json::Value;

use super::{Health, degraded, healthy, progressing, suspended};
use crate::{condition, text};

pub(super) fn health(object: &Value) -> Health {
    let holds = |kind: &str| condition(object, kind).filter(|c| c["status"] != "False");
    if let Some(failed) = holds("Failed") {
        degraded(text(failed, "/message"))
    } else if let Some(complete) = holds("Complete") {
        healthy(text(complete, "/message"))
    } else if let Some(paused) = holds("Suspended") {
        suspended(text(paused, "/message"))
    } else {
        progressing("")
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn conditions_decide() {
        let of = |conditions: &str| format!("{{apiVersion: batch/v1, kind: Job, status: {{conditions: [{conditions}]}}}}");
        check(&of(""), "Progressing");
        check(&of("{type: Complete, status: 'True'}"), "Healthy");
        check(&of("{type: Failed, status: 'True', message: limit reached}"), "Degraded: limit reached");
        check(&of("{type: Suspended, status: 'True'}"), "Suspended");
        check(&of("{type: Suspended, status: 'False'}"), "Progressing");
    }
}
