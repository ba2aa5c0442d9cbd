//! The claims of a cluster that its hub is shown.

use std::collections::BTreeMap;

use api::cluster::{ManagedClusterClaim, claim_name};

/// Custom claims beyond this are not shown, as OCM's `--max-custom-cluster-claims`.
pub const CUSTOM_MAX: usize = 20;

/// Merges what is known of the cluster with its ClusterClaims: reserved names first, then custom ones by name,
/// bounded. A ClusterClaim wins over what we found out. Returns also how many are left out.
pub fn claims(known: &BTreeMap<&'static str, String>, told: &BTreeMap<String, String>) -> (Vec<ManagedClusterClaim>, usize) {
    let claim = |name: &str, value: &str| ManagedClusterClaim { name: name.to_owned(), value: value.to_owned() };
    let reserved = claim_name::RESERVED.iter().filter_map(|name| {
        let value = told.get(*name).or_else(|| known.get(name)).filter(|value| !value.is_empty())?;
        Some(claim(name, value))
    });
    let custom: Vec<_> = told.iter().filter(|(name, value)| !claim_name::RESERVED.contains(&name.as_str()) && !value.is_empty()).collect();
    let left_out = custom.len().saturating_sub(CUSTOM_MAX);
    let shown = reserved.chain(custom.into_iter().take(CUSTOM_MAX).map(|(name, value)| claim(name, value))).collect();
    (shown, left_out)
}

/// Returns where the cluster's machines are, by a node's `spec.providerID`.
pub fn platform(provider_id: &str) -> &'static str {
    match provider_id.split_once("://").map_or("", |(scheme, _)| scheme) {
        "aws" => "AWS",
        "azure" => "Azure",
        "gce" => "GCP",
        "ibm" => "IBM",
        "openstack" => "OpenStack",
        "vsphere" => "VSphere",
        "baremetalhost" => "BareMetal",
        "kind" => "Kind",
        _ => "Other",
    }
}

/// Returns what the cluster is, by its version (`v1.33.1+k3s1`).
pub fn product(version: &str) -> &'static str {
    const MARKS: [(&str, &str); 6] =
        [("+k3s", "K3s"), ("+rke2", "RKE2"), ("-eks-", "EKS"), ("-gke.", "GKE"), ("+IKS", "IKS"), ("+muster", "Muster")];
    MARKS.iter().find(|(mark, _)| version.contains(mark)).map_or("Other", |(_, product)| product)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_claims_come_first_and_custom_ones_are_bounded() {
        let known = BTreeMap::from([
            (claim_name::ID, "uid".to_owned()),
            (claim_name::PLATFORM, "Other".to_owned()),
            (claim_name::PRODUCT, String::new()),
        ]);
        let mut told: BTreeMap<String, String> = (0..25).map(|i| (format!("c{i:02}"), i.to_string())).collect();
        told.insert(claim_name::PLATFORM.into(), "Edge".into());
        let (shown, left_out) = claims(&known, &told);
        let names: Vec<&str> = shown.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names[..3], [claim_name::ID, claim_name::PLATFORM, "c00"]);
        assert_eq!((shown[1].value.as_str(), shown.len(), left_out), ("Edge", 22, 5));
    }

    #[test]
    fn a_cluster_is_known_by_its_version_and_nodes() {
        assert_eq!([product("v1.33.1+k3s1"), product("v1.33.1"), product("v1.33.1-eks-1234")], ["K3s", "Other", "EKS"]);
        assert_eq!([platform("aws:///eu/i-1"), platform(""), platform("kind://docker/a")], ["AWS", "Other", "Kind"]);
    }
}
