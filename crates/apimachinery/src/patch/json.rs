//! JSON patch, RFC 6902, with the limits of an API server.

use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::Value;

use crate::status::Status;

/// Operations one patch may have, as upstream.
pub const OPERATIONS_MAX: usize = 10_000;
/// Nodes and text bytes all `copy` operations together may add, so that a short patch cannot fill the memory.
const COPIED_MAX: usize = 3 << 20;

/// Nesting an operation may lead to; what is deeper cannot be read again, and much deeper not even dropped.
const DEPTH_MAX: usize = 128;

/// Returns `original` with the operations of `patch` applied in order, all or none.
pub fn json(original: &Value, patch: &Value) -> Result<Value, Status> {
    let operations = patch.as_array().ok_or_else(|| Status::bad_request("a JSON patch must be a list of operations"))?;
    if operations.len() > OPERATIONS_MAX {
        let found = operations.len();
        let text = format!("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {found}");
        return Err(Status::new(413, "RequestEntityTooLarge", text));
    }
    let mut parsed = Vec::with_capacity(operations.len());
    for (index, operation) in operations.iter().enumerate() {
        let operation: PatchOperation = serde_json::from_value(operation.clone())
            .map_err(|error| Status::bad_request(format!("error decoding patch: operation {index}: {error}")))?;
        parsed.push(operation);
    }
    let mut document = original.clone();
    let mut copied = 0;
    for (index, operation) in parsed.iter().enumerate() {
        if let PatchOperation::Copy(copy) = operation {
            copied += document.pointer(copy.from.as_str()).map_or(0, weight);
            if copied > COPIED_MAX {
                let text = format!("operation {index} (copy) at {:?}: copies more than {COPIED_MAX} bytes in total", copy.path.as_str());
                return Err(Status::new(413, "RequestEntityTooLarge", text));
            }
        }
        check_depth(&document, operation).and_then(|()| apply(&mut document, operation)).map_err(|why| {
            let (name, path) = (name(operation), operation.path().as_str());
            Status::new(422, "Invalid", format!("operation {index} ({name}) at {path:?}: {why}"))
        })?;
    }
    Ok(document)
}

/// Refuses an operation that would nest the document too deep.
fn check_depth(document: &Value, operation: &PatchOperation) -> Result<(), String> {
    let value = match operation {
        PatchOperation::Add(add) => Some(&add.value),
        PatchOperation::Replace(replace) => Some(&replace.value),
        PatchOperation::Move(moved) => document.pointer(moved.from.as_str()),
        PatchOperation::Copy(copy) => document.pointer(copy.from.as_str()),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    };
    let above = operation.path().as_str().bytes().filter(|byte| *byte == b'/').count();
    match value.map(|value| above + depth(value)) {
        Some(found) if found > DEPTH_MAX => Err(format!("the object would be nested {found} levels deep, at most {DEPTH_MAX} are allowed")),
        _ => Ok(()),
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        Value::Object(object) => 1 + object.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn apply(document: &mut Value, operation: &PatchOperation) -> Result<(), String> {
    if let PatchOperation::Move(moved) = operation
        && moved.path.as_str().strip_prefix(moved.from.as_str()).is_some_and(|below| below.starts_with('/'))
    {
        return Err(format!("{:?} cannot be moved into itself", moved.from.as_str()));
    }
    json_patch::patch_unsafe(document, std::slice::from_ref(operation)).map_err(|error| match error.kind {
        PatchErrorKind::TestFailed => "the value there is not the one tested for".to_owned(),
        PatchErrorKind::InvalidPointer => "there is no such path".to_owned(),
        PatchErrorKind::InvalidFromPointer => "there is nothing at the path named by from".to_owned(),
        other => other.to_string(),
    })
}

fn name(operation: &PatchOperation) -> &'static str {
    match operation {
        PatchOperation::Add(_) => "add",
        PatchOperation::Remove(_) => "remove",
        PatchOperation::Replace(_) => "replace",
        PatchOperation::Move(_) => "move",
        PatchOperation::Copy(_) => "copy",
        PatchOperation::Test(_) => "test",
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 8 + text.len(),
        Value::Array(list) => 8 + list.iter().map(weight).sum::<usize>(),
        Value::Object(object) => 8 + object.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn copies_cannot_nest_without_end() {
        let mut levels = 2;
        let mut operations = vec![serde_json::json!({"op": "add", "path": "/a", "value": {"a": 1}})];
        for _ in 0..12 {
            operations.push(serde_json::json!({"op": "copy", "from": "/a", "path": "/a".repeat(levels)}));
            levels = 2 * levels - 1;
        }
        let refused = super::json(&serde_json::json!({}), &operations.into()).expect_err("too deep");
        assert_eq!(refused.code, 422);
        assert!(refused.message.contains("at most 128"), "{}", refused.message);
    }

    use serde_json::json;

    #[test]
    fn a_failed_operation_is_named_and_changes_nothing() {
        let original = json!({"a": 1});
        let error = super::json(&original, &json!([{"op": "add", "path": "/b", "value": 1}, {"op": "remove", "path": "/c"}])).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (422, "operation 1 (remove) at \"/c\": there is no such path"));
        let error = super::json(&original, &json!([{"op": "test", "path": "/a", "value": 2}])).unwrap_err();
        assert_eq!(error.message, "operation 0 (test) at \"/a\": the value there is not the one tested for");
        let error = super::json(&original, &json!([{"op": "spin", "path": "/a"}])).unwrap_err();
        assert_eq!(error.code, 400);
    }

    #[test]
    fn copies_that_double_are_stopped() {
        let mut operations = vec![json!({"op": "add", "path": "/x", "value": ["0123456789"]})];
        operations.extend((0..64).map(|_| json!({"op": "copy", "from": "/x", "path": "/x/-"})));
        assert_eq!(super::json(&json!({}), &operations.into()).unwrap_err().code, 413);
    }

    #[test]
    fn the_number_of_operations_is_limited() {
        let operations = vec![json!({"op": "test", "path": "", "value": {}}); super::OPERATIONS_MAX + 1];
        assert_eq!(super::json(&json!({}), &operations.into()).unwrap_err().code, 413);
    }
}
