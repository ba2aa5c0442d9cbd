//! `muster app`: one Application, on one cluster or on all.

mod delivered;
mod diff;
mod sync;
mod wait;

use std::process::ExitCode;

use anyhow::bail;
use api::hub::{ActivityRow, AppDetail, AppRow, AppTree, Page, ResourceRow, path};
use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::output::{Listing, Output, column, wide};
use super::table::{ago, or_dash, render};
use crate::client::{Hub, Target, query};

#[derive(Args)]
pub struct App {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show an Application: its versions, where it comes from, what is wrong, and each cluster.
    Get(Get),
    /// Show the objects of an Application on a cluster.
    Tree(Tree),
    /// Render another revision and show what would change, by distinct result; exits with 1 if anything would.
    Diff(diff::Diff),
    /// Ask clusters to sync an Application once, also those that come back later.
    Sync(sync::Sync),
    /// Wait until an Application is Synced and Healthy; exits with 4 when the time is over.
    Wait(wait::Wait),
    /// Show what happened to an Application, newest first.
    History(History),
}

impl App {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self.what {
            What::Get(get) => get.run().await,
            What::Tree(tree) => tree.run().await,
            What::Diff(diff) => diff.run().await,
            What::Sync(sync) => sync.run().await,
            What::Wait(wait) => wait.run().await,
            What::History(history) => history.run().await,
        }
    }
}

/// An Application as it is named on the command line.
#[derive(Args, Clone, Debug)]
struct Named {
    /// `namespace/name`, or the name alone if only one namespace has it.
    #[arg(value_name = "APP")]
    app: String,
    #[command(flatten)]
    target: Target,
}

impl Named {
    async fn find(&self) -> anyhow::Result<Found> {
        let hub = self.target.connect()?;
        match self.find_now(&hub).await? {
            Some((namespace, name)) => Ok(Found { hub, namespace, name }),
            None => bail!("no cluster has told of an Application {:?}; `muster apps` lists those there are", self.app),
        }
    }

    /// Returns namespace and name; none as long as the name alone is not known.
    async fn find_now(&self, hub: &Hub) -> anyhow::Result<Option<(String, String)>> {
        if let Some((namespace, name)) = self.app.split_once('/') {
            return Ok(Some((namespace.to_owned(), name.to_owned())));
        }
        let filter = query(&[("name", Some(&self.app)), ("limit", Some("1"))]);
        let page: Page<AppRow> = hub.read(&format!("{}?{filter}", path::APPS)).await?;
        let namespaces: Vec<&String> = page.facets.get("namespace").into_iter().flatten().map(|(name, _)| name).collect();
        match namespaces.as_slice() {
            [namespace] => Ok(Some(((*namespace).clone(), self.app.clone()))),
            [] => Ok(None),
            several => bail!("{:?} is in the namespaces {several:?}: name it as NAMESPACE/{}", self.app, self.app),
        }
    }
}

/// An Application, and the hub that knows of it.
struct Found {
    hub: Hub,
    namespace: String,
    name: String,
}

impl Found {
    /// Returns the Application's rows, those asked for.
    async fn rows(&self, cluster: Option<&str>, set: Option<&str>) -> anyhow::Result<Vec<AppRow>> {
        let (namespace, name) = (Some(self.namespace.as_str()), Some(self.name.as_str()));
        let filter = query(&[("namespace", namespace), ("name", name), ("cluster", cluster), ("set", set), ("sort", Some("cluster"))]);
        self.hub.rows_of(path::APPS, &filter).await
    }
}

/// An Application on the clusters that a command is about; on all, if none is named.
#[derive(Args, Clone, Debug)]
struct Chosen {
    #[command(flatten)]
    named: Named,
    /// Only on this cluster.
    #[arg(short, long)]
    cluster: Option<String>,
    /// Only on clusters of this set.
    #[arg(short, long)]
    set: Option<String>,
}

impl Chosen {
    async fn rows(&self, found: &Found) -> anyhow::Result<Vec<AppRow>> {
        found.rows(self.cluster.as_deref(), self.set.as_deref()).await
    }
}

#[derive(Args)]
struct Get {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    output: Output,
    /// Only on this cluster.
    #[arg(short, long)]
    cluster: Option<String>,
}

impl Get {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let found = self.named.find().await?;
        let Found { hub, namespace, name } = &found;
        let filter = query(&[("cluster", self.cluster.as_deref()), ("limit", Some("5000"))]);
        let detail: AppDetail = hub.read(&format!("{}?{filter}", path::app(namespace, name))).await?;
        self.output.one(&detail, &format!("application/{namespace}/{name}"), || text(&detail))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Rows that a text for people has; `muster apps` has them all.
const ROWS_SHOWN: usize = 20;

fn text(detail: &AppDetail) -> String {
    let mut out = format!("{}\n", detail.app);
    for source in &detail.sources {
        out.push_str(&format!("from {} {} at {} on {} clusters\n", source.repo, source.path, source.target_revision, source.clusters));
    }
    let versions: Vec<Vec<String>> = detail
        .versions
        .iter()
        .flat_map(|version| {
            version.sets.iter().map(|(set, cell)| {
                vec![
                    or_dash(&version.version),
                    or_dash(version.revision.get(..10).unwrap_or(&version.revision)),
                    or_dash(set),
                    cell.clusters.to_string(),
                    cell.synced.to_string(),
                    cell.healthy.to_string(),
                    cell.current.to_string(),
                ]
            })
        })
        .collect();
    out.push_str(&format!("\n{}\n", render(&["VERSION", "REVISION", "SET", "CLUSTERS", "SYNCED", "HEALTHY", "CURRENT"], &versions)));
    for problem in &detail.problems {
        out.push_str(&format!(
            "\n{}: {} on {} clusters\n  {}\n  {}\n",
            problem.kind, problem.title, problem.clusters, problem.reason, problem.remedy
        ));
    }
    let now = Timestamp::now();
    let rows = detail.rows.items.iter().take(ROWS_SHOWN).map(|row| {
        let old = if row.is_current { "" } else { "?" };
        vec![
            row.cluster.clone(),
            format!("{}{old}", row.sync),
            format!("{}{old}", row.health),
            or_dash(&row.version),
            ago(row.sync_since.max(row.health_since), now),
            row.message.lines().next().unwrap_or_default().to_owned(),
        ]
    });
    out.push_str(&format!("\n{}\n", render(&["CLUSTER", "SYNC", "HEALTH", "VERSION", "SINCE", "MESSAGE"], &rows.collect::<Vec<_>>())));
    let total = usize::try_from(detail.rows.total).unwrap_or(usize::MAX);
    if total > ROWS_SHOWN {
        out.push_str(&format!("and {} more clusters: `muster apps -o wide`\n", total - ROWS_SHOWN));
    }
    out
}

#[derive(Args)]
struct Tree {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    output: Output,
    /// The cluster; may be left out if only one has the Application.
    #[arg(short, long)]
    cluster: Option<String>,
}

impl Tree {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let found = self.named.find().await?;
        let Found { hub, namespace, name } = &found;
        let cluster = match self.cluster {
            Some(cluster) => cluster,
            None => match found.rows(None, None).await?.as_slice() {
                [only] => only.cluster.clone(),
                all => bail!("{} clusters have {namespace}/{name}: say which with --cluster", all.len()),
            },
        };
        let tree: AppTree = hub.read(&format!("{}?{}", path::app_tree(namespace, name), query(&[("cluster", Some(&cluster))]))).await?;
        if tree.resources_cut > 0 {
            eprintln!("{} more objects are not told", tree.resources_cut);
        }
        let columns = vec![
            column("WAVE", |r: &ResourceRow| r.wave.to_string()),
            column("KIND", |r: &ResourceRow| r.kind.clone()),
            column("NAMESPACE", |r: &ResourceRow| or_dash(&r.namespace)),
            column("NAME", |r: &ResourceRow| r.name.clone()),
            column("SYNC", |r: &ResourceRow| or_dash(&r.sync)),
            column("HEALTH", |r: &ResourceRow| or_dash(&r.health)),
            column("MESSAGE", |r: &ResourceRow| r.message.clone()),
            wide("IMAGES", |r: &ResourceRow| r.images.iter().map(|i| format!("{} {}", i.image, i.digest)).collect::<Vec<_>>().join(" ")),
        ];
        self.output.list(&Listing {
            what: "objects",
            items: &tree.resources,
            columns,
            name: |r| format!("{}/{}", r.kind.to_lowercase(), r.name),
            branch: |r| {
                let place = if r.namespace.is_empty() { String::new() } else { format!("{}/", r.namespace) };
                vec![format!("wave {}", r.wave), format!("{} {place}{} {} {}", r.kind, r.name, r.sync, r.health).trim_end().to_owned()]
            },
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
struct History {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    output: Output,
    /// Only on this cluster.
    #[arg(short, long)]
    cluster: Option<String>,
    /// Lines at most.
    #[arg(long, default_value_t = 50)]
    limit: u16,
}

impl History {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let found = self.named.find().await?;
        let Found { hub, namespace, name } = &found;
        let filter = query(&[
            ("app", Some(&format!("{namespace}/{name}"))),
            ("cluster", self.cluster.as_deref()),
            ("limit", Some(&self.limit.to_string())),
        ]);
        let page: Page<ActivityRow> = hub.read(&format!("{}?{filter}", path::ACTIVITY)).await?;
        let columns = vec![
            column("AT", |row: &ActivityRow| row.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
            column("CLUSTER", |row: &ActivityRow| row.cluster.clone()),
            column("WHAT", |row: &ActivityRow| row.reason.clone()),
            column("MESSAGE", |row: &ActivityRow| row.message.clone()),
            wide("RECEIVED", |row: &ActivityRow| row.received_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()),
        ];
        self.output.list(&Listing {
            what: "changes",
            items: &page.items,
            columns,
            name: |row| format!("{}/{}/{}", row.cluster, row.reason, row.at),
            branch: |row| vec![row.cluster.clone(), format!("{} {} {}", row.at, row.reason, row.message)],
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
