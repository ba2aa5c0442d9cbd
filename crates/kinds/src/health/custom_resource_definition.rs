//! CustomResourceDefinition: established, with accepted names and a structural schema.

use serde_json::Value;

use super::{Health, degraded, healthy, progressing};
use crate::{condition, items, text};

pub(super) fn health(object: &Value) -> Health {
    if items(object, "/status/conditions").is_empty() {
        return progressing("no conditions yet");
    }
    let message_if = |kind: &str, status: &str| condition(object, kind).filter(|c| c["status"] == status).map(|c| text(c, "/message"));
    if let Some(message) = message_if("Terminating", "True") {
        progressing(format!("terminating: {message}"))
    } else if let Some(message) = message_if("NamesAccepted", "False") {
        degraded(format!("names are not accepted: {message}"))
    } else if message_if("Established", "True").is_none() {
        degraded("not established")
    } else if let Some(message) = message_if("NonStructuralSchema", "True") {
        degraded(format!("the schema is not structural: {message}"))
    } else {
        healthy("")
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn an_established_definition_is_healthy() {
        let of =
            |c: &str| format!("{{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, status: {{conditions: [{c}]}}}}");
        check(&of(""), "Progressing: no conditions yet");
        let established = "{type: Established, status: 'True'}";
        check(&of(established), "Healthy");
        check(&of("{type: Established, status: 'False'}"), "Degraded: not established");
        check(&of(&format!("{established}, {{type: Terminating, status: 'True', message: going}}")), "Progressing: terminating: going");
        check(
            &of(&format!("{established}, {{type: NamesAccepted, status: 'False', message: taken}}")),
            "Degraded: names are not accepted: taken",
        );
        check(
            &of(&format!("{established}, {{type: NonStructuralSchema, status: 'True', message: spec}}")),
            "Degraded: the schema is not structural: spec",
        );
    }
}
