//! `muster app sync`: asks clusters to sync an Application once.
//!
//! The hub brings Applications in ManifestWorks; beside one it takes an order ([`api::work::Order`]), which the
//! cluster's agent takes once and in time. So a cluster that is offline gets it when it is back, and whoever may update the
//! works of a cluster may ask it, and nobody else. As with Argo CD, the commit is that of the moment when it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use api::argo::{SyncPolicy, operation_phase};
use api::hub::{AppRow, ClusterRow, ResolveAnswer, path};
use api::work::{ManifestWork, ORDERS, Order, SyncOrder, condition, orders};
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::delivered::{Work, works};
use super::{Chosen, Found};
use crate::client::query;
use crate::code;
use crate::commands::status::duration;
use crate::commands::table::line;

const LOOK_EVERY: Duration = Duration::from_millis(300);
/// What works tell is asked less often: the answer is long.
const WORKS_EVERY: Duration = Duration::from_secs(2);
/// Clusters that are asked at once.
const ASKED_AT_ONCE: usize = 16;
/// Somebody else may write a work between reading and writing it.
const TRIES_MAX: usize = 5;
const SHOWN: usize = 10;
const ID_BYTES: usize = 8;

#[derive(Args)]
pub struct Sync {
    #[command(flatten)]
    chosen: Chosen,
    /// Another branch, tag or commit than the Application's; not for one that syncs by itself.
    #[arg(long)]
    revision: Option<String>,
    /// Delete what is no longer in Git.
    #[arg(long)]
    prune: bool,
    /// Say which clusters would be asked and whether you may, and ask none.
    #[arg(long)]
    dry_run: bool,
    /// Wait until all have synced; exits with 5 if some failed, with 4 when the time is over.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// How long to wait, as 60s or 5m.
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Clusters that are not reached now sync when they are back within this time.
    #[arg(long, default_value = "1h", value_parser = duration)]
    within: Duration,
}

/// How far a cluster is with an order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Progress {
    Open(String),
    Done(String),
    Failed(String),
}

impl Sync {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let found = self.chosen.named.find().await?;
        let all = self.asked(&found).await?;
        if all.is_empty() {
            bail!("the hub delivers {}/{} to no cluster asked about; `muster app get` shows where it is", found.namespace, found.name);
        }
        if let Some(revision) = &self.revision {
            refuse_if_automated(&all, revision)?;
        }
        let order = self.order()?;
        let commits = self.commits(&found, &all).await;
        let mut refused = BTreeMap::new();
        let names: Vec<String> = all.iter().map(|work| work.cluster.clone()).collect();
        for some in all.chunks(ASKED_AT_ONCE) {
            let asks = some.iter().map(|work| async {
                let mut order = order.clone();
                order.sync.revision = commits.get(&place(work, self.revision.as_deref())).cloned().unwrap_or(order.sync.revision);
                (work.cluster.clone(), give(&found, work, &order, self.dry_run).await)
            });
            for (cluster, outcome) in futures::future::join_all(asks).await {
                refused.extend(outcome.err().map(|why| (cluster, format!("{why:#}"))));
            }
        }
        for (cluster, why) in refused.iter().take(SHOWN) {
            eprintln!("{}", line(&format!("{cluster}: {why}")));
        }
        let count = names.len() - refused.len();
        let asked: Vec<&String> = names.iter().filter(|name| !refused.contains_key(*name)).collect();
        let shown = asked.iter().take(SHOWN).map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        let more = if count > SHOWN { format!(" and {} more", count - SHOWN) } else { String::new() };
        let would = if self.dry_run { "would be asked" } else { "asked" };
        if count > 0 {
            say!("{count} clusters {would} to sync {}/{}: {shown}{more}", found.namespace, found.name);
        }
        if !self.wait || count == 0 {
            return Ok(code::of_many(count, refused.len()));
        }
        self.watch(&found, &order.id, &asked.into_iter().cloned().collect::<Vec<_>>(), refused.len()).await
    }

    /// Returns the works that bring it to the clusters that are asked.
    async fn asked(&self, found: &Found) -> anyhow::Result<Vec<Work>> {
        let mut all = works(found, self.chosen.cluster.as_deref()).await?;
        if let Some(set) = &self.chosen.set {
            let of_set: Vec<ClusterRow> = found.hub.rows_of(path::CLUSTERS, &query(&[("set", Some(set))])).await?;
            all.retain(|work| of_set.iter().any(|row| row.name == work.cluster));
        }
        Ok(all)
    }

    /// Returns the commits that are meant, by repository and revision. Which the hub cannot tell, the clusters find out.
    async fn commits(&self, found: &Found, all: &[Work]) -> BTreeMap<Place, String> {
        let mut commits = BTreeMap::new();
        for place in all.iter().map(|work| place(work, self.revision.as_deref())).collect::<BTreeSet<_>>() {
            // What was pushed a moment ago counts. Who may not ask for that gets what the hub knows.
            let _ = found.hub.refresh(&place.repo).await;
            let asked = query(&[("repo", Some(&place.repo)), ("revision", Some(&place.revision))]);
            match found.hub.read::<ResolveAnswer>(&format!("{}?{asked}", path::GIT_RESOLVE)).await {
                Ok(answer) => drop(commits.insert(place, answer.commit)),
                Err(error) => {
                    eprintln!(
                        "{}",
                        line(&format!(
                            "{} at {}: {error:#}; each cluster looks by itself",
                            git::without_password(&place.repo),
                            place.revision
                        ))
                    )
                }
            }
        }
        commits
    }

    fn order(&self) -> anyhow::Result<Order> {
        let at = Timestamp::now();
        let expires = SignedDuration::try_from(self.within).ok().and_then(|within| at.checked_add(within).ok());
        Ok(Order {
            id: pki::token::random_hex(ID_BYTES)?,
            by: String::new(),
            at,
            expires: expires.context("--within is too long")?,
            sync: SyncOrder { revision: self.revision.clone().unwrap_or_default(), prune: self.prune },
        })
    }

    /// Returns how far the clusters are; asks the works anew if what they told is old.
    async fn look(
        &self,
        found: &Found,
        id: &str,
        clusters: &[String],
        is_old: bool,
        told: &mut (Instant, Told),
    ) -> anyhow::Result<BTreeMap<String, Progress>> {
        let rows = self.chosen.rows(found).await?;
        if is_old {
            *told = (Instant::now(), orders_told(found, self.chosen.cluster.as_deref()).await?);
        }
        Ok(progress(id, clusters, &rows, &told.1))
    }

    /// Waits until every cluster is through with the order.
    async fn watch(&self, found: &Found, id: &str, clusters: &[String], refused: usize) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        let mut told = (Instant::now(), BTreeMap::new());
        let mut said = String::new();
        loop {
            let is_over = begun.elapsed() >= self.timeout;
            let is_old = told.0.elapsed() >= WORKS_EVERY || is_over;
            let all = match self.look(found, id, clusters, is_old, &mut told).await {
                Ok(all) => all,
                // The hub may be starting again; what was asked stands.
                Err(error) if !is_over => {
                    let text = line(&format!("{error:#}"));
                    if text != said {
                        eprintln!("{text}");
                        said = text;
                    }
                    tokio::time::sleep(WORKS_EVERY).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let open: Vec<_> = all.iter().filter(|(_, progress)| matches!(progress, Progress::Open(_))).collect();
            let failed = all.values().filter(|progress| matches!(progress, Progress::Failed(_))).count();
            let text = format!("{}/{} clusters synced, {failed} failed", all.len() - open.len() - failed, all.len());
            if text != said {
                eprintln!("{text}");
                said = text;
            }
            if open.is_empty() || is_over {
                let troubled = all.iter().filter_map(|(cluster, progress)| match progress {
                    Progress::Done(_) => None,
                    Progress::Open(why) | Progress::Failed(why) => Some((cluster, why)),
                });
                for (cluster, why) in troubled.take(SHOWN) {
                    eprintln!("{}", line(&format!("{cluster}: {why}")));
                }
                return Ok(if open.is_empty() {
                    code::of_many(all.len() - failed, failed + refused)
                } else {
                    ExitCode::from(code::TIMEOUT)
                });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// What is to be synced from where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    repo: String,
    revision: String,
}

fn place(work: &Work, revision: Option<&str>) -> Place {
    let source = work.manifest.pointer("/spec/source").or_else(|| work.manifest.pointer("/spec/sources/0"));
    let text = |field: &str| source.and_then(|source| source[field].as_str()).filter(|text| !text.is_empty()).map(str::to_owned);
    let revision = revision.map(str::to_owned).or_else(|| text("targetRevision")).unwrap_or_else(|| "HEAD".to_owned());
    Place { repo: text("repoURL").unwrap_or_default(), revision }
}

/// Refuses another revision for what follows its own by itself: it would be put back at once. As Argo CD does.
fn refuse_if_automated(all: &[Work], revision: &str) -> anyhow::Result<()> {
    let is_automated = |work: &&Work| {
        let policy: Option<SyncPolicy> = serde_json::from_value(work.manifest["spec"]["syncPolicy"].clone()).unwrap_or_default();
        let target = work.manifest.pointer("/spec/source/targetRevision").and_then(Value::as_str).unwrap_or("HEAD");
        policy.and_then(|policy| policy.automated).is_some_and(|automated| automated.is_enabled()) && target != revision
    };
    match all.iter().find(is_automated) {
        Some(work) => bail!(
            "--revision: the Application syncs by itself on {}, to spec.source.targetRevision, and would put {revision} back at once: \
             change that, or leave --revision out",
            work.cluster
        ),
        None => Ok(()),
    }
}

/// Writes an order beside the work that brings the Application to a cluster.
async fn give(found: &Found, work: &Work, order: &Order, dry_run: bool) -> anyhow::Result<()> {
    let api: Api<ManifestWork> = Api::namespaced(found.hub.client(), &work.cluster);
    let app = format!("{}/{}", found.namespace, found.name);
    for _ in 0..TRIES_MAX {
        let now = api.get(&work.name).await?;
        let known = now.metadata.annotations.as_ref().and_then(|annotations| annotations.get(ORDERS));
        // What nobody can read is not kept, and what expired is of no use.
        let mut all = orders(known.map(String::as_str)).unwrap_or_default();
        all.retain(|_, known| known.expires > order.at);
        all.insert(app.clone(), order.clone());
        let patch = json!({"metadata": {
            "resourceVersion": now.metadata.resource_version,
            "annotations": {ORDERS: serde_json::to_string(&all)?},
        }});
        let params = PatchParams { dry_run, field_manager: Some("muster".into()), ..PatchParams::default() };
        match api.patch(&work.name, &params, &Patch::Merge(patch)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(kube::Error::Api(status)) => return Err(anyhow!("{}", status.message)),
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the ManifestWork {} changes all the time; try again", work.name)
}

/// What works tell of their orders: by cluster, the lines of the condition.
type Told = BTreeMap<String, String>;

async fn orders_told(found: &Found, cluster: Option<&str>) -> anyhow::Result<Told> {
    let told = works(found, cluster).await?.into_iter().map(|work| {
        let conditions = work.status.pointer("/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        let message = conditions.iter().find(|c| c["type"] == condition::ORDERS_TAKEN).and_then(|c| c["message"].as_str());
        (work.cluster, message.unwrap_or_default().to_owned())
    });
    Ok(told.collect())
}

fn progress(id: &str, clusters: &[String], rows: &[AppRow], told: &Told) -> BTreeMap<String, Progress> {
    let of = |cluster: &String| {
        let line = told.get(cluster).and_then(|lines| lines.lines().find(|line| line.split(' ').nth(1) == Some(id)));
        if let Some((_, why)) = line.and_then(|line| line.split_once(" refused: ")) {
            return Progress::Failed(why.to_owned());
        }
        match rows.iter().find(|row| row.cluster == *cluster) {
            Some(row) if row.order == id => match row.operation.as_str() {
                operation_phase::SUCCEEDED => Progress::Done(row.revision.clone()),
                operation_phase::FAILED | operation_phase::ERROR => Progress::Failed(format!("{} {}", row.operation, row.message)),
                _ => Progress::Open(format!("{} {}", row.operation, row.message)),
            },
            Some(row) if !row.is_current => Progress::Open("is not reached; it syncs when it is back in time".to_owned()),
            _ => Progress::Open(line.map_or("has not taken it yet", |line| line).to_owned()),
        }
    };
    clusters.iter().map(|cluster| (cluster.clone(), of(cluster))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_through_when_its_operation_of_this_order_ended() {
        let row = |cluster: &str, order: &str, operation: &str, is_current| AppRow {
            cluster: cluster.into(),
            order: order.into(),
            operation: operation.into(),
            is_current,
            ..AppRow::default()
        };
        let rows = [
            row("done", "id", "Succeeded", true),
            row("failed", "id", "Failed", true),
            row("running", "id", "Running", true),
            row("before", "another", "Succeeded", true),
            row("offline", "another", "Succeeded", false),
            row("late", "another", "Succeeded", true),
        ];
        let told = Told::from([("late".into(), "n/b x taken\nn/a id refused: expired at 7".into())]);
        let clusters = rows.iter().map(|row| row.cluster.clone()).collect::<Vec<_>>();
        let all = progress("id", &clusters, &rows, &told);
        assert_eq!(all["done"], Progress::Done(String::new()));
        assert_eq!(all["late"], Progress::Failed("expired at 7".into()));
        assert!(matches!(all["failed"], Progress::Failed(_)));
        assert_eq!(all["before"], Progress::Open("has not taken it yet".into()));
        assert!(matches!(&all["offline"], Progress::Open(why) if why.contains("when it is back")));
        assert!(matches!(all["running"], Progress::Open(_)));
    }

    #[test]
    fn what_syncs_by_itself_takes_no_other_revision() {
        let work = |policy: Value| Work {
            cluster: "c".into(),
            name: "w".into(),
            manifest: json!({"spec": {"source": {"targetRevision": "main"}, "syncPolicy": policy}}),
            status: Value::Null,
        };
        let check = |policy: Value, revision: &str| refuse_if_automated(&[work(policy)], revision).is_ok();
        assert!(check(json!(null), "v1") && check(json!({"automated": {"enabled": false}}), "v1"));
        assert!(check(json!({"automated": {}}), "main") && !check(json!({"automated": {}}), "v1"));
    }
}
