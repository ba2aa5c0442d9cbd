//! `muster app diff`: what another revision would change, rendered from the hub's Git mirror as the spokes render it.
//!
//! Clusters with the same source, commit and result are one group: fifty stores are one difference to read. What only a
//! cluster knows (its namespaces, its defaults) is not compared; both sides are what Git asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use api::argo::ApplicationSource;
use api::hub::{AppRow, ResolveAnswer, path};
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use similar::TextDiff;

use super::Chosen;
use super::delivered::{Delivered, delivered};
use crate::client::{Hub, query};
use crate::code;
use crate::commands::output::{Format, Output};
use crate::commands::table::{line, lines};

const CONTEXT_LINES: usize = 3;
/// Names of clusters in a heading.
const NAMES_SHOWN: usize = 5;

#[derive(Args)]
pub struct Diff {
    #[command(flatten)]
    chosen: Chosen,
    /// Branch, tag or commit to compare with what runs.
    #[arg(long)]
    revision: String,
    #[command(flatten)]
    output: Output,
}

/// Clusters for which a revision changes the same.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    clusters: Vec<String>,
    repo: String,
    path: String,
    /// The commits they run.
    from: BTreeSet<String>,
    to: String,
    /// By `Kind namespace/name`: the difference as text.
    changes: BTreeMap<String, String>,
    /// Why it could not be rendered; empty if it could.
    error: String,
}

type Objects = BTreeMap<String, String>;

impl Diff {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if matches!(self.output.format, Format::Csv | Format::Tree) {
            bail!("-o csv and -o tree are not for differences");
        }
        let found = self.chosen.named.find().await?;
        let rows = self.chosen.rows(&found).await?;
        if rows.is_empty() {
            bail!("no cluster asked about has {}/{}", found.namespace, found.name);
        }
        let sources = delivered(&found, self.chosen.cluster.as_deref()).await?;
        let groups = groups(&found.hub, &rows, &sources, &self.revision).await?;
        show(&self.output, &groups)?;
        let failed = groups.iter().filter(|g| !g.error.is_empty()).map(|g| g.clusters.len()).sum::<usize>();
        if failed > 0 {
            return Ok(code::of_many(rows.len() - failed, failed));
        }
        let is_same = groups.iter().all(|g| g.changes.is_empty());
        Ok(ExitCode::from(if is_same { code::OK } else { code::NO }))
    }
}

async fn groups(hub: &Hub, rows: &[AppRow], sources: &Delivered, revision: &str) -> anyhow::Result<Vec<Group>> {
    // 1. Clusters that ask for the same.
    let mut asked: BTreeMap<(String, String), (ApplicationSource, Vec<String>)> = BTreeMap::new();
    for row in rows {
        let why = match sources.get(&row.cluster) {
            Some(Ok(source)) => Ok(source.clone()),
            Some(Err(why)) => Err(why.as_str()),
            None => Err("its Application does not come from the hub"),
        };
        let source = why.unwrap_or_else(|why| {
            eprintln!("{}: {}; options of its source are not known", row.cluster, line(why));
            ApplicationSource { repo_url: row.repo.clone(), path: row.path.clone(), ..ApplicationSource::default() }
        });
        let key = (serde_json::to_string(&source)?, row.revision.clone());
        asked.entry(key).or_insert_with(|| (source, Vec::new())).1.push(row.cluster.clone());
    }
    // 2. Each rendered twice; those with the same result are one.
    let mut groups: Vec<Group> = Vec::new();
    for ((_, from), (source, clusters)) in asked {
        let mut group = Group {
            clusters,
            repo: source.repo_url.clone(),
            path: source.path.clone(),
            from: BTreeSet::from([from.clone()]),
            to: revision.to_owned(),
            changes: BTreeMap::new(),
            error: String::new(),
        };
        match compare(hub, &source, &from, revision).await {
            Ok((to, changes)) => (group.to, group.changes) = (to, changes),
            Err(error) => group.error = format!("{error:#}"),
        }
        add(&mut groups, group);
    }
    groups.iter_mut().for_each(|g| g.clusters.sort());
    Ok(groups)
}

/// Adds a group, to the one with the same result if there is one.
fn add(groups: &mut Vec<Group>, group: Group) {
    let key = |g: &Group| (g.repo.clone(), g.path.clone(), g.to.clone(), g.changes.clone(), g.error.clone());
    match groups.iter_mut().find(|known| key(known) == key(&group)) {
        Some(known) => {
            known.clusters.extend(group.clusters);
            known.from.extend(group.from);
        }
        None => groups.push(group),
    }
}

async fn compare(hub: &Hub, source: &ApplicationSource, from: &str, revision: &str) -> anyhow::Result<(String, BTreeMap<String, String>)> {
    if from.is_empty() {
        bail!("the cluster has not told which commit it runs");
    }
    let asked = query(&[("repo", Some(&source.repo_url)), ("revision", Some(revision))]);
    let to: ResolveAnswer = hub.read(&format!("{}?{asked}", path::GIT_RESOLVE)).await?;
    let before = rendered(hub, source, from).await.with_context(|| format!("at {from}"))?;
    let after = rendered(hub, source, &to.commit).await.with_context(|| format!("at {}", to.commit))?;
    Ok((to.commit, differences(&before, &after)))
}

async fn rendered(hub: &Hub, source: &ApplicationSource, commit: &str) -> anyhow::Result<Objects> {
    let asked = query(&[("repo", Some(&source.repo_url)), ("path", Some(&source.path))]);
    let bytes = hub.get_bytes(&format!("{}/{commit}?{asked}", path::GIT_PACKS)).await?;
    let pack = git::Pack::read(&bytes, &git::Limits::default()).context("the hub's pack is not readable")?;
    let directory = source.directory.as_ref();
    let tool = if source.plugin.is_some() {
        Some(render::Tool::Plugin)
    } else if source.helm.is_some() {
        Some(render::Tool::Helm)
    } else if source.kustomize.is_some() {
        Some(render::Tool::Kustomize)
    } else {
        directory.map(|_| render::Tool::Directory)
    };
    let options = directory.map(|d| render::Directory { recurse: d.recurse, include: d.include.clone(), exclude: d.exclude.clone() });
    let wanted = render::Source {
        path: pack.path.clone(),
        directory: options.unwrap_or_default(),
        kustomize: source.kustomize.clone(),
        repo: pack.repo.clone(),
        revision: source.target_revision.clone(),
        tool,
    };
    let file = |entry: git::Entry| match entry {
        git::Entry::File(content) | git::Entry::Executable(content) => render::File::Content(content),
        git::Entry::Link(target) => render::File::Link(target),
        git::Entry::Submodule => render::File::Submodule,
        git::Entry::Omitted { size } => render::File::Omitted { size },
    };
    let files: render::Files = pack.entries.into_iter().map(|(path, entry)| (path, file(entry))).collect();
    let rendered = render::render(&files, &wanted, &render::Limits::default())
        .map_err(|problems| anyhow!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
    Ok(rendered.manifests.into_iter().map(|m| (key(&m.object), apimachinery::yaml::to_string(&m.object))).collect())
}

fn key(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let api_version = text("/apiVersion");
    let group = api_version.split_once('/').map(|(group, _)| format!(".{group}")).unwrap_or_default();
    let place = [text("/metadata/namespace"), text("/metadata/name")].into_iter().filter(|part| !part.is_empty());
    format!("{}{group} {}", text("/kind"), place.collect::<Vec<_>>().join("/"))
}

fn differences(before: &Objects, after: &Objects) -> BTreeMap<String, String> {
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let empty = String::new();
    keys.into_iter()
        .filter_map(|key| {
            let (old, new) = (before.get(key).unwrap_or(&empty), after.get(key).unwrap_or(&empty));
            (old != new).then(|| (key.clone(), TextDiff::from_lines(old, new).unified_diff().context_radius(CONTEXT_LINES).to_string()))
        })
        .collect()
}

fn show(output: &Output, groups: &[Group]) -> anyhow::Result<()> {
    match output.format {
        Format::Json => say!("{}", serde_json::to_string_pretty(groups)?),
        Format::Yaml => say!("{}", apimachinery::yaml::to_string(&serde_json::to_value(groups)?).trim_end()),
        Format::Name => {
            for key in groups.iter().flat_map(|g| g.changes.keys()) {
                say!("{}", line(key));
            }
        }
        _ => {
            for group in groups {
                let names = group.clusters.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
                let more = group.clusters.len().saturating_sub(NAMES_SHOWN);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                let short = |commit: &str| commit.get(..10).unwrap_or(commit).to_owned();
                let from: Vec<String> = group.from.iter().map(|commit| short(commit)).collect();
                say!("=== {} clusters: {names}{more}", group.clusters.len());
                say!("    {} {}  {} -> {}", group.repo, group.path, from.join(", "), short(&group.to));
                if !group.error.is_empty() {
                    say!("    not to be rendered: {}", lines(&group.error));
                } else if group.changes.is_empty() {
                    say!("    no difference");
                }
                for (key, text) in &group.changes {
                    say!("--- {}\n{}", line(key), lines(text));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_compared_by_kind_and_name() {
        let objects = |list: &[(&str, &str)]| list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Objects>();
        let before = objects(&[("ConfigMap a", "x: 1\n"), ("ConfigMap b", "y: 1\n"), ("ConfigMap c", "z: 1\n")]);
        let after = objects(&[("ConfigMap a", "x: 2\n"), ("ConfigMap b", "y: 1\n"), ("ConfigMap d", "w: 1\n")]);
        let found = differences(&before, &after);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["ConfigMap a", "ConfigMap c", "ConfigMap d"]);
        assert!(found["ConfigMap a"].contains("-x: 1\n+x: 2"), "{}", found["ConfigMap a"]);
        let deployment = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "n", "name": "d"}});
        assert_eq!(key(&deployment), "Deployment.apps n/d");
    }

    #[test]
    fn only_what_is_the_same_for_people_is_one_group() {
        let group = |cluster: &str, path: &str, from: &str| Group {
            clusters: vec![cluster.into()],
            repo: "r".into(),
            path: path.into(),
            from: [from.to_owned()].into(),
            to: "t".into(),
            changes: BTreeMap::new(),
            error: String::new(),
        };
        let mut groups = Vec::new();
        for one in [group("a", "x", "1"), group("b", "y", "1"), group("c", "x", "2")] {
            add(&mut groups, one);
        }
        let found: Vec<_> = groups.iter().map(|g| (g.path.as_str(), g.clusters.join(" "), g.from.len())).collect();
        assert_eq!(found, [("x", "a c".to_owned(), 2), ("y", "b".to_owned(), 1)]);
    }
}
