//! What a set and a binding should be and say.

use api::LabelSelector;
use api::cluster::{
    DEFAULT_SET, GLOBAL_SET, ManagedClusterSelector, ManagedClusterSetBinding, SelectorType, annotation, set_condition as said,
};
use api::conditions::{FALSE, Said, TRUE};

use super::observe::Observed;

#[derive(Debug, PartialEq)]
pub enum SetPlan {
    Nothing,
    /// A built-in set is gone or selects other clusters than it should.
    Restore(ManagedClusterSelector),
    Say(Said),
}

/// Returns the selector a built-in set must have.
pub fn builtin_selector(set: &str) -> Option<ManagedClusterSelector> {
    match set {
        DEFAULT_SET => Some(ManagedClusterSelector { selector_type: SelectorType::ExclusiveClusterSetLabel, label_selector: None }),
        GLOBAL_SET => {
            Some(ManagedClusterSelector { selector_type: SelectorType::LabelSelector, label_selector: Some(LabelSelector::default()) })
        }
        _ => None,
    }
}

pub fn decide_set(name: &str, seen: &Observed) -> SetPlan {
    let builtin = builtin_selector(name);
    let Some(set) = seen.set.as_deref() else { return builtin.map_or(SetPlan::Nothing, SetPlan::Restore) };
    if set.metadata.deletion_timestamp.is_some() {
        return SetPlan::Nothing;
    }
    let is_left_alone = set.metadata.annotations.as_ref().and_then(|a| a.get(annotation::AUTO_UPDATE)).is_some_and(|v| v == "false");
    if let Some(wanted) = builtin
        && !is_left_alone
        && set.spec.cluster_selector.as_ref().is_none_or(|found| !is_same(found, &wanted))
    {
        return SetPlan::Restore(wanted);
    }
    let condition = match seen.clusters_count {
        0 => Said::new(said::EMPTY, TRUE, said::NO_CLUSTER_MATCHED, "No ManagedCluster selected"),
        // As Open Cluster Management words it: tools parse the number.
        count => Said::new(said::EMPTY, FALSE, said::CLUSTERS_SELECTED, format!("{count} ManagedClusters selected")),
    };
    SetPlan::Say(condition)
}

fn is_same(a: &ManagedClusterSelector, b: &ManagedClusterSelector) -> bool {
    let plain = |s: &ManagedClusterSelector| {
        let selector = s.label_selector.clone().unwrap_or_default();
        (selector.match_labels.unwrap_or_default(), selector.match_expressions.unwrap_or_default())
    };
    a.selector_type == b.selector_type && plain(a) == plain(b)
}

pub fn bound(binding: &ManagedClusterSetBinding, has_set: bool) -> Said {
    let set = &binding.spec.cluster_set;
    let condition = if has_set {
        Said::new(said::BOUND, TRUE, said::CLUSTER_SET_BOUND, "")
    } else {
        Said::new(said::BOUND, FALSE, said::CLUSTER_SET_NOT_FOUND, format!("there is no ManagedClusterSet {set}"))
    };
    condition.at_generation(binding.metadata.generation)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::cluster::{ManagedClusterSet, ManagedClusterSetSpec};

    use super::*;

    fn seen(name: &str, selector: Option<ManagedClusterSelector>, clusters_count: usize) -> Observed {
        let set = ManagedClusterSet::new(name, ManagedClusterSetSpec { cluster_selector: selector, ..Default::default() });
        Observed { set: Some(Arc::new(set)), clusters_count }
    }

    #[test]
    fn built_in_sets_are_restored() {
        let none = Observed { set: None, clusters_count: 0 };
        assert_eq!(decide_set("mine", &none), SetPlan::Nothing);
        assert!(matches!(decide_set("global", &none), SetPlan::Restore(_)));
        assert!(matches!(decide_set("global", &seen("global", Some(Default::default()), 0)), SetPlan::Restore(_)));
        assert!(matches!(decide_set("global", &seen("global", builtin_selector("global"), 0)), SetPlan::Say(_)));
        let mut mine = seen("default", builtin_selector("global"), 3);
        Arc::make_mut(mine.set.as_mut().expect("a set")).metadata.annotations =
            Some([(annotation::AUTO_UPDATE.into(), "false".into())].into());
        assert!(matches!(decide_set("default", &mine), SetPlan::Say(_)));
    }

    #[test]
    fn an_empty_set_says_so() {
        let SetPlan::Say(said) = decide_set("mine", &seen("mine", None, 2)) else { panic!("nothing said") };
        assert_eq!((said.status, said.reason, said.message.as_str()), (FALSE, "ClustersSelected", "2 ManagedClusters selected"));
        let SetPlan::Say(said) = decide_set("mine", &seen("mine", None, 0)) else { panic!("nothing said") };
        assert_eq!((said.status, said.reason), (TRUE, "NoClusterMatched"));
    }
}
