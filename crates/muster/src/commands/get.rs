//! `muster get`: objects of the hub's API as the server shows them.

use std::process::ExitCode;

use anyhow::{Context, bail};
use api::hub::path;
use clap::Args;
use serde_json::Value;

use super::output::{Format, Output, print_table};
use super::{apps, problems, status};
use crate::client::{Hub, Target, query};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

#[derive(Args)]
pub struct Get {
    /// Resource, by plural, singular or short name: `managedclusters`, `manifestwork`, `mcl`.
    resource: String,
    /// Name; all without it.
    name: Option<String>,
    #[command(flatten)]
    target: Target,
    /// Namespace; all without it.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Label selector.
    #[arg(short = 'l', long)]
    selector: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// A resource as discovery tells of it.
struct Found {
    base: String,
    plural: String,
    is_namespaced: bool,
}

impl Get {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let hub = self.target.connect()?;
        if self.is_shown(&hub).await? {
            return Ok(ExitCode::SUCCESS);
        }
        let found = find(&hub, &self.resource).await?;
        let path = self.path(&found)?;
        let is_table = matches!(self.output.format, Format::Table | Format::Wide);
        let accept = if is_table { TABLE } else { "application/json" };
        let answer = hub.get(&path, accept).await?;
        match self.output.format {
            Format::Json => println!("{}", serde_json::to_string_pretty(&answer)?),
            Format::Yaml => print!("{}", apimachinery::yaml::to_string(&answer)),
            Format::Name => names(&answer).iter().for_each(|name| println!("{}/{name}", found.plural)),
            Format::Csv | Format::Tree => bail!("-o csv and -o tree are for clusters, apps and problems"),
            Format::Table | Format::Wide => self.show(&answer, found.is_namespaced && self.namespace.is_none()),
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows what the hub makes of reports; false for objects of its API.
    async fn is_shown(&self, hub: &Hub) -> anyhow::Result<bool> {
        let name = self.name.as_deref();
        match self.resource.as_str() {
            "clusters" | "cluster" => {
                let filter = query(&[("cluster", name), ("labelSelector", self.selector.as_deref())]);
                status::list(&self.output, &hub.rows_of(path::CLUSTERS, &filter).await?)?;
            }
            "apps" | "app" => {
                let filter = query(&[("namespace", self.namespace.as_deref()), ("name", name), ("sort", Some("name"))]);
                apps::show(&self.output, &hub.rows_of(path::APPS, &filter).await?)?;
            }
            "problems" | "problem" => problems::show(&self.output, &hub.rows_of(path::PROBLEMS, &query(&[("problem", name)])).await?)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn path(&self, found: &Found) -> anyhow::Result<String> {
        let mut path = found.base.clone();
        match (&self.namespace, found.is_namespaced) {
            (Some(namespace), true) => path.push_str(&format!("/namespaces/{namespace}")),
            (None, true) if self.name.is_some() => bail!("{} are namespaced: give --namespace with a name", found.plural),
            _ => {}
        }
        path.push_str(&format!("/{}", found.plural));
        if let Some(name) = &self.name {
            path.push_str(&format!("/{name}"));
        } else if let Some(selector) = &self.selector {
            path.push_str(&format!("?labelSelector={}", selector.replace('=', "%3D").replace(',', "%2C").replace(' ', "%20")));
        }
        Ok(path)
    }

    fn show(&self, table: &Value, with_namespace: bool) {
        let is_wide = self.output.format == Format::Wide;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let columns = list(&table["columnDefinitions"]);
        let shown: Vec<usize> = (0..columns.len()).filter(|i| is_wide || columns[*i]["priority"].as_i64().unwrap_or(0) == 0).collect();
        let mut header: Vec<String> = shown.iter().map(|i| columns[*i]["name"].as_str().unwrap_or_default().to_uppercase()).collect();
        if with_namespace {
            header.insert(0, "NAMESPACE".into());
        }
        let rows: Vec<Vec<String>> = list(&table["rows"])
            .iter()
            .map(|row| {
                let mut cells: Vec<String> = shown.iter().map(|i| plain(&row["cells"][*i])).collect();
                if with_namespace {
                    cells.insert(0, plain(&row["object"]["metadata"]["namespace"]));
                }
                cells
            })
            .collect();
        if rows.is_empty() {
            eprintln!("no {} found", self.resource);
            return;
        }
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        print_table(&header, &rows, self.output.no_headers);
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn names(answer: &Value) -> Vec<String> {
    let objects = answer["items"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
    objects.iter().map(|o| plain(&o["metadata"]["name"])).collect()
}

/// Finds a resource by any of its names, `name.group` included.
async fn find(hub: &Hub, asked: &str) -> anyhow::Result<Found> {
    let asked = asked.to_lowercase();
    for root in ["/api", "/apis"] {
        let groups = hub.get(root, DISCOVERY).await.context("failed to ask what the hub serves")?;
        for group in groups["items"].as_array().into_iter().flatten() {
            let name = group["metadata"]["name"].as_str().unwrap_or_default();
            for version in group["versions"].as_array().into_iter().flatten() {
                let number = version["version"].as_str().unwrap_or_default();
                for resource in version["resources"].as_array().into_iter().flatten() {
                    let plural = resource["resource"].as_str().unwrap_or_default();
                    let short = resource["shortNames"].as_array().into_iter().flatten().filter_map(Value::as_str);
                    let singular = resource["singularResource"].as_str();
                    let is_it = short.chain(singular).chain([plural]).any(|n| n == asked) || format!("{plural}.{name}") == asked;
                    if is_it {
                        let base = if name.is_empty() { format!("/api/{number}") } else { format!("/apis/{name}/{number}") };
                        return Ok(Found { base, plural: plural.to_owned(), is_namespaced: resource["scope"] == "Namespaced" });
                    }
                }
            }
        }
    }
    bail!("the hub does not serve {asked:?}; `kubectl api-resources` lists what it serves")
}
