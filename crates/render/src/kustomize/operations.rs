//! JSON 6902 operations as Kustomize carries them out, which is not quite the RFC.
//!
//! As evanphx/json-patch v4: `replace` makes a field that is missing, and a negative index counts from the end.

use serde_json::Value;

/// Operations one patch may have.
const OPERATIONS_MAX: usize = 10_000;
/// Bytes, about, that the copies of one patch may add to an object.
const COPIED_MAX: usize = 3 << 20;
/// Nesting an operation may lead to.
const DEPTH_MAX: usize = 128;

/// Returns the object with the operations applied in order, all or none.
pub(crate) fn apply(object: &Value, operations: &Value) -> Result<Value, String> {
    let operations = operations.as_array().ok_or("operations must be a list")?;
    if operations.len() > OPERATIONS_MAX {
        return Err(format!("there are {} operations, at most {OPERATIONS_MAX} are carried out", operations.len()));
    }
    let mut document = object.clone();
    let mut copied = 0;
    for (index, operation) in operations.iter().enumerate() {
        let name = operation["op"].as_str().unwrap_or_default();
        let path = operation["path"].as_str().unwrap_or_default();
        let fault = |what: String| format!("operation {index} ({name}) at {path:?}: {what}");
        one(&mut document, operation, &mut copied).map_err(fault)?;
        if path.matches('/').count() > DEPTH_MAX || crate::manifest::depth(&document) > DEPTH_MAX {
            return Err(fault(format!("the object would nest deeper than {DEPTH_MAX} levels")));
        }
    }
    Ok(document)
}

fn one(document: &mut Value, operation: &Value, copied: &mut usize) -> Result<(), String> {
    let path = pointer(operation, "path")?;
    let value = || operation.get("value").cloned().ok_or_else(|| "value is missing".to_owned());
    match operation["op"].as_str().unwrap_or_default() {
        "add" => add(document, &path, value()?),
        "replace" => replace(document, &path, value()?),
        "remove" => remove(document, &path).map(drop),
        "test" => match get(document, &path) {
            found if found.as_ref().unwrap_or(&Value::Null) == operation.get("value").unwrap_or(&Value::Null) => Ok(()),
            _ => Err("the value there is not the one tested for".to_owned()),
        },
        "move" => {
            let from = pointer(operation, "from")?;
            let value = remove(document, &from)?;
            add(document, &path, value)
        }
        "copy" => {
            let from = pointer(operation, "from")?;
            let value = get(document, &from).ok_or("there is nothing at the path named by from")?;
            *copied += value.to_string().len();
            if *copied > COPIED_MAX {
                return Err(format!("the copies exceed {COPIED_MAX} bytes"));
            }
            add(document, &path, value)
        }
        other => Err(format!("op is {other:?}; it must be add, remove, replace, move, copy or test")),
    }
}

/// Returns the names of a path; there is no operation on the object as a whole.
fn pointer(operation: &Value, field: &str) -> Result<Vec<String>, String> {
    let text = operation[field].as_str().ok_or_else(|| format!("{field} is missing"))?;
    let names = text.strip_prefix('/').ok_or_else(|| format!("{field} must begin with a slash"))?;
    Ok(names.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect())
}

fn get(document: &Value, path: &[String]) -> Option<Value> {
    let mut value = document;
    for name in path {
        value = match value {
            Value::Object(fields) => fields.get(name)?,
            Value::Array(items) => &items[place(name, items.len(), items.len())?],
            _ => return None,
        };
    }
    Some(value.clone())
}

/// Returns the value that has the last name of a path.
fn parent<'v, 'p>(document: &'v mut Value, path: &'p [String]) -> Result<(&'v mut Value, &'p str), String> {
    let (last, above) = path.split_last().ok_or("there is no such path")?;
    let mut value = document;
    for name in above {
        let missing = || format!("there is no {name:?} on the way");
        value = match value {
            Value::Object(fields) => fields.get_mut(name).ok_or_else(missing)?,
            Value::Array(items) => {
                let at = place(name, items.len(), items.len()).ok_or_else(missing)?;
                &mut items[at]
            }
            _ => return Err(missing()),
        };
    }
    Ok((value, last))
}

fn add(document: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    match parent(document, path)? {
        (Value::Object(fields), name) => {
            fields.insert(name.to_owned(), value);
            Ok(())
        }
        (Value::Array(items), "-") => {
            items.push(value);
            Ok(())
        }
        (Value::Array(items), name) => {
            let at = place(name, items.len() + 1, items.len() + 1).ok_or("there is no such place in the list")?;
            items.insert(at, value);
            Ok(())
        }
        _ => Err("there is no such path".to_owned()),
    }
}

fn replace(document: &mut Value, path: &[String], value: Value) -> Result<(), String> {
    match parent(document, path)? {
        (Value::Object(fields), name) => {
            fields.insert(name.to_owned(), value);
            Ok(())
        }
        (Value::Array(items), name) => {
            let at = place(name, items.len(), items.len()).ok_or("there is no such element")?;
            items[at] = value;
            Ok(())
        }
        _ => Err("there is no such path".to_owned()),
    }
}

fn remove(document: &mut Value, path: &[String]) -> Result<Value, String> {
    match parent(document, path)? {
        (Value::Object(fields), name) => fields.remove(name).ok_or_else(|| "there is no such field".to_owned()),
        (Value::Array(items), name) => {
            let at = place(name, items.len(), items.len()).ok_or("there is no such element")?;
            Ok(items.remove(at))
        }
        _ => Err("there is no such path".to_owned()),
    }
}

/// Returns an index below `end`; a negative one counts back from `size`.
fn place(name: &str, size: usize, end: usize) -> Option<usize> {
    let index: i64 = name.parse().ok()?;
    let size = i64::try_from(size).ok()?;
    let index = if index < 0 { index + size } else { index };
    usize::try_from(index).ok().filter(|index| *index < end)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(operation: Value, expect: Value) {
        let object = json!({"a": {"b": 1}, "l": [1, 2, 3]});
        let found = apply(&object, &json!([operation])).map_or_else(|what| json!(what), |found| found);
        assert_eq!(found, expect);
    }

    #[test]
    fn operations_are_those_of_kustomize() {
        check(json!({"op": "replace", "path": "/a/c", "value": 2}), json!({"a": {"b": 1, "c": 2}, "l": [1, 2, 3]}));
        check(json!({"op": "replace", "path": "/l/-1", "value": 9}), json!({"a": {"b": 1}, "l": [1, 2, 9]}));
        check(json!({"op": "add", "path": "/l/0", "value": 0}), json!({"a": {"b": 1}, "l": [0, 1, 2, 3]}));
        check(json!({"op": "add", "path": "/l/3", "value": 0}), json!({"a": {"b": 1}, "l": [1, 2, 3, 0]}));
        check(json!({"op": "add", "path": "/l/-", "value": 0}), json!({"a": {"b": 1}, "l": [1, 2, 3, 0]}));
        check(json!({"op": "move", "from": "/a/b", "path": "/x~1y", "value": 0}), json!({"a": {}, "l": [1, 2, 3], "x/y": 1}));
        check(json!({"op": "copy", "from": "/l", "path": "/a/b"}), json!({"a": {"b": [1, 2, 3]}, "l": [1, 2, 3]}));
        check(json!({"op": "test", "path": "/l/1", "value": 2}), json!({"a": {"b": 1}, "l": [1, 2, 3]}));
        check(json!({"op": "test", "path": "/none"}), json!({"a": {"b": 1}, "l": [1, 2, 3]}));
    }

    #[test]
    fn what_cannot_be_done_is_named() {
        check(json!({"op": "remove", "path": "/a/c"}), json!("operation 0 (remove) at \"/a/c\": there is no such field"));
        check(json!({"op": "add", "path": "/l/4", "value": 0}), json!("operation 0 (add) at \"/l/4\": there is no such place in the list"));
        check(json!({"op": "add", "path": "/n/m", "value": 0}), json!("operation 0 (add) at \"/n/m\": there is no \"n\" on the way"));
        check(json!({"op": "add", "path": "/n"}), json!("operation 0 (add) at \"/n\": value is missing"));
        check(
            json!({"op": "spin", "path": "/n"}),
            json!("operation 0 (spin) at \"/n\": op is \"spin\"; it must be add, remove, replace, move, copy or test"),
        );
        check(json!({"op": "remove", "path": ""}), json!("operation 0 (remove) at \"\": path must begin with a slash"));
    }

    #[test]
    fn copies_neither_grow_nor_nest_without_end() {
        let mut operations = vec![json!({"op": "add", "path": "/x", "value": ["0123456789"]})];
        operations.extend((0..64).map(|_| json!({"op": "copy", "from": "/x", "path": "/x/-"})));
        assert!(apply(&json!({}), &operations.into()).unwrap_err().contains("copies exceed"));
        let mut operations = vec![json!({"op": "add", "path": "/a", "value": {"a": 1}})];
        operations.extend((1..200).map(|level| json!({"op": "add", "path": "/a".repeat(level + 1), "value": {"a": 1}})));
        assert!(apply(&json!({}), &operations.into()).unwrap_err().contains("deeper than 128 levels"));
    }
}
