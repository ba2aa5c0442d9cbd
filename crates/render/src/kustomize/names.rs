//! Prefixes, suffixes and content hashes of names.

use serde_json::Value;

use super::fieldpath::{self, Make};
use super::fields::FieldSpec;
use super::hash;
use super::resource::Resource;
use super::set::Set;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affix {
    Prefix,
    Suffix,
}

/// Puts a prefix or suffix to the names of objects that may be renamed.
pub(crate) fn add(set: &mut Set, affix: Affix, text: &str, specs: &[FieldSpec]) -> Result<(), String> {
    for resource in set.resources.iter_mut().filter(|resource| may_be_renamed(resource)) {
        let first = resource.original_id().gvk;
        for spec in specs.iter().filter(|spec| spec.selects(&first)) {
            if spec.path == "metadata/name" {
                match affix {
                    Affix::Prefix => resource.affixes.prefixes.push(text.to_owned()),
                    Affix::Suffix => resource.affixes.suffixes.push(text.to_owned()),
                }
                resource.remember();
            }
            let mut put = |value: &mut Value| {
                let name = value.as_str().ok_or("it is no text")?;
                *value = Value::String(match affix {
                    Affix::Prefix => format!("{text}{name}"),
                    Affix::Suffix => format!("{name}{text}"),
                });
                Ok(())
            };
            let outcome = fieldpath::apply(&mut resource.object, spec, Make::Nothing, &mut put);
            outcome.map_err(|what| format!("{}: {what}", resource.id()))?;
        }
    }
    Ok(())
}

/// Puts a hash of their content to the names of generated objects.
pub(crate) fn add_hashes(set: &mut Set) -> Result<(), String> {
    for resource in set.resources.iter_mut().filter(|resource| resource.needs_hash) {
        let hash = hash::of(&resource.object)?;
        resource.remember();
        let name = format!("{}-{hash}", resource.name());
        resource.set_metadata("name", &name);
    }
    Ok(())
}

/// The name of a CustomResourceDefinition or an APIService says what it is, and a Namespace's belongs to `namespace`.
fn may_be_renamed(resource: &Resource) -> bool {
    let gvk = resource.original_id().gvk;
    match gvk.kind.as_str() {
        "CustomResourceDefinition" | "Namespace" => false,
        "APIService" => gvk.group != "apiregistration.k8s.io",
        _ => true,
    }
}
