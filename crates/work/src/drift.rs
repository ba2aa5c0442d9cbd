//! Whether a live object still says what a manifest says.
//!
//! The live object has more: defaults, status, what others set. So it must *hold* the manifest: every
//! field of the manifest is there with the same meaning. A wrong "no" costs one apply that changes
//! nothing; a wrong "yes" would leave drift standing, so anything unclear is a "no".

use serde_json::Value;

/// Fields that a manifest may carry but that are not wishes.
const NOT_WISHED: &[&str] = &[
    "/status",
    "/metadata/managedFields",
    "/metadata/resourceVersion",
    "/metadata/uid",
    "/metadata/creationTimestamp",
    "/metadata/generation",
    "/metadata/selfLink",
];

/// Returns the manifest without the fields that only the server sets.
pub fn wishes(manifest: &Value) -> Value {
    let mut wishes = manifest.clone();
    for pointer in NOT_WISHED {
        remove(&mut wishes, pointer);
    }
    wishes
}

/// Removes what a JSON pointer names.
pub fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let last = last.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(map)) => {
            map.remove(&last);
        }
        Some(Value::Array(list)) => {
            if let Ok(index) = last.parse::<usize>()
                && index < list.len()
            {
                list.remove(index);
            }
        }
        _ => {}
    }
}

/// Returns the path of the first field of `wished` that `live` does not hold.
pub fn first_difference(wished: &Value, live: &Value) -> Option<String> {
    difference(wished, live, "")
}

fn difference(wished: &Value, live: &Value, path: &str) -> Option<String> {
    match (wished, live) {
        (Value::Object(wished), Value::Object(live)) => wished.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            match live.get(name) {
                Some(found) => difference(value, found, &path),
                // The server drops what is empty.
                None if is_empty(value) => None,
                None => Some(path),
            }
        }),
        (Value::Array(wished), Value::Array(live)) => list_difference(wished, live, path),
        _ if is_same_scalar(wished, live) => None,
        _ => Some(path.to_owned()),
    }
}

/// Lists are compared by name where their elements have one (containers, ports, env), else by position.
fn list_difference(wished: &[Value], live: &[Value], path: &str) -> Option<String> {
    let key = ["name", "key", "type", "mountPath", "ip"]
        .into_iter()
        .find(|key| !wished.is_empty() && wished.iter().chain(live).all(|item| item.get(key).is_some_and(Value::is_string)));
    match key {
        Some(key) => wished.iter().find_map(|item| {
            let path = format!("{path}[{}]", item[key].as_str().unwrap_or_default());
            match live.iter().find(|candidate| candidate[key] == item[key]) {
                Some(found) => difference(item, found, &path),
                None => Some(path),
            }
        }),
        None if wished.len() != live.len() => Some(path.to_owned()),
        None => {
            wished.iter().zip(live).enumerate().find_map(|(index, (wished, live))| difference(wished, live, &format!("{path}[{index}]")))
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_true) => !is_true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
    }
}

fn is_same_scalar(wished: &Value, live: &Value) -> bool {
    match (wished, live) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        // Quantities: `cpu: 1` and `cpu: "1"`.
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => *text == number.to_string(),
        (Value::Null, other) => is_empty(other),
        _ => wished == live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wished: &str, live: &str, expect: Option<&str>) {
        let parse = |text: &str| serde_saphyr::from_str::<Value>(text).unwrap();
        assert_eq!(first_difference(&parse(wished), &parse(live)).as_deref(), expect, "{wished} in {live}");
    }

    #[test]
    fn the_live_object_may_say_more_but_not_less() {
        check("{spec: {replicas: 2}}", "{spec: {replicas: 2, paused: false}, status: {}}", None);
        check("{spec: {replicas: 2}}", "{spec: {replicas: 3}}", Some(".spec.replicas"));
        check("{spec: {replicas: 2}}", "{spec: {}}", Some(".spec.replicas"));
        check("{metadata: {labels: {a: b}}}", "{metadata: {labels: {a: b, c: d}}}", None);
        check("{data: {empty: '', none: null}, list: []}", "{}", None);
        check("{cpu: 1, port: 80.0}", "{cpu: '1', port: 80}", None);
    }

    #[test]
    fn lists_with_names_are_compared_by_name() {
        check("{env: [{name: b, value: x}]}", "{env: [{name: a}, {name: b, value: x}]}", None);
        check("{env: [{name: b, value: x}]}", "{env: [{name: b, value: y}]}", Some(".env[b].value"));
        check("{env: [{name: c}]}", "{env: [{name: b}]}", Some(".env[c]"));
        check("{args: [a, b]}", "{args: [a]}", Some(".args"));
        check("{args: [a, b]}", "{args: [a, c]}", Some(".args[1]"));
    }

    #[test]
    fn what_only_the_server_sets_is_no_wish() {
        let manifest = serde_json::json!({"metadata": {"name": "a", "resourceVersion": "1", "uid": "u"}, "status": {"x": 1}});
        assert_eq!(wishes(&manifest), serde_json::json!({"metadata": {"name": "a"}}));
    }
}
