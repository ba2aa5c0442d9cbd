//! Which clusters a question is about, how many of them are how, and in which order they come.

use std::collections::{BTreeMap, BTreeSet};

use api::hub::ClusterRow;
use apimachinery::selector::LabelSelector;
use apimachinery::status::Status;
use jiff::Timestamp;

use super::Question;
use super::index::{Entry, Inner};
use super::params::Params;
use crate::availability::Sightings;

/// Parameters that say which clusters.
pub const KNOWN: [&str; 10] = ["cluster", "q", "search", "labelSelector", "status", "set", "region", "version", "available", "problem"];
/// What rows are counted by: name, and the parameter that filters by it.
const FACETS: [&str; 4] = ["status", SET, "region", "version"];
/// The facet of which a row has several values.
pub const SET: &str = "set";
pub const SORTS: [&str; 8] = ["name", "lastSeen", "state", "set", "region", "version", "apps", "problems"];

/// The clusters of a question, as parameters say.
pub struct Filter<'a> {
    params: &'a Params,
    text: String,
    selector: Option<LabelSelector>,
}

/// What a question found.
pub struct Found<'a> {
    pub clusters: Vec<(&'a str, &'a Entry)>,
    pub facets: BTreeMap<String, BTreeMap<String, u64>>,
    pub hidden: u64,
}

impl<'a> Filter<'a> {
    pub fn new(params: &'a Params) -> Result<Self, Status> {
        let selector = match params.whole("labelSelector") {
            Some(text) => Some(LabelSelector::parse(&text).map_err(|error| Status::bad_request(format!("labelSelector: {error}")))?),
            None => None,
        };
        let text = params.whole("q").or_else(|| params.whole("search")).unwrap_or_default().to_lowercase();
        Ok(Self { params, text, selector })
    }

    /// Whether a cluster is meant, apart from what facets say.
    fn admits(&self, name: &str, entry: &Entry) -> bool {
        self.params.admits("cluster", name)
            && (self.text.is_empty() || name.to_lowercase().contains(&self.text))
            && self.params.admits("available", &entry.row.available)
            && self.selector.as_ref().is_none_or(|selector| selector.matches(&entry.row.labels))
            && self
                .params
                .all("problem")
                .is_none_or(|ids| entry.symptoms.iter().any(|symptom| ids.contains(&overview::problems::id(&symptom.cause))))
    }

    /// Returns the clusters that are meant and may be seen, with how many of them are how.
    pub fn find<'i>(&self, asked: &Question<'_>, inner: &'i Inner) -> Found<'i> {
        let mut found =
            Found { clusters: Vec::new(), facets: FACETS.iter().map(|f| ((*f).to_owned(), BTreeMap::new())).collect(), hidden: 0 };
        let mut counts: [BTreeMap<&str, u64>; FACETS.len()] = Default::default();
        let mut sets = SetCounts::default();
        for (name, entry) in inner.clusters() {
            if !asked.viewer.sees(name) {
                found.hidden += 1;
                continue;
            }
            if !self.admits(name, entry) {
                continue;
            }
            let values = FACETS.map(|facet| facet_of(&entry.row, facet));
            let admitted: [bool; FACETS.len()] = std::array::from_fn(|at| admits(self.params, entry, FACETS[at], values[at]));
            for at in 0..FACETS.len() {
                // Without its own filter, so that its other values stay in sight.
                if (0..FACETS.len()).all(|other| other == at || admitted[other]) {
                    match FACETS[at] {
                        SET => sets.add(entry),
                        _ => *counts[at].entry(values[at]).or_default() += 1,
                    }
                }
            }
            if admitted.iter().all(|is| *is) {
                found.clusters.push((name, entry));
            }
        }
        for (facet, counts) in FACETS.iter().zip(counts).filter(|(facet, _)| **facet != SET) {
            found.facets.insert((*facet).to_owned(), counts.into_iter().map(|(value, n)| (value.to_owned(), n)).collect());
        }
        found.facets.insert(SET.to_owned(), sets.into_counts());
        found
    }
}

/// Whether a value of a facet is among those asked for. A cluster is found by each of its sets, not by the shown one alone.
pub fn admits(params: &Params, entry: &Entry, facet: &str, value: &str) -> bool {
    match facet {
        SET => params.admits(SET, value) || entry.sets.iter().any(|set| params.admits(SET, set)),
        _ => params.admits(facet, value),
    }
}

/// How many rows are in each set: a row counts in all of its sets, as it is found by all.
#[derive(Default)]
pub struct SetCounts<'a> {
    counts: BTreeMap<&'a str, u64>,
    shown: BTreeSet<&'a str>,
}

impl<'a> SetCounts<'a> {
    pub fn add(&mut self, entry: &'a Entry) {
        let shown = entry.row.set.as_str();
        self.shown.insert(shown);
        let all = entry.sets.iter().map(String::as_str);
        for set in all.chain(shown.is_empty().then_some(shown)) {
            *self.counts.entry(set).or_default() += 1;
        }
    }

    /// Leaves out the built-in sets where no row is shown in them: they would say nothing.
    pub fn into_counts(self) -> BTreeMap<String, u64> {
        let tells = |set: &str| !overview::sets::BUILT_IN.contains(&set) || self.shown.contains(set);
        self.counts.iter().filter(|(set, _)| tells(set)).map(|(set, count)| ((*set).to_owned(), *count)).collect()
    }
}

fn facet_of<'a>(row: &'a ClusterRow, facet: &str) -> &'a str {
    match facet {
        "status" => row.state.as_str(),
        "set" => &row.set,
        "region" => &row.region,
        _ => &row.kubernetes_version,
    }
}

/// Sorts clusters; those that are alike by name.
pub fn sort(clusters: &mut [(&str, &Entry)], (by, is_descending): (&str, bool), sightings: &Sightings, now: Timestamp) {
    match by {
        "name" => {}
        "lastSeen" => clusters.sort_by_cached_key(|(name, _)| sightings.last(name)),
        "state" => clusters.sort_by_key(|(_, entry)| entry.row.state),
        "apps" => clusters.sort_by_key(|(_, entry)| (entry.row.apps_synced, entry.row.apps_healthy)),
        "problems" => clusters.sort_by_cached_key(|(_, entry)| problems(entry, now)),
        "set" => clusters.sort_by(|a, b| a.1.row.set.cmp(&b.1.row.set)),
        "region" => clusters.sort_by(|a, b| a.1.row.region.cmp(&b.1.row.region)),
        _ => clusters.sort_by(|a, b| a.1.row.kubernetes_version.cmp(&b.1.row.kubernetes_version)),
    }
    if is_descending {
        clusters.reverse();
    }
}

/// Returns when a cluster was last heard, and whether what it told is how it is: Available, and heard since the hub
/// started. What was known before a start is a memory.
pub fn currency(entry: &Entry, sightings: &Sightings) -> (Option<Timestamp>, bool) {
    let sighting = sightings.of(&entry.row.name);
    let is_heard = sighting.reported_at.is_some() || sighting.renewal.is_some_and(|r| r.seen_at.is_some());
    (sightings.last(&entry.row.name), is_heard && entry.row.available == "True")
}

/// Returns a row as it is now.
pub fn row(entry: &Entry, sightings: &Sightings, now: Timestamp) -> ClusterRow {
    let (last_seen, is_current) = currency(entry, sightings);
    ClusterRow { last_seen, is_current, problems: problems(entry, now), ..entry.row.clone() }
}

/// Returns how many problems a cluster has that are worth telling by now.
fn problems(entry: &Entry, now: Timestamp) -> u32 {
    let shown = entry.symptoms.iter().filter(|symptom| overview::problems::is_shown(symptom, now)).count();
    u32::try_from(shown).unwrap_or(u32::MAX)
}
