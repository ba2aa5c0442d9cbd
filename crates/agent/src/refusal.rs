//! What is told of an API server's refusal: in conditions, to the hub, in logs.

/// Returns Kubernetes' own words for an error, without the request that led to it.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// Returns why an object was refused. Of a Secret that is malformed the server repeats what is in it: that is left out.
pub(crate) fn of_object(group: &str, kind: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if group.is_empty() && kind == "Secret" && matches!(status.code, 400 | 422 | 500) => format!(
            "the server refuses the Secret ({} {}); its words may hold what is secret and are not repeated: \
             `kubectl apply --server-side --dry-run=server` shows them",
            status.code, status.reason
        ),
        other => words(other),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_a_refused_secret_holds_is_not_repeated() {
        let refused =
            |code: u16| kube::Error::Api(Status::failure("data.pin: expected base64, got \"hunter2\"", "Invalid").with_code(code).boxed());
        for code in [400, 422, 500] {
            let words = of_object("", "Secret", &refused(code));
            assert!(words.starts_with(&format!("the server refuses the Secret ({code} Invalid)")) && !words.contains("hunter2"), "{words}");
        }
        assert!(of_object("", "Secret", &refused(403)).contains("expected base64"), "who may not is told so");
        assert!(of_object("", "ConfigMap", &refused(422)).contains("expected base64"));
        assert!(of_object("x.example", "Secret", &refused(422)).contains("expected base64"));
    }
}
