//! What one object does when one operation at a time is done to it: the sequential model.
//!
//! It knows labels, values, status values, finalizers, generation, deletion and who owns which label
//! and value. It was written from the documented behaviour, not from the server's code, and shares none with it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::space::{HOLD, Key, Kind, Texts};

/// An owner: its name and whether it applies.
pub type Owner = (String, bool);

/// An object, without what the model does not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    pub uid: String,
    pub created: String,
    pub generation: i64,
    pub labels: Texts,
    pub values: Texts,
    pub status: Texts,
    pub finalizers: Vec<String>,
    pub is_terminating: bool,
    /// By `labels/x` and `values/x`.
    pub owners: BTreeMap<String, BTreeSet<Owner>>,
}

#[derive(Clone, Debug)]
pub enum Op {
    Create {
        labels: Texts,
        values: Texts,
        finalizers: Vec<String>,
    },
    /// PUT of a whole object that was read before.
    Put {
        uid: Option<String>,
        revision: Option<u64>,
        labels: Texts,
        values: Texts,
        finalizers: Vec<String>,
    },
    Merge {
        revision: Option<u64>,
        labels: BTreeMap<String, Option<String>>,
        values: BTreeMap<String, Option<String>>,
        releases: bool,
    },
    /// Tests one value and sets another.
    JsonPatch {
        test: Option<(String, String)>,
        set: (String, String),
    },
    Apply {
        manager: String,
        labels: Texts,
        values: Texts,
        is_forced: bool,
    },
    /// Merge patch of the status subresource; the values and labels it carries must not count.
    Status {
        values: Texts,
    },
    Delete {
        uid: Option<String>,
        revision: Option<u64>,
    },
}

/// What an operation does to a state.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Stored(State),
    Removed(State),
    Same,
    Refused(u16),
    /// 409 naming these fields.
    Conflicts(BTreeSet<String>),
}

impl State {
    /// Reads what the model knows from an object.
    pub fn of(kind: Kind, object: &Value) -> State {
        let metadata = &object["metadata"];
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        State {
            uid: text(&metadata["uid"]),
            created: text(&metadata["creationTimestamp"]),
            generation: metadata["generation"].as_i64().unwrap_or(0),
            labels: texts(Some(&metadata["labels"])),
            values: texts(object.pointer(kind.values())),
            status: texts(object.pointer("/status/values")),
            finalizers: metadata["finalizers"].as_array().into_iter().flatten().map(text).collect(),
            is_terminating: metadata.get("deletionTimestamp").is_some(),
            owners: owners(kind, &metadata["managedFields"]),
        }
    }

    /// Returns what the operation does to the object at `revision`; `who` is the client's field manager.
    pub fn after(at: Option<(&State, u64)>, key: &Key, who: &str, op: &Op) -> Outcome {
        match (at, op) {
            (None, Op::Create { labels, values, finalizers }) => {
                let mut new = State { finalizers: finalizers.clone(), ..State::default() };
                new.update(labels.clone(), values.clone(), &(who.to_owned(), false));
                new.generation = i64::from(key.kind.counts_generations());
                Outcome::Stored(new)
            }
            (Some(_), Op::Create { .. }) => Outcome::Refused(409),
            (None, Op::Apply { manager, labels, values, .. }) => {
                let mut new = State::default();
                new.update(labels.clone(), values.clone(), &(manager.clone(), true));
                new.generation = i64::from(key.kind.counts_generations());
                Outcome::Stored(new)
            }
            (None, _) => Outcome::Refused(404),
            (Some((state, revision)), op) => state.then(revision, key, who, op),
        }
    }

    fn then(&self, at: u64, key: &Key, who: &str, op: &Op) -> Outcome {
        let mut new = self.clone();
        let writer = (who.to_owned(), false);
        match op {
            Op::Create { .. } => return Outcome::Refused(409),
            Op::Put { uid, revision, labels, values, finalizers } => {
                if uid.as_ref().is_some_and(|u| *u != self.uid) || revision.is_some_and(|r| r != at) {
                    return Outcome::Refused(409);
                }
                if self.is_terminating && finalizers.iter().any(|f| !self.finalizers.contains(f)) {
                    return Outcome::Refused(422);
                }
                new.update(labels.clone(), values.clone(), &writer);
                new.finalizers.clone_from(finalizers);
            }
            Op::Merge { revision, labels, values, releases } => {
                if revision.is_some_and(|r| r != at) {
                    return Outcome::Refused(409);
                }
                new.update(merged(&self.labels, labels), merged(&self.values, values), &writer);
                if *releases {
                    new.finalizers.clear();
                }
            }
            Op::JsonPatch { test, set: (name, value) } => {
                if let Some((tested, want)) = test
                    && self.values.get(tested) != Some(want)
                {
                    return Outcome::Refused(422);
                }
                let mut values = self.values.clone();
                values.insert(name.clone(), value.clone());
                new.update(self.labels.clone(), values, &writer);
            }
            Op::Apply { manager, labels, values, is_forced } => match new.apply(labels, values, manager, *is_forced) {
                conflicts if conflicts.is_empty() => {}
                conflicts => return Outcome::Conflicts(conflicts),
            },
            Op::Status { values } => new.status.extend(values.clone()),
            Op::Delete { uid, revision } => {
                if uid.as_ref().is_some_and(|u| *u != self.uid) || revision.is_some_and(|r| r != at) {
                    return Outcome::Refused(409);
                }
                if self.finalizers.is_empty() {
                    return Outcome::Removed(new);
                }
                if !self.is_terminating {
                    new.is_terminating = true;
                    new.generation += i64::from(key.kind.counts_generations());
                }
            }
        }
        if new.values != self.values && key.kind.counts_generations() {
            new.generation += 1;
        }
        match new {
            new if new.is_terminating && new.finalizers.is_empty() => Outcome::Removed(new),
            new if new == *self => Outcome::Same,
            new => Outcome::Stored(new),
        }
    }

    /// Sets labels and values; what changed is the writer's alone, what is gone nobody's.
    fn update(&mut self, labels: Texts, values: Texts, writer: &Owner) {
        let (before, after) = (self.fields(), fields(&labels, &values));
        self.owners.retain(|field, _| after.contains_key(field));
        for (field, value) in &after {
            if before.get(field) != Some(value) {
                self.owners.insert(field.clone(), BTreeSet::from([writer.clone()]));
            }
        }
        (self.labels, self.values) = (labels, values);
    }

    /// Applies a configuration; returns the fields in conflict, if any.
    fn apply(&mut self, labels: &Texts, values: &Texts, manager: &str, is_forced: bool) -> BTreeSet<String> {
        let me = (manager.to_owned(), true);
        let (live, stated) = (self.fields(), fields(labels, values));
        let changed: BTreeSet<&String> = stated.iter().filter(|(field, value)| live.get(*field) != Some(*value)).map(|(f, _)| f).collect();
        let is_others = |field: &String| self.owners.get(field).is_some_and(|owners| owners.iter().any(|o| *o != me));
        let conflicts: BTreeSet<String> = changed.iter().filter(|f| is_others(f)).map(|f| (*f).clone()).collect();
        if !is_forced && !conflicts.is_empty() {
            return conflicts;
        }
        for field in &conflicts {
            self.owners.remove(field);
        }
        let mut merged = live;
        let mine_before: Vec<String> = self.owners.iter().filter(|(_, o)| o.contains(&me)).map(|(f, _)| f.clone()).collect();
        for field in mine_before.iter().filter(|f| !stated.contains_key(*f)) {
            let owners = self.owners.get_mut(field).expect("an owned field");
            owners.remove(&me);
            if owners.is_empty() {
                self.owners.remove(field);
                merged.remove(field);
            }
        }
        for (field, value) in stated {
            self.owners.entry(field.clone()).or_default().insert(me.clone());
            merged.insert(field, value);
        }
        let part = |prefix: &str| merged.iter().filter_map(|(f, v)| Some((f.strip_prefix(prefix)?.to_owned(), v.clone()))).collect();
        (self.labels, self.values) = (part("labels/"), part("values/"));
        BTreeSet::new()
    }

    fn fields(&self) -> Texts {
        fields(&self.labels, &self.values)
    }
}

fn fields(labels: &Texts, values: &Texts) -> Texts {
    let labels = labels.iter().map(|(k, v)| (format!("labels/{k}"), v.clone()));
    labels.chain(values.iter().map(|(k, v)| (format!("values/{k}"), v.clone()))).collect()
}

fn merged(texts: &Texts, patch: &BTreeMap<String, Option<String>>) -> Texts {
    let mut texts = texts.clone();
    for (name, value) in patch {
        match value {
            Some(value) => texts.insert(name.clone(), value.clone()),
            None => texts.remove(name),
        };
    }
    texts
}

fn texts(value: Option<&Value>) -> Texts {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect()
}

/// Reads the owners of labels and values from `managedFields`.
fn owners(kind: Kind, managed: &Value) -> BTreeMap<String, BTreeSet<Owner>> {
    let mut found: BTreeMap<String, BTreeSet<Owner>> = BTreeMap::new();
    let values: &[&str] = match kind {
        Kind::ConfigMap => &["f:data"],
        Kind::Gadget => &["f:spec", "f:values"],
    };
    for entry in managed.as_array().into_iter().flatten() {
        let owner = (entry["manager"].as_str().unwrap_or_default().to_owned(), entry["operation"] == "Apply");
        for (part, path) in [("labels", &["f:metadata", "f:labels"][..]), ("values", values)] {
            let set = path.iter().fold(&entry["fieldsV1"], |at, step| &at[*step]);
            for name in set.as_object().into_iter().flat_map(|s| s.keys()).filter_map(|k| k.strip_prefix("f:")) {
                found.entry(format!("{part}/{name}")).or_default().insert(owner.clone());
            }
        }
    }
    found
}

/// Returns the model's name of a field that a conflict names, as `.metadata.labels.color`.
pub fn field_of(kind: Kind, path: &str) -> String {
    let values = match kind {
        Kind::ConfigMap => ".data.",
        Kind::Gadget => ".spec.values.",
    };
    let label = path.strip_prefix(".metadata.labels.").map(|l| format!("labels/{l}"));
    label.or_else(|| path.strip_prefix(values).map(|v| format!("values/{v}"))).unwrap_or_else(|| path.to_owned())
}

#[test]
fn the_model_takes_away_what_an_applier_no_longer_states() {
    let key = Key { kind: Kind::ConfigMap, namespace: "left".into(), name: "a".into() };
    let apply = |manager: &str, values: &[(&str, &str)]| Op::Apply {
        manager: manager.into(),
        labels: Texts::new(),
        values: values.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
        is_forced: false,
    };
    let stored = |outcome| match outcome {
        Outcome::Stored(state) => state,
        other => panic!("{other:?}"),
    };
    let first = stored(State::after(None, &key, "x", &apply("one", &[("a", "1"), ("b", "1")])));
    let second = stored(first.then(1, &key, "x", &apply("two", &[("b", "1")])));
    let third = stored(second.then(2, &key, "x", &apply("one", &[])));
    assert_eq!(third.values, Texts::from([("b".into(), "1".into())]));
    let refused = third.then(3, &key, "x", &apply("one", &[("b", "2")]));
    assert_eq!(refused, Outcome::Conflicts(BTreeSet::from(["values/b".into()])));
    let released = State { finalizers: vec![HOLD.into()], is_terminating: true, ..third };
    let release = Op::Merge { revision: None, labels: BTreeMap::new(), values: BTreeMap::new(), releases: true };
    assert!(matches!(released.then(3, &key, "x", &release), Outcome::Removed(_)));
}
