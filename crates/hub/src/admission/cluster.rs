//! ManagedClusters: who accepts them, which set they join, when they were tainted.

use std::collections::BTreeMap;

use api::cluster::{DEFAULT_SET, GROUP, ManagedCluster, REGISTER_GROUP, Taint, label};
use apimachinery::status::{Cause, Status};
use apiserver::admission::{Admission, Ask, Attributes, Authorize, Operation};
use async_trait::async_trait;
use controller::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{invalid, is_object_write, parse, require};

pub struct Clusters {
    clock: Clock,
    client: Mutex<Option<kube::Client>>,
}

impl Clusters {
    pub fn new(clock: Clock) -> Self {
        Self { clock, client: Mutex::new(None) }
    }

    /// Lets the plugin look at namespaces: the server it belongs to has to be there first. None ends that, so that
    /// plugin and server do not keep each other alive.
    pub fn use_client(&self, client: Option<kube::Client>) {
        *self.client.lock() = client;
    }

    async fn is_terminating(&self, namespace: &str) -> bool {
        let Some(client) = self.client.lock().clone() else { return false };
        let found = kube::Api::<Namespace>::all(client).get_opt(namespace).await;
        found.ok().flatten().is_some_and(|n| n.metadata.deletion_timestamp.is_some())
    }
}

#[async_trait]
impl Admission for Clusters {
    fn handles(&self, group: &str, resource: &str) -> bool {
        group == GROUP && resource == "managedclusters"
    }

    async fn admit(&self, attributes: &Attributes<'_>, object: &mut Value, _: &dyn Authorize) -> Result<(), Status> {
        if !is_object_write(attributes) {
            return Ok(());
        }
        stamp_taints(attributes.old, object, self.clock.now());
        let set = &object["metadata"]["labels"][label::CLUSTER_SET];
        if set.as_str().is_none_or(str::is_empty) {
            if !object["metadata"]["labels"].is_object() {
                object["metadata"]["labels"] = json!({});
            }
            object["metadata"]["labels"][label::CLUSTER_SET] = json!(DEFAULT_SET);
        }
        Ok(())
    }

    async fn validate(&self, attributes: &Attributes<'_>, object: Option<&Value>, authorize: &dyn Authorize) -> Result<(), Status> {
        let Some(object) = object.filter(|_| is_object_write(attributes)) else { return Ok(()) };
        let new: ManagedCluster = parse(attributes, object)?;
        let old: Option<ManagedCluster> = attributes.old.map(|old| parse(attributes, old)).transpose()?;
        let causes = check(&new, attributes.operation);
        if !causes.is_empty() {
            return Err(invalid(attributes, causes));
        }
        let name = new.metadata.name.as_deref().unwrap_or_default();
        if new.spec.hub_accepts_client && !old.as_ref().is_some_and(|o| o.spec.hub_accepts_client) {
            let ask = Ask {
                verb: "update".into(),
                group: REGISTER_GROUP.into(),
                resource: "managedclusters".into(),
                subresource: "accept".into(),
                name: name.into(),
                ..Ask::default()
            };
            require(attributes, authorize, ask, "accept the cluster (spec.hubAcceptsClient)").await?;
            if self.is_terminating(name).await {
                let text = format!("namespace {name} is being deleted: accept the cluster when it is gone");
                return Err(invalid(attributes, vec![Cause::invalid("spec.hubAcceptsClient", &json!(true), &text)]));
            }
        }
        let set_of = |c: &ManagedCluster| c.metadata.labels.as_ref().and_then(|l| l.get(label::CLUSTER_SET)).cloned().unwrap_or_default();
        let (before, after) = (old.as_ref().map(set_of).unwrap_or_default(), set_of(&new));
        if before != after {
            for set in [before, after].into_iter().filter(|s| !s.is_empty()) {
                let to_do = format!("change which clusters are in ManagedClusterSet {set}");
                require(attributes, authorize, ask_set(&set, "join"), &to_do).await?;
            }
        }
        Ok(())
    }
}

pub(super) fn ask_set(set: &str, subresource: &str) -> Ask {
    Ask {
        verb: "create".into(),
        group: GROUP.into(),
        resource: "managedclustersets".into(),
        subresource: subresource.into(),
        name: set.into(),
        ..Ask::default()
    }
}

fn check(cluster: &ManagedCluster, operation: Operation) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let is_label = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if operation == Operation::Create && !is_label {
        let text = "a cluster's name is also its namespace's: at most 63 lower-case letters, digits and dashes, no dash at either end";
        causes.push(Cause::invalid("metadata.name", &json!(name), text));
    }
    for (i, config) in cluster.spec.managed_cluster_client_configs.iter().enumerate() {
        let is_https = config.url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
        if !is_https {
            let field = format!("spec.managedClusterClientConfigs[{i}].url");
            causes.push(Cause::invalid(field, &json!(config.url), "an https:// URL with a host is needed"));
        }
    }
    causes
}

/// Sets `timeAdded`: of a taint that was there before it stays, of a new one it is now. Clients cannot choose it.
fn stamp_taints(old: Option<&Value>, object: &mut Value, now: Timestamp) {
    type Known = BTreeMap<(String, String, String), Value>;
    let key = |taint: &Value| {
        let field = |name: &str| taint[name].as_str().unwrap_or_default().to_owned();
        (field("key"), field("value"), field("effect"))
    };
    let before = old.and_then(|o| o["spec"]["taints"].as_array());
    let known: Known = before.into_iter().flatten().map(|t| (key(t), t["timeAdded"].clone())).collect();
    let now = Taint { time_added: Some(api::Time(Timestamp::from_second(now.as_second()).unwrap_or(now))), ..Taint::default() };
    let now = json!(now)["timeAdded"].clone();
    for taint in object.pointer_mut("/spec/taints").and_then(Value::as_array_mut).into_iter().flatten().filter(|t| t.is_object()) {
        let time = known.get(&key(taint)).filter(|t| t.is_string()).unwrap_or(&now);
        taint["timeAdded"] = time.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taint_keeps_the_time_it_was_added() {
        let old = json!({"spec": {"taints": [{"key": "a", "effect": "NoSelect", "timeAdded": "2026-01-01T00:00:00Z"}]}});
        let mut new = json!({"spec": {"taints": [
            {"key": "a", "effect": "NoSelect", "timeAdded": "1999-01-01T00:00:00Z"},
            {"key": "b", "effect": "NoSelect", "timeAdded": "1999-01-01T00:00:00Z"},
        ]}});
        stamp_taints(Some(&old), &mut new, Timestamp::UNIX_EPOCH);
        assert_eq!(new["spec"]["taints"][0]["timeAdded"], "2026-01-01T00:00:00Z");
        assert_eq!(new["spec"]["taints"][1]["timeAdded"], "1970-01-01T00:00:00Z");
        let mut without = json!({"spec": {}});
        stamp_taints(None, &mut without, Timestamp::UNIX_EPOCH);
        assert_eq!(without, json!({"spec": {}}));
    }

    #[test]
    fn names_and_urls_are_checked() {
        let mut cluster = ManagedCluster::new("Not.a.label", Default::default());
        cluster.spec.managed_cluster_client_configs = vec![api::cluster::ClientConfig { url: "http://x".into(), ca_bundle: None }];
        let fields: Vec<String> = check(&cluster, Operation::Create).into_iter().map(|c| c.field).collect();
        assert_eq!(fields, ["metadata.name", "spec.managedClusterClientConfigs[0].url"]);
    }
}
