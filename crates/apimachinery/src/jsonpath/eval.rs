//! Walking values.

use serde_json::Value;

use super::{Comparison, Filter, JsonPathError, Missing, Operand, Part, Path, Step};

/// Values one path may lead to; `..` of a big object is cut there.
const FOUND_MAX: usize = 100_000;

type Result<T> = std::result::Result<T, JsonPathError>;

pub fn find<'v>(parts: &[Part], value: &'v Value) -> Vec<&'v Value> {
    let mut found = Vec::new();
    for part in parts {
        if let Part::Path(path) | Part::Range(path, _) = part {
            found.extend(walk(path, value, value, Missing::Skip).unwrap_or_default());
        }
    }
    found
}

pub fn render(parts: &[Part], root: &Value, current: &Value, missing: Missing, out: &mut String) -> Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                let texts: Vec<String> = walk(path, root, current, missing)?.into_iter().map(text).collect();
                out.push_str(&texts.join(" "));
            }
            Part::Range(path, inner) => {
                for item in walk(path, root, current, missing)? {
                    render(inner, root, item, missing, out)?;
                }
            }
        }
    }
    Ok(())
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn walk<'v>(path: &Path, root: &'v Value, current: &'v Value, missing: Missing) -> Result<Vec<&'v Value>> {
    let mut found = vec![if path.is_absolute { root } else { current }];
    let mut is_searching = false;
    for step in &path.steps {
        let mut next = Vec::new();
        if let Step::Union(paths) = step {
            for path in paths {
                for value in &found {
                    next.extend(walk(path, root, value, missing)?);
                }
            }
            found = next;
            continue;
        }
        for value in found {
            // After `..` most values do not have what is looked for.
            let missing = if is_searching { Missing::Skip } else { missing };
            take(step, root, value, missing, &mut next)?;
            if next.len() > FOUND_MAX {
                return Err(JsonPathError(format!("more than {FOUND_MAX} values")));
            }
        }
        is_searching = *step == Step::Descend;
        found = next;
    }
    Ok(found)
}

fn take<'v>(step: &Step, root: &'v Value, value: &'v Value, missing: Missing, found: &mut Vec<&'v Value>) -> Result<()> {
    match step {
        Step::Field(name) => match value.get(name.as_str()) {
            Some(field) => found.push(field),
            None if missing == Missing::Refuse => return Err(JsonPathError(format!("{name} is not found"))),
            None => {}
        },
        Step::Wildcard => found.extend(children(value)),
        Step::Descend => descend(value, found),
        Step::Index(index) => {
            let Some(list) = value.as_array() else { return not_a_list(value, missing) };
            let length = list.len() as i64;
            let at = if *index < 0 { length + index } else { *index };
            match usize::try_from(at).ok().and_then(|at| list.get(at)) {
                Some(item) => found.push(item),
                None if missing == Missing::Refuse => {
                    return Err(JsonPathError(format!("array index out of bounds: index {index}, length {length}")));
                }
                None => {}
            }
        }
        Step::Slice { from, to, by } => {
            let Some(list) = value.as_array() else { return not_a_list(value, missing) };
            let length = list.len() as i64;
            let bound = |index: i64| (if index < 0 { length + index } else { index }).clamp(0, length) as usize;
            let (from, to) = (bound(from.unwrap_or(0)), bound(to.unwrap_or(length)));
            if from < to {
                found.extend(list[from..to].iter().step_by(by.unwrap_or(1).max(1) as usize));
            }
        }
        Step::Union(paths) => {
            for path in paths {
                found.extend(walk(path, root, value, missing)?);
            }
        }
        Step::Filter(filter) => {
            let Some(list) = value.as_array() else { return not_a_list(value, missing) };
            for item in list {
                if holds(filter, root, item)? {
                    found.push(item);
                }
            }
        }
    }
    Ok(())
}

fn not_a_list(value: &Value, missing: Missing) -> Result<()> {
    match missing {
        Missing::Refuse => Err(JsonPathError(format!("{value} is not array or slice"))),
        Missing::Skip => Ok(()),
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(object) => object.values().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn descend<'v>(value: &'v Value, found: &mut Vec<&'v Value>) {
    found.push(value);
    if found.len() <= FOUND_MAX {
        children(value).into_iter().for_each(|child| descend(child, found));
    }
}

fn holds(filter: &Filter, root: &Value, item: &Value) -> Result<bool> {
    match filter {
        Filter::Exists(path) => Ok(!walk(path, root, item, Missing::Skip)?.is_empty()),
        Filter::Compare(left, comparison, right) => {
            let (Some(left), Some(right)) = (resolve(left, root, item)?, resolve(right, root, item)?) else { return Ok(false) };
            Ok(compare(&left, *comparison, &right))
        }
    }
}

fn resolve(operand: &Operand, root: &Value, item: &Value) -> Result<Option<Value>> {
    match operand {
        Operand::Literal(literal) => Ok(Some(literal.clone())),
        Operand::Path(path) => Ok(walk(path, root, item, Missing::Skip)?.first().map(|value| (*value).clone())),
    }
}

fn compare(left: &Value, comparison: Comparison, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) if left == right => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    match comparison {
        Comparison::Equal => order.is_some_and(|order| order.is_eq()),
        Comparison::NotEqual => !order.is_some_and(|order| order.is_eq()),
        Comparison::Less => order.is_some_and(|order| order.is_lt()),
        Comparison::LessOrEqual => order.is_some_and(|order| order.is_le()),
        Comparison::Greater => order.is_some_and(|order| order.is_gt()),
        Comparison::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
    }
}
