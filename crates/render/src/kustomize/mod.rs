//! A Kustomize source: overlays built in memory, with the outcome of `kustomize build`.
//!
//! The measure is Kustomize 5.7 (as in kubectl 1.35): the same objects, or an error that names the file and the field.
//! What runs something (plugins, functions, Helm) or fetches something (URLs, other repositories) is refused.
//! Read [`accumulate`] for the order of things; each change is in the module of its field.
//!
//! Invariant: nothing is rendered differently from Kustomize in silence. Limits are those of [`crate::Limits`].

mod accumulate;
mod closure;
mod defaults;
mod fieldpath;
mod fields;
mod generate;
mod hash;
mod images;
mod labels;
mod load;
mod merge;
mod names;
mod namespace;
mod operations;
mod order;
mod overrides;
mod patch;
mod path;
mod read;
mod references;
mod replacements;
mod replicas;
mod resource;
mod schema;
mod set;
mod spec;
mod vars;

use serde_json::Value;

pub use closure::wanted;
pub(crate) use load::NAMES;
pub(crate) use path::{Remote, normal};

use self::accumulate::{Builder, Gathered};
use self::load::Loader;
use self::resource::Resource;
use crate::{Files, Limits, Manifest, Problem, Source};

/// Builds the kustomization at the source's path, with the changes the Application asks for.
pub(crate) fn render(files: &Files, source: &Source, limits: &Limits) -> Result<Vec<Manifest>, Vec<Problem>> {
    let dir = path::join("", if source.path.is_empty() { "." } else { &source.path }).map_err(|what| vec![Problem::source(what)])?;
    let mut loader = Loader::new(files, limits);
    let (file, mut spec) = loader.kustomization(&dir)?;
    overrides::apply(&mut spec, source, &dir, files)?;
    let mut builder = Builder::new(loader, source);
    let Gathered { mut set, config, vars } = builder.build(&dir, &file, &spec, Gathered::default())?;
    let fault = |field: &'static str| {
        let file = file.clone();
        move |what: String| vec![Problem::file(&file, 0, if field.is_empty() { what } else { format!("{field}: {what}") })]
    };
    names::add_hashes(&mut set).map_err(fault(""))?;
    references::update(&mut set, &config.name_reference).map_err(fault("name references"))?;
    vars::resolve(&mut set, &vars, &config.var_reference).map_err(fault("vars"))?;
    set.resources.retain(|resource| !is_local(resource));
    order::sort(&mut set.resources, spec.sort_options.as_ref()).map_err(fault("sortOptions"))?;
    if let Some(option) = spec.build_metadata.first() {
        return Err(fault("buildMetadata")(format!("{option} is not supported; remove it")));
    }
    set.resources.into_iter().map(manifest).collect()
}

/// Objects for tools that read the repository are not for the cluster.
fn is_local(resource: &Resource) -> bool {
    resource.object["metadata"]["annotations"].get("config.kubernetes.io/local-config").is_some_and(|value| value != "false")
}

fn manifest(resource: Resource) -> Result<Manifest, Vec<Problem>> {
    let Resource { mut object, file, line, .. } = resource;
    if let Err(what) = annotations_as_text(&mut object) {
        return Err(vec![Problem::file(&file, line, what)]);
    }
    Ok(Manifest { object, file, line })
}

/// Kustomize writes every annotation as text, and none rather than an empty map.
fn annotations_as_text(object: &mut Value) -> Result<(), String> {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return Ok(()) };
    let is_empty = match metadata.get_mut("annotations") {
        Some(Value::Object(annotations)) => {
            for (key, value) in annotations.iter_mut() {
                match value {
                    Value::String(_) => {}
                    Value::Bool(_) => *value = Value::String(value.to_string()),
                    Value::Number(number) if number.is_i64() => *value = Value::String(value.to_string()),
                    _ => return Err(format!("metadata.annotations[{key:?}] must be text; put it in quotes")),
                }
            }
            annotations.is_empty()
        }
        Some(Value::Null) => true,
        _ => false,
    };
    if is_empty {
        metadata.remove("annotations");
    }
    Ok(())
}
