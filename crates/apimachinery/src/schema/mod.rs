//! What an object of a kind looks like.
//!
//! One [`Schema`] type serves built-in kinds (crate `builtin`) and CRDs (parsed from
//! `openAPIV3Schema`); it is resolved, shared (`Arc`) and immutable. It carries what validation, pruning,
//! defaulting, strategic merge and server-side apply need, and nothing for people: descriptions live
//! beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

mod default;
mod format;
mod parse;
mod path;
mod pattern;
mod prune;
mod structural;
mod touched;
mod validate;

pub use default::{default, default_touched, drop_nulls};
pub use format::is_valid as is_valid_format;
pub use parse::parse;
pub use path::Path;
pub use pattern::{LazyRegex, compile as compile_pattern};
pub use prune::prune;
pub use structural::structural;
pub use touched::Touched;
pub use validate::{Lists, validate, validate_touched, validate_update, validate_with};

/// One node of a resolved schema.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    pub ty: Type,
    /// Known fields of an object.
    pub properties: BTreeMap<Box<str>, Arc<Schema>>,
    /// Values of a map with free keys.
    pub additional: Additional,
    /// Elements of an array.
    pub items: Option<Arc<Schema>>,
    pub required: Vec<Box<str>>,
    pub default: Option<Value>,
    /// `null` is a value, not an absence.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`: unknown fields are kept, not pruned.
    pub preserve_unknown: bool,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// `x-kubernetes-embedded-resource`: apiVersion, kind and metadata are implied.
    pub embedded_resource: bool,
    pub list_type: ListType,
    /// Keys of a `ListType::Map` list.
    pub list_map_keys: Vec<Box<str>>,
    /// `x-kubernetes-map-type: atomic`: owned as a whole by server-side apply.
    pub atomic_map: bool,
    /// Strategic merge patch: the element field that identifies, and what to do.
    pub patch_merge_key: Option<Box<str>>,
    pub patch_strategy: PatchStrategy,
    /// Value rules; boxed because most nodes have none.
    pub rules: Option<Box<Rules>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
    /// Any JSON value; with `preserve_unknown` whatever is below is kept.
    #[default]
    Any,
}

/// `additionalProperties`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Additional {
    #[default]
    No,
    /// `true`: any value.
    Any,
    Of(Arc<Schema>),
}

/// `x-kubernetes-list-type`; absent means atomic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListType {
    #[default]
    Atomic,
    Set,
    Map,
}

/// `x-kubernetes-patch-strategy`, a comma-separated set upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    pub merge: bool,
    pub retain_keys: bool,
}

/// Value validations of JSON schema, plus CEL rules kept as text until a CEL engine compiles them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    pub format: Option<Box<str>>,
    pub pattern: Option<Box<str>>,
    /// `pattern`, compiled at its first use.
    pub regex: LazyRegex,
    pub enumeration: Vec<Value>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub unique_items: bool,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Schema>,
    /// `x-kubernetes-validations`, verbatim.
    pub cel: Vec<Value>,
}

impl Schema {
    /// Returns the schema of any JSON value, kept as it is.
    pub fn any() -> Self {
        Self { preserve_unknown: true, ..Self::default() }
    }

    /// Returns this schema of a whole object with `apiVersion`, `kind` and `metadata` said in full,
    /// here and in every embedded resource. What the author said about `metadata` (patterns of names) stays
    /// with the author: the fields of `metadata` below are those given here.
    pub fn with_object_meta(&self, metadata: &Arc<Schema>) -> Schema {
        let mut with = self.clone();
        with.embedded_resource = true;
        with.fill_object_meta(metadata);
        with
    }

    fn fill_object_meta(&mut self, metadata: &Arc<Schema>) {
        for child in self.properties.values_mut() {
            if child.embeds() {
                Arc::make_mut(child).fill_object_meta(metadata);
            }
        }
        if let Additional::Of(values) = &mut self.additional
            && values.embeds()
        {
            Arc::make_mut(values).fill_object_meta(metadata);
        }
        if let Some(items) = &mut self.items
            && items.embeds()
        {
            Arc::make_mut(items).fill_object_meta(metadata);
        }
        if self.embedded_resource {
            let text = Arc::new(Schema { ty: Type::String, ..Schema::default() });
            self.properties.entry("apiVersion".into()).or_insert_with(|| text.clone());
            self.properties.entry("kind".into()).or_insert(text);
            let mut known = (**metadata).clone();
            // As upstream, a structural schema may only restrict name and generateName.
            if let Some(own) = self.properties.get("metadata") {
                for name in ["name", "generateName"] {
                    if let Some(restricted) = own.properties.get(name) {
                        known.properties.insert(name.into(), restricted.clone());
                    }
                }
            }
            self.properties.insert("metadata".into(), Arc::new(known));
        }
    }

    /// Says whether an embedded resource is here or below.
    fn embeds(&self) -> bool {
        let values = match &self.additional {
            Additional::Of(values) => Some(values),
            Additional::No | Additional::Any => None,
        };
        self.embedded_resource || self.properties.values().chain(values).chain(&self.items).any(|child| child.embeds())
    }

    /// Returns the schema of the field `name` of an object of this schema: a known property,
    /// else the values of a map, else nothing.
    pub fn field(&self, name: &str) -> Option<&Arc<Schema>> {
        match (self.properties.get(name), &self.additional) {
            (Some(known), _) => Some(known),
            (None, Additional::Of(values)) => Some(values),
            (None, Additional::No | Additional::Any) => None,
        }
    }

    /// Says whether `null` stands for absence here.
    pub fn drops_null(&self) -> bool {
        !self.nullable
    }
}
