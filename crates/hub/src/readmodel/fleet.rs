//! `GET /muster/v1/fleet`: the whole fleet in one answer, one word per cluster.

use std::collections::BTreeMap;

use api::hub::{Fleet, FleetCounters, Group, HubSeen, State, TILES_MAX, Tile};
use apimachinery::status::Status;
use apiserver::Body;
use http::Response;
use jiff::Timestamp;

use super::index::{Entry, Inner};
use super::params::Params;
use super::{Question, filter};
use crate::availability::Sightings;
use crate::endpoints;

pub async fn fleet(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    let params = Params::parse(asked.query, &filter::KNOWN)?;
    let wanted = filter::Filter::new(&params)?;
    let now = asked.now();
    let sightings = &asked.shared.ctx.sightings;
    let mut fleet = asked
        .read(|inner| {
            let found = wanted.find(asked, inner);
            let counters = counters(&found.clusters, asked, inner, now);
            let is_small = found.clusters.len() <= TILES_MAX;
            Fleet {
                clusters: counters.clusters,
                counts: counters.counts,
                on_target: counters.on_target,
                current: counters.current,
                problems: counters.problems,
                tiles: if is_small { found.clusters.iter().map(|(_, entry)| tile(entry, sightings)).collect() } else { Vec::new() },
                groups: if is_small { Vec::new() } else { groups(&found.clusters, sightings) },
                hidden: found.hidden,
                ..Fleet::default()
            }
        })
        .await;
    fleet.hub = Some(HubSeen { info: asked.shared.hub.clone(), started_at: asked.shared.ctx.started_at });
    fleet.as_of = Some(now);
    Ok(endpoints::json(&fleet))
}

/// Counts clusters of a question.
pub fn counters(clusters: &[(&str, &Entry)], asked: &Question<'_>, inner: &Inner, now: Timestamp) -> FleetCounters {
    let mut counters =
        FleetCounters { clusters: clusters.len() as u64, version: inner.version, as_of: Some(now), ..FleetCounters::default() };
    counters.counts = State::ALL.iter().map(|state| (state.as_str().to_owned(), 0)).collect();
    let mut causes = std::collections::HashSet::new();
    for (_, entry) in clusters {
        let row = &entry.row;
        *counters.counts.entry(row.state.as_str().to_owned()).or_default() += 1;
        let (_, is_current) = filter::currency(entry, &asked.shared.ctx.sightings);
        counters.current += u64::from(is_current);
        counters.on_target += u64::from(is_current && row.apps_count > 0 && row.apps_synced == row.apps_count);
        causes.extend(entry.symptoms.iter().filter(|s| overview::problems::is_shown(s, now)).map(|s| &s.cause));
    }
    counters.problems = causes.len() as u64;
    counters
}

pub fn seconds(at: Option<Timestamp>) -> i64 {
    at.map_or(0, Timestamp::as_second)
}

pub fn tile(entry: &Entry, sightings: &Sightings) -> Tile {
    let row = &entry.row;
    Tile(row.name.clone(), row.set.clone(), row.region.clone(), row.state, seconds(sightings.last(&row.name)), row.app_state)
}

fn groups(clusters: &[(&str, &Entry)], sightings: &Sightings) -> Vec<Group> {
    let mut groups: BTreeMap<(&str, &str), Group> = BTreeMap::new();
    for (name, entry) in clusters {
        let row = &entry.row;
        let seen = seconds(sightings.last(name));
        let group = groups.entry((&row.set, &row.region)).or_insert_with(|| Group {
            set: row.set.clone(),
            region: row.region.clone(),
            oldest_seen: seen,
            ..Group::default()
        });
        group.clusters += 1;
        group.oldest_seen = group.oldest_seen.min(seen);
        *group.counts.entry(row.state.as_str().to_owned()).or_default() += 1;
    }
    groups.into_values().collect()
}
