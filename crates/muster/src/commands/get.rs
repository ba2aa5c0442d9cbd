//! `muster get`: objects of the hub's API as the server shows them.

use std::process::ExitCode;

use anyhow::{Context, bail};
use api::hub::path;
use apimachinery::uri::percent_encode;
use clap::Args;
use serde_json::Value;

use super::output::{Format, Output, print_table};
use super::table::line;
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
            Format::Json => say!("{}", serde_json::to_string_pretty(&answer)?),
            Format::Yaml => say!("{}", apimachinery::yaml::to_string(&answer).trim_end()),
            Format::Name => {
                for name in names(&answer) {
                    say!("{}/{}", found.plural, line(&name));
                }
            }
            Format::Csv | Format::Tree => bail!("-o csv and -o tree are for clusters, apps and problems"),
            Format::Table | Format::Wide => self.show(&answer, found.is_namespaced && self.namespace.is_none())?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Shows what the hub makes of reports; false for objects of its API.
    async fn is_shown(&self, hub: &Hub) -> anyhow::Result<bool> {
        let name = self.name.as_deref();
        match self.resource.as_str() {
            "clusters" | "cluster" => {
                self.refuse(&[("--namespace", self.namespace.is_some())])?;
                let filter = query(&[("cluster", name), ("labelSelector", self.selector.as_deref())]);
                let rows = self.named(hub.rows_of(path::CLUSTERS, &filter).await?)?;
                status::list(&self.output, &rows)?;
            }
            "apps" | "app" => {
                self.refuse(&[("--selector", self.selector.is_some())])?;
                let filter = query(&[("namespace", self.namespace.as_deref()), ("name", name), ("sort", Some("name"))]);
                apps::show(&self.output, &self.named(hub.rows_of(path::APPS, &filter).await?)?)?;
            }
            "problems" | "problem" => {
                self.refuse(&[("--namespace", self.namespace.is_some()), ("--selector", self.selector.is_some())])?;
                let rows = self.named(hub.rows_of(path::PROBLEMS, &query(&[("problem", name)])).await?)?;
                problems::show(&self.output, &rows)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Fails when something was asked for by its name and is not there.
    fn named<T>(&self, rows: Vec<T>) -> anyhow::Result<Vec<T>> {
        match &self.name {
            Some(name) if rows.is_empty() => {
                bail!("there is no such thing as {} {name}; `muster get {}` lists those there are", self.resource, self.resource)
            }
            _ => Ok(rows),
        }
    }

    /// Refuses what would have no effect.
    fn refuse(&self, given: &[(&str, bool)]) -> anyhow::Result<()> {
        match given.iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => bail!("{flag} has no meaning for {}: leave it out", self.resource),
            None => Ok(()),
        }
    }

    fn path(&self, found: &Found) -> anyhow::Result<String> {
        let mut path = found.base.clone();
        match (&self.namespace, found.is_namespaced) {
            (Some(namespace), true) => path.push_str(&format!("/namespaces/{}", percent_encode(namespace))),
            (Some(_), false) => bail!("--namespace has no meaning for {}: they are of no namespace", found.plural),
            (None, true) if self.name.is_some() => bail!("{} are namespaced: give --namespace with a name", found.plural),
            (None, _) => {}
        }
        path.push_str(&format!("/{}", found.plural));
        match (&self.name, &self.selector) {
            (Some(_), Some(_)) => bail!("--selector has no meaning with a name: leave one of them out"),
            (Some(name), None) => path.push_str(&format!("/{}", percent_encode(name))),
            (None, Some(selector)) => path.push_str(&format!("?{}", query(&[("labelSelector", Some(selector))]))),
            (None, None) => {}
        }
        Ok(path)
    }

    fn show(&self, table: &Value, with_namespace: bool) -> anyhow::Result<()> {
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
            return Ok(());
        }
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        print_table(&header, &rows, self.output.no_headers)
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        get: Get,
    }

    #[test]
    fn what_has_no_effect_is_refused_by_its_name() {
        let check = |line: &str, is_namespaced: bool, expect: Result<&str, &str>| {
            let get = Line::parse_from(["get"].into_iter().chain(line.split(' '))).get;
            let path = get.path(&Found { base: "/apis/g/v1".into(), plural: "things".into(), is_namespaced });
            match (path.map_err(|error| error.to_string()), expect) {
                (Ok(path), Ok(expect)) => assert_eq!(path, expect, "{line}"),
                (Err(error), Err(expect)) => assert!(error.starts_with(expect), "{line}: {error}"),
                (got, expect) => panic!("{line}: {got:?}, not {expect:?}"),
            }
        };
        check("things", false, Ok("/apis/g/v1/things"));
        check("things a -n b", true, Ok("/apis/g/v1/namespaces/b/things/a"));
        check("things a/../b? -n b#c", true, Ok("/apis/g/v1/namespaces/b%23c/things/a%2F..%2Fb%3F"));
        check("things -l a=b,c!=d&limit=1", true, Ok("/apis/g/v1/things?labelSelector=a%3Db%2Cc%21%3Dd%26limit%3D1"));
        check("things a -n b", false, Err("--namespace"));
        check("things a -n b -l c=d", true, Err("--selector"));
        check("things a", true, Err("things are namespaced"));
    }
}
