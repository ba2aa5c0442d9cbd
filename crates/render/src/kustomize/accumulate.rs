//! Builds a kustomization: its resources, then what it generates, its components, and its changes, in Kustomize's order.
//!
//! As `target/kusttarget.go`: a base is built whole before it is added; a component works on what its user has gathered
//! so far. Hashes, references and vars come once, at the very end, in [`super::render`].

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::fields::FieldConfig;
use super::generate::{self, Made};
use super::load::{Loader, Place};
use super::names::{self, Affix};
use super::patch::{self, Content};
use super::resource::{Id, Resource};
use super::set::Set;
use super::spec::{Kustomization, Patch, PatchOptions, Replacement, Selector, Var};
use super::{defaults, images, labels, namespace, path, read, replacements, replicas, vars};
use crate::{Limits, Problem, Source};

/// Changes times objects of one kustomization: a few seconds. A hundred patches of a thousand objects are 100,000.
const WORK_MAX: usize = 2_000_000;

/// Objects gathered so far, and what changes to them must know.
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    pub set: Set,
    /// Kustomize's own are shared until something is added: they are some 300, and most kustomizations add none.
    pub config: Cow<'static, FieldConfig>,
    pub vars: Vec<Var>,
}

impl Gathered {
    pub fn new(limits: &Limits) -> Self {
        Self { set: Set::new(limits.output_bytes_max), config: Cow::Borrowed(defaults::defaults()), vars: Vec::new() }
    }
}

type Outcome<T> = Result<T, Vec<Problem>>;

pub(crate) struct Builder<'a> {
    pub loader: Loader<'a>,
    pub source: &'a Source,
    /// Directories being built, outermost first.
    stack: Vec<String>,
}

/// A kustomization at work.
struct Unit<'k> {
    dir: String,
    file: String,
    spec: &'k Kustomization,
}

impl Unit<'_> {
    fn problem(&self, field: &str, what: impl std::fmt::Display) -> Vec<Problem> {
        vec![Problem::file(&self.file, 0, format!("{field}: {what}"))]
    }
}

impl<'a> Builder<'a> {
    pub fn new(loader: Loader<'a>, source: &'a Source) -> Self {
        Self { loader, source, stack: Vec::new() }
    }

    fn limits(&self) -> &'a Limits {
        self.loader.limits()
    }

    /// Builds what `spec`, the kustomization of `dir`, asks for, on top of what is gathered.
    pub fn build(&mut self, dir: &str, file: &str, spec: &Kustomization, mut gathered: Gathered) -> Outcome<Gathered> {
        let unit = Unit { dir: dir.to_owned(), file: file.to_owned(), spec };
        if self.stack.len() >= self.limits().overlays_max {
            return Err(vec![Problem::file(file, 0, format!("overlays are stacked more than {} deep", self.limits().overlays_max))]);
        }
        self.stack.push(dir.to_owned());
        let mut known = gathered.set.ids();
        for (index, (field, entry)) in spec.resources.iter().enumerate() {
            self.resource(&unit, &format!("{field}[{index}]"), entry, &mut gathered, &mut known)?;
            self.check_count(&unit, gathered.set.resources.len())?;
        }
        let generated = spec.config_map_generator.len() + spec.secret_generator.len();
        self.check_count(&unit, gathered.set.resources.len() + generated)?;
        self.configure(&unit, &mut gathered)?;
        self.generate(&unit, &mut gathered)?;
        for (index, entry) in spec.components.iter().enumerate() {
            gathered = self.component(&unit, &format!("components[{index}]"), entry, gathered)?;
        }
        self.change(&unit, &mut gathered)?;
        vars::declare(&mut gathered.set, &spec.vars).map_err(|what| unit.problem("vars", what))?;
        vars::merge(&mut gathered.vars, &spec.vars).map_err(|what| unit.problem("vars", what))?;
        self.check_size(&unit, &gathered)?;
        self.stack.pop();
        Ok(gathered)
    }

    fn resource(&mut self, unit: &Unit<'_>, field: &str, entry: &str, gathered: &mut Gathered, known: &mut BTreeSet<Id>) -> Outcome<()> {
        let fault = |what: String| unit.problem(field, what);
        match self.place(unit, entry).map_err(fault)? {
            Place::File(file) => {
                let text = self.loader.text(&file).map_err(fault)?;
                let added = read::objects(&file, &text, self.limits()).map_err(|problem| vec![problem])?;
                gathered.set.append(added, known).map_err(|what| fault(format!("{file}: {what}")))
            }
            Place::Directory(dir) => {
                self.refuse_cycle(&dir).map_err(fault)?;
                let (file, spec) = self.loader.kustomization(&dir).map_err(|problems| named_by(unit, field, problems))?;
                if spec.is_component {
                    return Err(fault(format!("{file} is a Component; name it in components")));
                }
                let base = self.build(&dir, &file, &spec, Gathered::new(self.limits()))?;
                gathered.set.append(base.set.resources, known).map_err(fault)?;
                if let Cow::Owned(config) = &base.config {
                    gathered.config.to_mut().merge(config).map_err(fault)?;
                }
                vars::merge(&mut gathered.vars, &base.vars).map_err(fault)
            }
        }
    }

    fn component(&mut self, unit: &Unit<'_>, field: &str, entry: &str, gathered: Gathered) -> Outcome<Gathered> {
        let fault = |what: String| unit.problem(field, what);
        let Place::Directory(dir) = self.place(unit, entry).map_err(fault)? else {
            return Err(fault(format!("{entry:?} is a file; a component is a directory")));
        };
        self.refuse_cycle(&dir).map_err(fault)?;
        let (file, spec) = self.loader.kustomization(&dir).map_err(|problems| named_by(unit, field, problems))?;
        if !spec.is_component {
            return Err(fault(format!("{file} is no Component; name it in resources, or say kind: Component")));
        }
        self.build(&dir, &file, &spec, gathered)
    }

    fn place(&self, unit: &Unit<'_>, entry: &str) -> Result<Place, String> {
        let as_path = self.loader.place(&unit.dir, entry);
        if matches!(as_path, Ok(Place::File(_))) {
            return as_path;
        }
        let Some(remote) = path::remote(entry) else {
            return if entry.contains("://") { Err(format!("{entry:?} is a URL; not supported: commit the file")) } else { as_path };
        };
        let dir = self.source.own(&remote)?;
        match self.loader.place("", if dir.is_empty() { "." } else { &dir })? {
            Place::Directory(dir) => Ok(Place::Directory(dir)),
            Place::File(file) => Err(format!("{file} is a file; a remote base is a directory")),
        }
    }

    /// As Kustomize, neither a directory that is being built nor one above it may be a base.
    fn refuse_cycle(&self, dir: &str) -> Result<(), String> {
        match self.stack.iter().find(|visited| path::is_within(dir, visited)) {
            Some(visited) => Err(format!("cycle: {dir:?} holds {visited:?}, which is being built")),
            None => Ok(()),
        }
    }

    fn configure(&mut self, unit: &Unit<'_>, gathered: &mut Gathered) -> Outcome<()> {
        for (index, entry) in unit.spec.configurations.iter().enumerate() {
            let fault = |what: String| unit.problem(&format!("configurations[{index}]"), what);
            let (file, text) = self.loader.text_of(&unit.dir, entry).map_err(fault)?;
            for document in read::parse(&file, &text).map_err(|problem| vec![problem])? {
                let own: FieldConfig = serde_json::from_value(document.value).map_err(|error| fault(format!("{file}: {error}")))?;
                own.check().and_then(|()| gathered.config.to_mut().merge(&own)).map_err(|what| fault(format!("{file}: {what}")))?;
            }
        }
        if let Some(entry) = unit.spec.crds.first() {
            return Err(unit.problem("crds[0]", format!("{entry:?} is not read; not supported: use configurations")));
        }
        Ok(())
    }

    fn generate(&mut self, unit: &Unit<'_>, gathered: &mut Gathered) -> Outcome<()> {
        let lists = [
            ("configMapGenerator", Made::ConfigMap, &unit.spec.config_map_generator),
            ("secretGenerator", Made::Secret, &unit.spec.secret_generator),
        ];
        for (field, made, generators) in lists {
            for (index, generator) in generators.iter().enumerate() {
                let fault = |what: String| unit.problem(&format!("{field}[{index}]"), what);
                let loader = &mut self.loader;
                let mut load = |entry: &str| loader.bytes_of(&unit.dir, entry);
                let mut resource = generate::make(made, generator, &unit.spec.generator_options, &mut load).map_err(fault)?;
                resource.file.clone_from(&unit.file);
                gathered.set.absorb(resource).map_err(fault)?;
            }
        }
        Ok(())
    }

    fn change(&mut self, unit: &Unit<'_>, gathered: &mut Gathered) -> Outcome<()> {
        let spec = unit.spec;
        self.check_work(unit, gathered.set.resources.len())?;
        for (index, entry) in spec.patches_strategic_merge.iter().enumerate() {
            let field = format!("patchesStrategicMerge[{index}]");
            let patches = self.strategic(unit, &field, entry)?;
            patch::merge_by_name(&mut gathered.set, &patches, PatchOptions::default()).map_err(|what| unit.problem(&field, what))?;
        }
        for (index, entry) in spec.patches.iter().enumerate() {
            self.patch(unit, &format!("patches[{index}]"), entry, &mut gathered.set)?;
        }
        let Gathered { set, config, .. } = gathered;
        // A label is set in a dozen places of an object at most.
        set.check(texts(spec).saturating_mul(12)).map_err(|what| vec![Problem::file(&unit.file, 0, what)])?;
        let fault = |field: &'static str| move |what: String| unit.problem(field, what);
        if !spec.namespace.is_empty() {
            namespace::set_all(set, &spec.namespace, &config.namespace).map_err(fault("namespace"))?;
        }
        if !spec.name_prefix.is_empty() {
            names::add(set, Affix::Prefix, &spec.name_prefix, &config.name_prefix).map_err(fault("namePrefix"))?;
        }
        if !spec.name_suffix.is_empty() {
            names::add(set, Affix::Suffix, &spec.name_suffix, &config.name_suffix).map_err(fault("nameSuffix"))?;
        }
        for label in &spec.labels {
            labels::label(set, label, config).map_err(fault("labels"))?;
        }
        labels::set_pairs(set, &spec.common_labels, &config.common_labels).map_err(fault("commonLabels"))?;
        labels::set_pairs(set, &spec.common_annotations, &config.common_annotations).map_err(fault("commonAnnotations"))?;
        for (index, entry) in spec.patches_json6902.iter().enumerate() {
            self.json6902(unit, &format!("patchesJson6902[{index}]"), entry, set)?;
        }
        for replica in &spec.replicas {
            replicas::set(set, replica, &config.replicas).map_err(fault("replicas"))?;
        }
        for (index, image) in spec.images.iter().enumerate() {
            images::set(set, image, &config.images).map_err(|what| unit.problem(&format!("images[{index}]"), what))?;
        }
        for (index, entry) in spec.replacements.iter().enumerate() {
            let field = format!("replacements[{index}]");
            for replacement in self.replacements(unit, &field, entry)? {
                replacements::replace(set, &replacement).map_err(|what| unit.problem(&field, what))?;
            }
        }
        Ok(())
    }

    /// An entry is a patch's text, or the path of its file.
    fn strategic(&mut self, unit: &Unit<'_>, field: &str, entry: &str) -> Outcome<Vec<Resource>> {
        let (file, text) = if entry.contains('\n') || entry.trim_start().starts_with('{') {
            (unit.file.clone(), entry.to_owned())
        } else {
            self.loader.text_of(&unit.dir, entry).map_err(|what| unit.problem(field, what))?
        };
        match patch::parse(&file, &text, self.limits()).map_err(|problem| named_by(unit, field, vec![problem]))? {
            Content::Merge(patches) => Ok(patches),
            Content::Operations(_) => Err(unit.problem(field, format!("{file} holds no object to merge"))),
        }
    }

    /// Returns the file and text of an entry that has one of `path` and a text of its own.
    fn content(&mut self, unit: &Unit<'_>, field: &str, entry: &Patch) -> Outcome<(String, String)> {
        let inline = entry.patch.trim();
        match (inline.is_empty(), entry.path.is_empty()) {
            (false, true) => Ok((unit.file.clone(), inline.to_owned())),
            (true, false) => self.loader.text_of(&unit.dir, &entry.path).map_err(|what| unit.problem(&format!("{field}.path"), what)),
            (true, true) => Err(unit.problem(field, "it needs patch or path")),
            (false, false) => Err(unit.problem(field, "patch and path exclude each other")),
        }
    }

    fn patch(&mut self, unit: &Unit<'_>, field: &str, entry: &Patch, set: &mut Set) -> Outcome<()> {
        let (file, text) = self.content(unit, field, entry)?;
        let content = patch::parse(&file, &text, self.limits()).map_err(|problem| named_by(unit, field, vec![problem]))?;
        let outcome = match (&content, &entry.target) {
            (Content::Merge(patches), None) => patch::merge_by_name(set, patches, entry.options),
            (Content::Merge(patches), Some(target)) => patch::merge_by_target(set, target, patches, entry.options),
            (Content::Operations(operations), Some(target)) => patch::operate(set, target, operations, true),
            (Content::Operations(_), None) => Err("target is missing: operations must say which objects they are for".to_owned()),
        };
        outcome.map_err(|what| unit.problem(field, if file == unit.file { what } else { format!("{file}: {what}") }))
    }

    fn json6902(&mut self, unit: &Unit<'_>, field: &str, entry: &Patch, set: &mut Set) -> Outcome<()> {
        let (file, text) = self.content(unit, field, entry)?;
        let content = patch::parse(&file, &text, self.limits()).map_err(|problem| named_by(unit, field, vec![problem]))?;
        let nowhere = Selector::default();
        let target = entry.target.as_ref().unwrap_or(&nowhere);
        if target.name.is_empty() {
            return Err(unit.problem(&format!("{field}.target.name"), "it is missing"));
        }
        match content {
            Content::Operations(operations) => patch::operate(set, target, &operations, false).map_err(|what| unit.problem(field, what)),
            Content::Merge(_) => Err(unit.problem(field, format!("{file} holds no list of operations"))),
        }
    }

    /// An entry is a replacement, or the path of a file with one or several.
    fn replacements(&mut self, unit: &Unit<'_>, field: &str, entry: &Replacement) -> Outcome<Vec<Replacement>> {
        if entry.path.is_empty() {
            return Ok(vec![entry.clone()]);
        }
        let fault = |what: String| unit.problem(&format!("{field}.path"), what);
        if entry.source.is_some() || entry.source_value.is_some() || !entry.targets.is_empty() {
            return Err(fault("it excludes source and targets".to_owned()));
        }
        let (file, text) = self.loader.text_of(&unit.dir, &entry.path).map_err(fault)?;
        let mut found = Vec::new();
        for document in read::parse(&file, &text).map_err(|problem| vec![problem])? {
            let values = match document.value {
                serde_json::Value::Array(values) => values,
                one => vec![one],
            };
            for value in values {
                found.push(serde_json::from_value(value).map_err(|error| fault(format!("{file}: {error}")))?);
            }
        }
        Ok(found)
    }

    fn check_count(&self, unit: &Unit<'_>, count: usize) -> Outcome<()> {
        if count > self.limits().objects_max {
            let limit = self.limits().objects_max;
            return Err(vec![Problem::file(&unit.file, 0, format!("there are more than {limit} objects; split the Application"))]);
        }
        Ok(())
    }

    /// Each change looks at each object: both together say how long it takes.
    fn check_work(&self, unit: &Unit<'_>, objects: usize) -> Outcome<()> {
        let spec = unit.spec;
        let changes = spec.patches_strategic_merge.len()
            + spec.patches.len()
            + spec.patches_json6902.len()
            + spec.images.len()
            + spec.replicas.len()
            + spec.replacements.len()
            + spec.labels.len()
            + spec.vars.len();
        if changes.saturating_mul(objects) > WORK_MAX {
            let what = format!("{changes} changes to {objects} objects are more than are carried out; split the Application");
            return Err(vec![Problem::file(&unit.file, 0, what)]);
        }
        Ok(())
    }

    fn check_size(&self, unit: &Unit<'_>, gathered: &Gathered) -> Outcome<()> {
        gathered.set.check(0).map_err(|what| vec![Problem::file(&unit.file, 0, what)])
    }
}

/// Says which field led to a problem of another file.
fn named_by(unit: &Unit<'_>, field: &str, problems: Vec<Problem>) -> Vec<Problem> {
    let name = |problem: Problem| {
        if problem.file == unit.file || !problem.file.contains('/') && problem.file.is_empty() {
            Problem { file: unit.file.clone(), line: 0, message: format!("{field}: {}", problem.message) }
        } else {
            Problem { message: format!("{} (from {} {field})", problem.message, unit.file), ..problem }
        }
    };
    problems.into_iter().map(name).collect()
}

/// Returns the length of all text that is put into every object.
fn texts(spec: &Kustomization) -> usize {
    let pairs = spec.labels.iter().map(|label| &label.pairs).chain([&spec.common_labels, &spec.common_annotations]);
    let pairs: usize = pairs.flatten().map(|(key, text)| key.len() + text.len()).sum();
    pairs + spec.namespace.len() + spec.name_prefix.len() + spec.name_suffix.len()
}
