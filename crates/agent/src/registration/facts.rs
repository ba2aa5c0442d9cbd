//! What the cluster says about itself.

use std::collections::BTreeMap;
use std::time::Duration;

use api::cluster::{ClusterClaim, claim_name, label};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::{Error, claims, quantity};

/// Nodes are read by pages and dropped at once: a Node is some 10 KB.
const PAGE: u32 = 50;
/// As OCM: the API server is unavailable when it fails its health check for this long.
const HEALTH_PATIENCE: Duration = Duration::from_secs(20);
const HEALTH_AGAIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub version: String,
    /// Why the API server is not healthy.
    pub unhealthy: Option<String>,
    pub capacity: BTreeMap<String, Quantity>,
    pub allocatable: BTreeMap<String, Quantity>,
    pub nodes: u32,
    pub nodes_ready: u32,
    pub pods: u32,
    /// Of the first node: `linux/arm64`.
    pub machine: String,
    pub provider_id: String,
    /// ClusterClaims by name.
    pub told: BTreeMap<String, String>,
}

/// Reads the UID of the cluster: that of its namespace kube-system.
pub async fn cluster_uid(local: &Client) -> Result<String, Error> {
    let namespaces: Api<Namespace> = Api::all(local.clone());
    let namespace = namespaces.get_metadata("kube-system").await.map_err(Error::local("read namespace kube-system"))?;
    Ok(namespace.uid().unwrap_or_default())
}

pub async fn read(local: &Client) -> Result<Facts, Error> {
    let mut facts = Facts { unhealthy: unhealthy(local).await, ..Facts::default() };
    if facts.unhealthy.is_some() {
        return Ok(facts);
    }
    facts.version = local.apiserver_version().await.map_err(Error::local("read the version"))?.git_version;
    read_nodes(local, &mut facts).await?;
    facts.pods = count_pods(local).await?;
    facts.told = read_claims(local).await?;
    Ok(facts)
}

impl Facts {
    /// Returns what we know for the reserved claims.
    pub fn known_claims(&self, cluster_uid: &str) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            (claim_name::ID, cluster_uid.to_owned()),
            (claim_name::KUBE_VERSION, self.version.clone()),
            (claim_name::PLATFORM, claims::platform(&self.provider_id).to_owned()),
            (claim_name::PRODUCT, claims::product(&self.version).to_owned()),
            (claim_name::AGENT_VERSION, crate::VERSION.to_owned()),
            (claim_name::AGENT_CAPABILITIES, crate::CAPABILITIES.join(",")),
        ])
    }
}

/// Asks the API server for its health until it is well or has failed for long enough.
async fn unhealthy(local: &Client) -> Option<String> {
    let begun = tokio::time::Instant::now();
    loop {
        let Err(error) = probe(local).await else { return None };
        if begun.elapsed() + HEALTH_AGAIN > HEALTH_PATIENCE {
            return Some(error);
        }
        tokio::time::sleep(HEALTH_AGAIN).await;
    }
}

async fn probe(local: &Client) -> Result<(), String> {
    let mut told = String::new();
    for path in ["/livez", "/healthz"] {
        let request = http::Request::get(path).body(Vec::new()).map_err(|e| e.to_string())?;
        match local.request_text(request).await {
            Ok(_) => return Ok(()),
            Err(error) => told = format!("{path}: {error}"),
        }
    }
    Err(told)
}

async fn read_nodes(local: &Client, facts: &mut Facts) -> Result<(), Error> {
    let nodes: Api<Node> = Api::all(local.clone());
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = nodes.list(&params).await.map_err(Error::local("list nodes"))?;
        page.items.iter().for_each(|node| add_node(facts, node));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

fn add_node(facts: &mut Facts, node: &Node) {
    let Some(status) = &node.status else { return };
    facts.nodes += 1;
    let is_ready = status.conditions.iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    facts.nodes_ready += u32::from(is_ready);
    if let Some(capacity) = &status.capacity {
        quantity::add(&mut facts.capacity, capacity);
    }
    let spec = node.spec.as_ref();
    // As OCM: what cannot be scheduled cannot be allocated.
    if !spec.and_then(|s| s.unschedulable).unwrap_or(false)
        && let Some(allocatable) = &status.allocatable
    {
        quantity::add(&mut facts.allocatable, allocatable);
    }
    if facts.machine.is_empty()
        && let Some(info) = &status.node_info
    {
        facts.machine = format!("{}/{}", info.operating_system, info.architecture);
    }
    if facts.provider_id.is_empty() {
        facts.provider_id = spec.and_then(|s| s.provider_id.clone()).unwrap_or_default();
    }
}

async fn count_pods(local: &Client) -> Result<u32, Error> {
    let pods: Api<Pod> = Api::all(local.clone());
    let first = pods.list_metadata(&ListParams::default().limit(1)).await.map_err(Error::local("count pods"))?;
    let more = first.metadata.remaining_item_count.unwrap_or(0);
    Ok(u32::try_from(first.items.len() as i64 + more).unwrap_or(u32::MAX))
}

async fn read_claims(local: &Client) -> Result<BTreeMap<String, String>, Error> {
    let claims: Api<ClusterClaim> = Api::all(local.clone());
    let list = match claims.list(&ListParams::default()).await {
        Ok(list) => list,
        // The kind is not installed.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(BTreeMap::new()),
        Err(error) => return Err(Error::local("list cluster claims")(error)),
    };
    let is_shown = |claim: &ClusterClaim| !claim.labels().contains_key(label::SPOKE_ONLY);
    Ok(list.items.into_iter().filter(is_shown).map(|claim| (claim.name_any(), claim.spec.value)).collect())
}
