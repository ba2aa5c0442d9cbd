//! `metav1.Status`: how an API server says no.
//!
//! Every refusal names the object, the field where one is at fault, and what would be accepted.
//! Reasons, codes and wording follow apimachinery's `api/errors/errors.go`.

use serde_json::{Value, json};

/// A refused request: HTTP code, machine-readable reason, text and details.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct Status {
    pub code: u16,
    /// `NotFound`, `Conflict`, ... ; empty where Kubernetes has none.
    pub reason: &'static str,
    pub message: String,
    /// `StatusDetails` fields other than causes: name, group, kind, uid.
    pub name: String,
    pub group: String,
    pub kind: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: Option<u32>,
}

/// One field at fault.
#[derive(Clone, Debug, PartialEq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, `FieldManagerConflict`, ...
    pub reason: &'static str,
    pub message: String,
    /// JSON path of the field, as `spec.template.spec.containers[0].image`.
    pub field: String,
}

impl Status {
    /// Returns a refusal without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            causes: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// Adds the object the refusal is about. For `details.kind` Kubernetes uses the plural
    /// resource name in most errors and the kind in `Invalid`.
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        self.group = group.into();
        self.kind = kind.into();
        self.name = name.into();
        self
    }

    pub fn with_causes(mut self, causes: Vec<Cause>) -> Self {
        self.causes = causes;
        self
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let named = qualified(group, resource);
        Self::new(404, "NotFound", format!("{named} {name:?} not found")).about(group, resource, name)
    }

    /// Returns the answer to a path that nothing serves.
    pub fn no_such_path() -> Self {
        Self::new(404, "NotFound", "the server could not find the requested resource")
    }

    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let named = qualified(group, resource);
        Self::new(409, "AlreadyExists", format!("{named} {name:?} already exists")).about(group, resource, name)
    }

    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let named = qualified(group, resource);
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {named} {name:?}: {why}")).about(group, resource, name)
    }

    /// Returns the 422 for fields at fault; `kind` is the Kind, as upstream.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Vec<Cause>) -> Self {
        let list: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let text = match list.as_slice() {
            [] => "unknown error".to_owned(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let named = qualified(group, kind);
        Self::new(422, "Invalid", format!("{named} {name:?} is invalid: {text}")).about(group, kind, name).with_causes(causes)
    }

    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {message}"))
    }

    /// Returns the `metav1.Status` object.
    pub fn to_value(&self) -> Value {
        let mut details = serde_json::Map::new();
        for (key, text) in [("name", &self.name), ("group", &self.group), ("kind", &self.kind)] {
            if !text.is_empty() {
                details.insert(key.into(), json!(text));
            }
        }
        if !self.causes.is_empty() {
            let causes = self.causes.iter().map(|c| {
                let mut cause = json!({"reason": c.reason, "message": c.message});
                if !c.field.is_empty() {
                    cause["field"] = json!(c.field);
                }
                cause
            });
            details.insert("causes".into(), causes.collect());
        }
        if let Some(seconds) = self.retry_after_seconds {
            details.insert("retryAfterSeconds".into(), json!(seconds));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = json!(self.reason);
        }
        if !details.is_empty() {
            status["details"] = Value::Object(details);
        }
        status
    }
}

impl Cause {
    pub fn required(field: impl Into<String>, message: &str) -> Self {
        let message = if message.is_empty() { "Required value".to_owned() } else { format!("Required value: {message}") };
        Self { reason: "FieldValueRequired", message, field: field.into() }
    }

    pub fn invalid(field: impl Into<String>, value: &Value, message: &str) -> Self {
        Self { reason: "FieldValueInvalid", message: format!("Invalid value: {value}: {message}"), field: field.into() }
    }

    /// Returns the refusal of a value of the wrong type; `found` is the name of its type.
    pub fn type_invalid(field: impl Into<String>, found: &str, message: &str) -> Self {
        Self { reason: "FieldValueTypeInvalid", message: format!("Invalid value: {found:?}: {message}"), field: field.into() }
    }

    /// Returns the refusal of a value that is none of a list.
    pub fn not_supported<S: AsRef<str>>(field: impl Into<String>, value: &Value, supported: &[S]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{:?}", s.as_ref())).collect();
        let known = if list.is_empty() { String::new() } else { format!(": supported values: {}", list.join(", ")) };
        Self { reason: "FieldValueNotSupported", message: format!("Unsupported value: {value}{known}"), field: field.into() }
    }

    pub fn duplicate(field: impl Into<String>, value: &Value) -> Self {
        Self { reason: "FieldValueDuplicate", message: format!("Duplicate value: {value}"), field: field.into() }
    }

    pub fn too_long(field: impl Into<String>, bytes_max: u64) -> Self {
        let unit = if bytes_max == 1 { "byte" } else { "bytes" };
        let message = format!("Too long: may not be more than {bytes_max} {unit}");
        Self { reason: "FieldValueTooLong", message, field: field.into() }
    }

    pub fn too_many(field: impl Into<String>, found: usize, items_max: u64) -> Self {
        let unit = if items_max == 1 { "item" } else { "items" };
        let message = format!("Too many: {found}: must have at most {items_max} {unit}");
        Self { reason: "FieldValueTooMany", message, field: field.into() }
    }

    pub fn forbidden(field: impl Into<String>, message: &str) -> Self {
        Self { reason: "FieldValueForbidden", message: format!("Forbidden: {message}"), field: field.into() }
    }
}

fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
