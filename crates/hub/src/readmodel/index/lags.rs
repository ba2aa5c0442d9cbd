//! How far Applications that are synced by hand are behind: what is to be counted, and what was.
//!
//! Between two commits there is always the same, so each span is counted once, by `crate::lagging`.

use std::collections::{BTreeMap, BTreeSet};

use overview::gap;
use overview::{Lag, Span};

use super::{Index, Inner};

/// Spans that are known, by what they lie between.
pub type Lags = BTreeMap<Span, Lag>;

impl Index {
    /// Returns what Applications lack of their branches and was not counted yet, each with the clusters that run it; of
    /// what nobody asks for any more the count is forgotten.
    pub fn uncounted(&self) -> BTreeMap<Span, BTreeSet<String>> {
        let mut all: BTreeMap<Span, BTreeSet<String>> = BTreeMap::new();
        let is_kept = |all: &BTreeMap<Span, BTreeSet<String>>, inner: &Inner| inner.lags.keys().all(|span| all.contains_key(span));
        let is_tidy = self.peek(|inner| {
            for (name, entry) in inner.clusters() {
                for span in entry.apps.values().filter_map(|app| gap::span(&app.told)) {
                    all.entry(span).or_default().insert(name.to_owned());
                }
            }
            let is_tidy = is_kept(&all, inner);
            if is_tidy {
                all.retain(|span, _| !inner.lags.contains_key(span));
            }
            is_tidy
        });
        if !is_tidy {
            let mut inner = self.0.inner.write();
            inner.lags.retain(|span, _| all.contains_key(span));
            all.retain(|span, _| !inner.lags.contains_key(span));
        }
        all
    }

    /// Takes what was counted; the clusters are looked at anew.
    pub fn set_lag(&self, span: Span, lag: Lag, clusters: &BTreeSet<String>) {
        self.0.inner.write().lags.insert(span, lag);
        clusters.iter().for_each(|name| self.mark(name));
    }
}
