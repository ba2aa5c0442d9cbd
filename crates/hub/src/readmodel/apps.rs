//! `GET /muster/v1/apps`: one row per Application and cluster; below it the matrix of versions, one Application, its objects.

use std::collections::BTreeMap;

use api::hub::{AppDetail, AppRow, AppTree, Page, ResourceRow, SourceRow};
use api::report::{Kind, Resource, Resources, Workload, workload_key};
use apimachinery::status::Status;
use apiserver::Body;
use http::Response;

use super::index::{App, Entry, Inner, image_rows};
use super::params::Params;
use super::{Question, csv, filter, problems, unreadable};
use crate::endpoints;

/// What rows are counted and filtered by.
const FACETS: [&str; 8] = ["namespace", "name", filter::SET, "sync", "health", "version", "engine", "operation"];
/// Filters without a count.
const FILTERS: [&str; 7] = ["repo", "revision", "project", "cluster", "q", "search", "region"];
const SORTS: [&str; 6] = ["name", "cluster", "sync", "health", "version", "set"];
/// Objects of one Application that are shown; an agent tells no more.
const RESOURCES_MAX: usize = 500;
/// Namespaces and names there may be in a count; of more the first are counted.
const VALUES_MAX: usize = 1_000;

type Found<'a> = Vec<(&'a Entry, &'a App)>;

pub async fn list(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    let known: Vec<&str> = FACETS.into_iter().chain(FILTERS).chain(["sort", "limit", "continue", "format"]).collect();
    let params = Params::parse(asked.query, &known)?;
    let (order, limit, start, is_csv) = (params.sort(&SORTS)?, params.limit()?, params.start()?, params.is_csv()?);
    let page =
        asked.read(|inner| page(asked, inner, &params, |_| true, order, if is_csv { (0, usize::MAX) } else { (start, limit) })).await;
    Ok(if is_csv { csv::apps(&page.items, &params, asked) } else { endpoints::json(&page) })
}

fn page(
    asked: &Question<'_>,
    inner: &Inner,
    params: &Params,
    is_meant: impl Fn(&App) -> bool,
    order: (&str, bool),
    (start, limit): (usize, usize),
) -> Page<AppRow> {
    let (mut found, facets, hidden) = find(asked, inner, params, is_meant);
    sort(&mut found, order);
    let total = found.len();
    let sightings = &asked.shared.ctx.sightings;
    let row = |(entry, app): &(&Entry, &App)| entry.app_row(app, filter::currency(entry, sightings).1);
    Page {
        items: found.iter().skip(start).take(limit).map(row).collect(),
        total: total as u64,
        next: (start.saturating_add(limit) < total).then(|| (start + limit).to_string()),
        facets,
        hidden,
        as_of: Some(asked.now()),
    }
}

fn facet_of<'a>(entry: &'a Entry, app: &'a App, facet: &str) -> &'a str {
    match facet {
        "namespace" => &app.told.namespace,
        "name" => &app.told.name,
        "set" => &entry.row.set,
        "sync" => &app.told.sync,
        "health" => &app.told.health,
        "version" => &app.version,
        "engine" => &app.told.engine,
        _ => &app.told.operation,
    }
}

type Facets = BTreeMap<String, BTreeMap<String, u64>>;

fn find<'i>(asked: &Question<'_>, inner: &'i Inner, params: &Params, is_meant: impl Fn(&App) -> bool) -> (Found<'i>, Facets, u64) {
    let text = params.whole("q").or_else(|| params.whole("search")).unwrap_or_default().to_lowercase();
    let mut counts: [BTreeMap<&str, u64>; FACETS.len()] = Default::default();
    let mut sets = filter::SetCounts::default();
    let (mut found, mut hidden) = (Vec::new(), 0);
    for (name, entry) in inner.clusters() {
        if !asked.viewer.sees(name) {
            hidden += 1;
            continue;
        }
        if !params.admits("cluster", name) || !params.admits("region", &entry.row.region) {
            continue;
        }
        for (key, app) in &entry.apps {
            let told = &app.told;
            let is_admitted = is_meant(app)
                && params.admits("repo", &told.repo)
                && params.admits("revision", &told.revision)
                && params.admits("project", &told.project)
                && (text.is_empty() || key.to_lowercase().contains(&text) || name.to_lowercase().contains(&text));
            if !is_admitted {
                continue;
            }
            let values = FACETS.map(|facet| facet_of(entry, app, facet));
            let admitted: [bool; FACETS.len()] = std::array::from_fn(|at| filter::admits(params, entry, FACETS[at], values[at]));
            let refusals = admitted.iter().filter(|is| !**is).count();
            for at in 0..FACETS.len() {
                // Without its own filter, so that its other values stay in sight.
                if refusals != usize::from(!admitted[at]) {
                    continue;
                }
                if FACETS[at] == filter::SET {
                    sets.add(entry);
                } else if counts[at].len() < VALUES_MAX || counts[at].contains_key(values[at]) {
                    *counts[at].entry(values[at]).or_default() += 1;
                }
            }
            if refusals == 0 {
                found.push((entry, app));
            }
        }
    }
    let own = |counts: BTreeMap<&str, u64>| counts.into_iter().map(|(value, n)| (value.to_owned(), n)).collect();
    let mut facets: Facets = FACETS.iter().zip(counts).map(|(facet, counts)| ((*facet).to_owned(), own(counts))).collect();
    facets.insert(filter::SET.to_owned(), sets.into_counts());
    (found, facets, hidden)
}

/// Sorts rows; those that are alike stay by cluster, namespace and name.
fn sort(found: &mut Found<'_>, (by, is_descending): (&str, bool)) {
    match by {
        "cluster" => {}
        "name" => found.sort_by(|a, b| (&a.1.told.namespace, &a.1.told.name).cmp(&(&b.1.told.namespace, &b.1.told.name))),
        other => found.sort_by(|a, b| facet_of(a.0, a.1, other).cmp(facet_of(b.0, b.1, other))),
    }
    if is_descending {
        found.reverse();
    }
}

pub async fn matrix(asked: &Question<'_>) -> Result<Response<Body>, Status> {
    let params = Params::parse(asked.query, &["namespace", "name", "set", "region", "cluster", "q"])?;
    let matrix = asked
        .read(|inner| {
            let rows = page(asked, inner, &params, |_| true, ("cluster", false), (0, usize::MAX)).items;
            overview::versions::matrix(&rows)
        })
        .await;
    Ok(endpoints::json(&matrix))
}

pub async fn detail(asked: &Question<'_>, namespace: &str, name: &str) -> Result<Response<Body>, Status> {
    let known: Vec<&str> = FACETS.into_iter().chain(FILTERS).chain(["sort", "limit", "continue"]).collect();
    let params = Params::parse(asked.query, &known)?;
    let (order, limit, start) = (params.sort(&SORTS)?, params.limit()?, params.start()?);
    let app = format!("{namespace}/{name}");
    let now = asked.now();
    let detail = asked
        .read(|inner| {
            let is_meant = |app: &App| app.told.namespace == namespace && app.told.name == name;
            let all = page(asked, inner, &Params::default(), is_meant, ("cluster", false), (0, usize::MAX)).items;
            let mut sources: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
            for row in &all {
                *sources.entry((&row.repo, &row.path, &row.target_revision)).or_default() += 1;
            }
            let source = |((repo, path, target), clusters): ((&str, &str, &str), u64)| SourceRow {
                repo: repo.to_owned(),
                path: path.to_owned(),
                target_revision: target.to_owned(),
                clusters,
            };
            AppDetail {
                app: app.clone(),
                versions: overview::versions::matrix(&all).into_iter().flat_map(|app| app.versions).collect(),
                sources: sources.into_iter().map(source).collect(),
                problems: problems::grouped(asked, inner, now, |_, symptom| symptom.cause.app == app),
                rows: page(asked, inner, &params, is_meant, order, (start, limit)),
            }
        })
        .await;
    if detail.versions.is_empty() {
        return Err(Status::not_found(api::argo::GROUP, "applications", &app));
    }
    Ok(endpoints::json(&detail))
}

pub async fn tree(asked: &Question<'_>, namespace: &str, name: &str) -> Result<Response<Body>, Status> {
    let params = Params::parse(asked.query, &["cluster"])?;
    let cluster =
        params.one("cluster").ok_or_else(|| Status::bad_request("the parameter cluster is needed: objects are those of one cluster"))?;
    let key = api::report::application_key(namespace, name);
    let not_found = || Status::not_found(api::argo::GROUP, "applications", &format!("{key} on cluster {cluster}"));
    if !asked.viewer.sees(cluster) {
        return Err(not_found());
    }
    let sightings = &asked.shared.ctx.sightings;
    let found = asked.read(|inner| {
        let entry = inner.cluster(cluster)?;
        Some((entry.row.uid.clone(), entry.app_row(entry.apps.get(&key)?, filter::currency(entry, sightings).1)))
    });
    let (uid, row) = found.await.ok_or_else(not_found)?;
    let records = &asked.shared.records;
    let told = records.get(Kind::Resources.as_str(), &uid, &key).await.map_err(unreadable)?;
    let told: Resources = told.and_then(|row| serde_json::from_str(row.value?.get()).ok()).unwrap_or_default();
    let mut resources = Vec::new();
    for item in told.items.into_iter().take(RESOURCES_MAX) {
        let mut row = resource_row(item);
        if matches!(row.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" | "CronJob" | "Pod") {
            let key = workload_key(&row.kind, &row.namespace, &row.name);
            let workload = records.get(Kind::Workload.as_str(), &uid, &key).await.map_err(unreadable)?;
            if let Some(workload) = workload.and_then(|row| serde_json::from_str::<Workload>(row.value?.get()).ok()) {
                row.images = image_rows(&workload);
                if let Some(trouble) = workload.trouble {
                    row.message = format!("{}: {}", trouble.reason, trouble.message);
                }
            }
        }
        resources.push(row);
    }
    resources.sort_by(|a, b| (a.wave, &a.kind, &a.namespace, &a.name).cmp(&(b.wave, &b.kind, &b.namespace, &b.name)));
    Ok(endpoints::json(&AppTree { row, resources, resources_cut: told.cut }))
}

fn resource_row(told: Resource) -> ResourceRow {
    ResourceRow {
        group: told.group,
        kind: told.kind,
        namespace: told.namespace,
        name: told.name,
        sync: if told.sync.is_empty() { "Synced".to_owned() } else { told.sync },
        health: told.health,
        message: told.message,
        wave: told.wave,
        images: Vec::new(),
    }
}
