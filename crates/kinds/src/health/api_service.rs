//! APIService: available or not yet.

use serde_json::Value;

use super::{Health, healthy, progressing};
use crate::{condition, text};

pub(super) fn health(object: &Value) -> Health {
    match condition(object, "Available") {
        Some(c) => {
            let message = format!("{}: {}", text(c, "/reason"), text(c, "/message"));
            if c["status"] == "True" { healthy(message) } else { progressing(message) }
        }
        None => progressing("not processed yet"),
    }
}

#[cfg(test)]
mod tests {
    use crate::health::tests::check;

    #[test]
    fn availability_decides() {
        let of = |c: &str| format!("{{apiVersion: apiregistration.k8s.io/v1, kind: APIService, status: {{conditions: [{c}]}}}}");
        check(&of(""), "Progressing: not processed yet");
        check(&of("{type: Available, status: 'True', reason: Passed, message: ok}"), "Healthy: Passed: ok");
        check(&of("{type: Available, status: 'False', reason: Missing, message: gone}"), "Progressing: Missing: gone");
    }
}
