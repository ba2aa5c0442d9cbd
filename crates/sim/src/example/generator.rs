//! Draws a fleet's clusters from tables: the same number is the same store, however many there are.
//!
//! Each attribute is drawn by a hash of the seed, the store's number and the attribute's name, so that one table can be
//! changed without every store becoming another.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::link::Quality;
use crate::spec::{FleetSpec, StoreSpec, version};
use crate::workloads::fnv;

/// What `fleet.yaml` of an example says.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Generator {
    seed: u64,
    stores: Stores,
    /// Beside the stores.
    #[serde(default)]
    clusters: Vec<StoreSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stores {
    prefix: String,
    default: u32,
    most: u32,
    #[serde(default = "version")]
    kubernetes_version: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    regions: BTreeMap<String, Region>,
    #[serde(default)]
    formats: BTreeMap<String, Format>,
    #[serde(default)]
    rings: BTreeMap<String, u32>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Region {
    share: u32,
    states: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Format {
    share: u32,
    nodes: BTreeMap<u32, u32>,
    links: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Exception {
    store: u32,
    kubernetes_version: Option<String>,
    clock_skew: Option<String>,
    link: Option<Quality>,
}

impl Generator {
    pub fn parse(yaml: &str) -> Result<Self, String> {
        let generator: Self = serde_saphyr::from_str(yaml).map_err(|e| e.to_string())?;
        // What is drawn is as good as what is written: the same rules apply.
        generator.fleet(generator.stores.default).check().map_err(|e| e.to_string())?;
        Ok(generator)
    }

    pub fn stores_default(&self) -> u32 {
        self.stores.default
    }

    pub fn stores_max(&self) -> u32 {
        self.stores.most
    }

    /// Returns how many clusters there are beside the stores.
    pub fn clusters_beside(&self) -> u32 {
        u32::try_from(self.clusters.len()).unwrap_or(u32::MAX)
    }

    /// Returns the fleet with the first `stores` stores, and after them what is beside.
    pub fn fleet(&self, stores: u32) -> FleetSpec {
        let stores = (1..=stores.min(self.stores.most)).map(|number| self.store(number));
        FleetSpec { seed: self.seed, stores: stores.chain(self.clusters.iter().cloned()).collect(), spare: Vec::new() }
    }

    fn store(&self, number: u32) -> StoreSpec {
        let of = &self.stores;
        let mut store = StoreSpec::named(format!("{}{number:04}", of.prefix));
        store.kubernetes_version.clone_from(&of.kubernetes_version);
        store.labels.clone_from(&of.labels);
        let dice = Dice { seed: self.seed, number };
        let mut label = |name: &str, value: &str| drop(store.labels.insert(name.into(), value.into()));
        if let Some((name, region)) = dice.one("region", of.regions.iter().map(|(name, region)| ((name, region), region.share))) {
            label("region", name);
            if let Some(state) = dice.one("state", region.states.iter().map(|(state, share)| (state, *share))) {
                label("state", state);
            }
        }
        let mut nodes = 1;
        if let Some((name, format)) = dice.one("format", of.formats.iter().map(|(name, format)| ((name, format), format.share))) {
            label("format", name);
            if let Some(link) = dice.one("link", format.links.iter().map(|(link, share)| (link, *share))) {
                label("link", link);
            }
            nodes = dice.one("nodes", format.nodes.iter().map(|(nodes, share)| (*nodes, *share))).unwrap_or(1);
        }
        if let Some(ring) = dice.one("ring", of.rings.iter().map(|(ring, share)| (ring, *share))) {
            label("ring", ring);
        }
        store.nodes = nodes;
        for exception in of.exceptions.iter().filter(|e| e.store == number) {
            if let Some(version) = &exception.kubernetes_version {
                store.kubernetes_version.clone_from(version);
            }
            if exception.clock_skew.is_some() {
                store.clock_skew.clone_from(&exception.clock_skew);
            }
            store.link = exception.link.unwrap_or(store.link);
        }
        store
    }
}

/// Draws for one store.
#[derive(Clone, Copy)]
struct Dice {
    seed: u64,
    number: u32,
}

impl Dice {
    /// Returns one of the choices by their shares; none of none.
    fn one<T>(self, what: &str, choices: impl Iterator<Item = (T, u32)>) -> Option<T> {
        let choices: Vec<(T, u32)> = choices.collect();
        let total: u64 = choices.iter().map(|(_, share)| u64::from(*share)).sum();
        let mut drawn = self.draw(what).checked_rem(total)?;
        choices.into_iter().find_map(|(choice, share)| match drawn.checked_sub(u64::from(share)) {
            Some(rest) => {
                drawn = rest;
                None
            }
            None => Some(choice),
        })
    }

    fn draw(self, what: &str) -> u64 {
        fnv(format!("{}/{}/{what}", self.seed, self.number).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Example;

    fn retail() -> Generator {
        Example::named("retail").expect("there").generator().expect("a generator")
    }

    #[test]
    fn a_store_is_the_same_in_a_small_fleet_and_a_large_one() {
        let (small, large) = (retail().fleet(50), retail().fleet(3000));
        assert_eq!((small.stores.len(), large.stores.len()), (55, 3005));
        assert_eq!(small.stores[..50], large.stores[..50]);
        assert_eq!(small.stores[50..], large.stores[3000..]);
        assert_eq!(large.check(), Ok(()));
    }

    #[test]
    fn shares_are_kept_and_fifty_stores_show_every_kind() {
        let count = |fleet: &FleetSpec, label: &str, value: &str| {
            fleet.stores.iter().filter(|s| s.labels["role"] == "store" && s.labels.get(label).is_some_and(|v| v == value)).count()
        };
        let (fifty, all) = (retail().fleet(50), retail().fleet(3000));
        for (label, value, share) in [("region", "us-east", 45), ("region", "us-west", 25), ("format", "mall", 56), ("ring", "3", 60)] {
            let seen = count(&all, label, value) / 30;
            assert!(seen.abs_diff(share) <= 3, "{value}: {seen} of a hundred instead of {share}");
        }
        for (label, values) in [
            ("region", &["us-east", "us-central", "us-west"][..]),
            ("format", &["flagship", "mall", "outlet", "kiosk"]),
            ("link", &["fiber", "dsl", "lte"]),
            ("ring", &["0", "1", "2", "3"]),
        ] {
            for value in values {
                assert!(count(&fifty, label, value) > 0, "no {value} among fifty");
            }
        }
    }

    #[test]
    fn a_generator_that_draws_what_no_fleet_may_have_is_refused() {
        let problem = Generator::parse("seed: 1\nstores: {prefix: Store-, default: 1, most: 9}").expect_err("refused");
        assert!(problem.contains("\"Store-0001\" is no cluster name"), "{problem}");
        assert!(Generator::parse("seed: 1\nstores: {prefix: s-, default: 1, most: 9, ringz: {}}").is_err());
    }
}
