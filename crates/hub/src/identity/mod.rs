//! Which hub this is: a UID that stays and an epoch that a restore raises.
//!
//! Both live in ConfigMap `muster-system/hub-identity`, so that a backup carries them. The UID is made once:
//! it is the ConfigMap's own. Invariant: the UID never changes, the epoch never falls.

use std::collections::BTreeMap;

use api::hub::{HubInfo, IDENTITY_CONFIG_MAP, NAMESPACE};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use crate::error::{Doing, Error};
use crate::write;

const EPOCH_FIRST: u64 = 1;

/// Returns the hub's identity; makes it on the first start.
pub async fn ensure(client: &Client) -> Result<HubInfo, Error> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = Namespace { metadata: named(None, NAMESPACE), ..Namespace::default() };
    create_if_absent(&namespaces, &namespace).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let data = BTreeMap::from([("epoch".to_owned(), EPOCH_FIRST.to_string())]);
    let first = ConfigMap { metadata: named(Some(NAMESPACE), IDENTITY_CONFIG_MAP), data: Some(data), ..ConfigMap::default() };
    create_if_absent(&maps, &first).await?;
    let mut map = maps.get(IDENTITY_CONFIG_MAP).await.doing(|| format!("read ConfigMap {NAMESPACE}/{IDENTITY_CONFIG_MAP}"))?;
    if map.data.as_ref().is_none_or(|d| d.get("uid").is_none_or(String::is_empty)) {
        let uid = map.metadata.uid.clone().unwrap_or_default();
        map = write::merge(&maps, &map, json!({"data": {"uid": uid}})).await?;
    }
    Ok(read(&map))
}

/// Raises the epoch: whoever restores a hub from a backup calls this before agents reach it.
pub async fn raise_epoch(client: &Client) -> Result<HubInfo, Error> {
    let before = ensure(client).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let map = maps.get(IDENTITY_CONFIG_MAP).await.doing(|| format!("read ConfigMap {NAMESPACE}/{IDENTITY_CONFIG_MAP}"))?;
    let raised = write::merge(&maps, &map, json!({"data": {"epoch": (before.epoch + 1).to_string()}})).await?;
    Ok(read(&raised))
}

fn read(map: &ConfigMap) -> HubInfo {
    let field = |name: &str| map.data.as_ref().and_then(|d| d.get(name));
    HubInfo {
        uid: field("uid").cloned().unwrap_or_default(),
        epoch: field("epoch").and_then(|e| e.parse().ok()).unwrap_or(EPOCH_FIRST),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn named(namespace: Option<&str>, name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: namespace.map(str::to_owned), ..ObjectMeta::default() }
}

async fn create_if_absent<K>(api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let name = kube::ResourceExt::name_any(object);
    match api.create(&PostParams::default(), object).await.doing(|| format!("create {} {name}", K::kind(&()))) {
        Err(error) if error.is_conflict() => Ok(()),
        other => other.map(|_| ()),
    }
}
