//! What a simulated fleet is made of, as a file says it.
//!
//! ```yaml
//! seed: 7
//! stores:
//!   - name: store-0001
//!     labels: {region: us-east, env: prod}
//!     nodes: 3
//!     link: offline
//!   - name: store-0002
//!     clockSkew: -90s
//!     faults: {bad-release: "image: '*/web:1.8*'\nfault: crash-loop"}
//! ```

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::Deserialize;

use crate::faults;
use crate::link::Quality;
use crate::workloads::node::Machine;

/// Nodes of one simulated cluster; a store has one to three.
const NODES_MOST: u32 = 100;
/// How wrong a clock may be: certificates are valid for as long.
const SKEW_MOST: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct FleetSpec {
    /// Faults, delays and names follow from it.
    pub seed: u64,
    pub stores: Vec<StoreSpec>,
    /// Clusters that are switched off until somebody plugs them in.
    pub spare: Vec<StoreSpec>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreSpec {
    pub name: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default = "one")]
    pub nodes: u32,
    #[serde(default = "version")]
    pub kubernetes_version: String,
    /// Rules for ConfigMap `kube-system/sim-faults`.
    #[serde(default)]
    pub faults: BTreeMap<String, String>,
    #[serde(default)]
    pub link: Quality,
    /// How far ahead (or behind, with a minus sign) the store's clock is.
    #[serde(default)]
    pub clock_skew: Option<String>,
}

fn one() -> u32 {
    1
}

pub(crate) fn version() -> String {
    "v1.33.1".to_owned()
}

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Error {
    #[error("the fleet file is not usable: {0}")]
    Unreadable(String),
    #[error("{path}: {problem}")]
    Invalid { path: String, problem: String },
}

impl FleetSpec {
    /// Reads and checks a fleet file.
    pub fn parse(yaml: &str) -> Result<Self, Error> {
        let spec: Self = serde_saphyr::from_str(yaml).map_err(|e| Error::Unreadable(e.to_string()))?;
        spec.check()?;
        Ok(spec)
    }

    /// Returns `count` plain stores named `store-0001` and so on.
    pub fn plain(count: u32) -> Self {
        Self { seed: 1, stores: (1..=count).map(|n| StoreSpec::named(format!("store-{n:04}"))).collect(), spare: Vec::new() }
    }

    /// Says what no fleet may have.
    pub fn check(&self) -> Result<(), Error> {
        let mut names = BTreeSet::new();
        for (index, store) in self.stores.iter().enumerate() {
            let invalid = |field: &str, problem: String| Error::Invalid { path: format!("stores[{index}].{field}"), problem };
            let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if store.name.is_empty() || store.name.len() > 63 || !store.name.chars().all(is_name) || store.name.starts_with('-') {
                let problem = format!("{:?} is no cluster name: lower-case letters, digits and '-', at most 63", store.name);
                return Err(invalid("name", problem));
            }
            if !names.insert(&store.name) {
                return Err(invalid("name", format!("{:?} is there twice", store.name)));
            }
            if store.nodes == 0 || store.nodes > NODES_MOST {
                return Err(invalid("nodes", format!("{} is not between 1 and {NODES_MOST}", store.nodes)));
            }
            if !store.kubernetes_version.starts_with("v1.") {
                return Err(invalid("kubernetesVersion", format!("{:?} is no version such as v1.33.1", store.kubernetes_version)));
            }
            if let Some(Err(problem)) = store.clock_skew.as_deref().map(skew) {
                return Err(invalid("clockSkew", problem));
            }
        }
        Ok(())
    }
}

impl StoreSpec {
    /// Returns a store of one node and nothing special.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            labels: BTreeMap::new(),
            nodes: one(),
            kubernetes_version: version(),
            faults: BTreeMap::new(),
            link: Quality::Online,
            clock_skew: None,
        }
    }

    pub fn skew(&self) -> Option<SignedDuration> {
        skew(self.clock_skew.as_deref()?).ok()
    }

    /// Returns the store's machines; the first is the control plane.
    pub fn machines(&self) -> Vec<Machine> {
        (1..=self.nodes)
            .map(|n| Machine {
                name: format!("{}-node-{n}", self.name),
                address: format!("192.168.1.{}", 10 + n),
                cpu: 8,
                memory_gib: 32,
                kubernetes_version: self.kubernetes_version.clone(),
                is_control_plane: n == 1,
                is_ready: true,
            })
            .collect()
    }
}

/// Parses how far a clock is ahead, or behind, with a minus sign.
pub(crate) fn skew(text: &str) -> Result<SignedDuration, String> {
    let (is_behind, length) = text.strip_prefix('-').map_or((false, text), |behind| (true, behind));
    let length = faults::duration(length).ok_or_else(|| format!("{text:?} is no duration such as 90s or -5m"))?;
    if length > SKEW_MOST {
        return Err(format!("{text:?} is more than ten years; a clock may be wrong by {}h", SKEW_MOST.as_hours()));
    }
    Ok(if is_behind { -length } else { length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_file_is_read() {
        let fleet = FleetSpec::parse(
            "seed: 7\nstores:\n- name: a\n  labels: {region: x}\n  nodes: 3\n  link: offline\n- name: b\n  clockSkew: -90s\n  link: {latency_ms: 300}\n",
        );
        let fleet = fleet.expect("a fleet");
        assert_eq!((fleet.seed, fleet.stores[0].nodes, fleet.stores[0].link), (7, 3, Quality::Offline));
        assert_eq!(fleet.stores[0].machines()[2].name, "a-node-3");
        assert_eq!(fleet.stores[1].skew(), Some(SignedDuration::from_secs(-90)));
        assert_eq!(fleet.stores[1].link, Quality::Slow { latency_ms: 300 });
    }

    #[test]
    fn a_bad_fleet_file_names_the_field() {
        let check = |yaml: &str| FleetSpec::parse(yaml).expect_err("refused").to_string();
        assert!(check("stores: [{name: A}]").starts_with("stores[0].name: \"A\""));
        assert!(check("stores: [{name: a}, {name: a}]").starts_with("stores[1].name: \"a\" is there twice"));
        assert!(check("stores: [{name: a, nodes: 0}]").contains("stores[0].nodes"));
        assert!(check("stores: [{name: a, node: 1}]").contains("node"));
        assert!(check("stores: [{name: a, clockSkew: late}]").contains("clockSkew"));
        assert!(check("stores: [{name: a, clockSkew: -99999999h}]").contains("stores[0].clockSkew: \"-99999999h\" is more than ten years"));
    }
}
