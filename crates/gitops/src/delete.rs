//! The end of an Application that takes its resources along (`resources-finalizer.argocd.argoproj.io`).

use std::collections::BTreeMap;

use api::argo::{Application, finalizer};
use jiff::Timestamp;

use crate::confirm;

use crate::options::SyncOptions;
use crate::{Action, Group, Key, Live, Propagation, hook};

/// What is left to do for a deleted Application.
#[derive(Clone, Debug, PartialEq)]
pub enum Deletion {
    /// Delete these, then look again when they are gone.
    Prune { groups: Vec<Group>, message: String },
    /// A person must agree first; the text says how.
    Confirm { message: String },
    /// Nothing is left: remove our finalizers.
    Release,
}

/// Returns the finalizers that are ours to act on.
pub(crate) fn ours(app: &Application) -> Option<Propagation> {
    let finalizers = app.metadata.finalizers.as_deref().unwrap_or_default();
    let has = |wanted: &str| finalizers.iter().any(|f| f == wanted);
    if has(finalizer::RESOURCES) || has(finalizer::RESOURCES_FOREGROUND) {
        Some(Propagation::Foreground)
    } else if has(finalizer::RESOURCES_BACKGROUND) {
        Some(Propagation::Background)
    } else {
        None
    }
}

/// Decides for an Application that is being deleted: the last wave first, resources that say `Delete=false` stay.
pub fn deletion(app: &Application, instance: &str, live: &BTreeMap<Key, Live>) -> Deletion {
    let Some(propagation) = ours(app) else { return Deletion::Release };
    let words = app.spec.sync_policy.as_ref().map(|p| p.sync_options.as_slice()).unwrap_or_default();
    let options = SyncOptions::new(words.iter().map(String::as_str));
    let goes = |l: &&Live| {
        let own = options.with_annotations(&l.annotations);
        l.tracked_by() == Some((instance, true)) && !own.is("Delete", "false") && !own.is("Prune", "false")
    };
    let mut left: Vec<&Live> = live.values().filter(goes).collect();
    let Some(wave) = left.iter().map(|l| hook::wave(&l.annotations)).max() else { return Deletion::Release };
    let needs_word: Vec<&&Live> = left.iter().filter(|l| options.with_annotations(&l.annotations).is("Delete", "confirm")).collect();
    let deleted_at = app.metadata.deletion_timestamp.as_ref().map_or(Timestamp::MAX, |at| at.0);
    if let Some(first) = needs_word.first().filter(|_| confirm::approved_at(app).is_none_or(|at| at.as_second() < deleted_at.as_second())) {
        let more = if needs_word.len() > 1 { format!(" and {} more", needs_word.len() - 1) } else { String::new() };
        return Deletion::Confirm { message: confirm::waiting("deletion", &format!("{}{more}", first.key)) };
    }
    let message = format!("deleting {} resources", left.len());
    left.retain(|l| hook::wave(&l.annotations) == wave);
    left.sort_by_key(|l| std::cmp::Reverse(kinds::order::sync_rank(&l.key.kind)));
    let actions = left.into_iter().filter(|l| !l.is_being_deleted || l.is_held).map(|l| Action::Delete {
        key: l.key.clone(),
        version: l.version.clone(),
        uid: l.uid.clone(),
        propagation,
        release: l.is_held,
    });
    Deletion::Prune { groups: vec![Group { is_required: false, actions: actions.collect() }], message }
}
