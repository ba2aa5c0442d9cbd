//! Labels and annotations, and the selectors and pod templates that must have them too.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fieldpath::{self, Make};
use super::fields::{self, FieldConfig, FieldSpec};
use super::set::Set;
use super::spec::Label;

/// Sets the pairs of an entry of `labels`.
pub(crate) fn label(set: &mut Set, label: &Label, config: &FieldConfig) -> Result<(), String> {
    let mut specs = label.fields.clone();
    fields::merge_all(&mut specs, &config.labels)?;
    if label.include_selectors {
        fields::merge_all(&mut specs, &config.common_labels)?;
    } else {
        if label.include_templates {
            fields::merge_all(&mut specs, &config.template_labels)?;
        }
        fields::merge_all(&mut specs, &[FieldSpec::anywhere("metadata/labels", true)])?;
    }
    set_pairs(set, &label.pairs, &specs)
}

/// Sets keys of the maps at these fields.
pub(crate) fn set_pairs(set: &mut Set, pairs: &BTreeMap<String, String>, specs: &[FieldSpec]) -> Result<(), String> {
    check_keys(pairs)?;
    for resource in &mut set.resources {
        for (key, text) in pairs {
            for spec in specs {
                let mut put = |value: &mut Value| match value {
                    Value::Object(map) => {
                        map.insert(key.clone(), Value::String(text.clone()));
                        Ok(())
                    }
                    Value::Null => Ok(()),
                    _ => Err("it is no mapping".to_owned()),
                };
                let outcome = fieldpath::apply(&mut resource.object, spec, Make::Map, &mut put);
                outcome.map_err(|what| format!("{}: {what}", resource.id()))?;
            }
        }
    }
    Ok(())
}

/// Refuses keys that were no text in the file (`n:` is `false` there): Kustomize cannot write them.
pub(crate) fn check_keys(pairs: &BTreeMap<String, String>) -> Result<(), String> {
    let is_text = |key: &str| !matches!(key, "true" | "false" | "null") && key.parse::<f64>().is_err();
    match pairs.keys().find(|key| !is_text(key)) {
        Some(key) => Err(format!("the key {key} is not text; put it in quotes, or choose another")),
        None => Ok(()),
    }
}
