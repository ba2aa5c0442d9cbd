//! What goes next.

use api::cluster::{condition, finalizer, reason};
use api::conditions::{FALSE, Said, TRUE};

use super::observe::{Left, Observed};

#[derive(Debug, PartialEq)]
pub enum Plan {
    Nothing,
    AddFinalizer,
    /// Delete these, say what remains, look again.
    Delete {
        addons: Vec<String>,
        works: Vec<String>,
        said: Said,
    },
    /// Take the rights and the finalizers.
    Finish {
        said: Said,
    },
}

pub fn decide(seen: &Observed) -> Plan {
    let finalizers = seen.cluster.metadata.finalizers.as_deref().unwrap_or_default();
    let has = |name: &str| finalizers.iter().any(|f| f == name);
    // 1. A living cluster only has to carry the finalizer.
    if seen.cluster.metadata.deletion_timestamp.is_none() {
        return if has(finalizer::RESOURCE_CLEANUP) { Plan::Nothing } else { Plan::AddFinalizer };
    }
    if !has(finalizer::RESOURCE_CLEANUP) && !has(finalizer::API_RESOURCE_CLEANUP) {
        return Plan::Nothing;
    }
    // 2. Add-ons of the lowest priority first, works when no add-on is left.
    let remaining: Vec<String> = seen
        .addons
        .iter()
        .map(|l| format!("managedclusteraddons/{}", l.name))
        .chain(seen.works.iter().map(|l| format!("manifestworks/{}", l.name)))
        .collect();
    if remaining.is_empty() {
        // 3. Nothing left: the rights go, and the cluster.
        return Plan::Finish { said: Said::new(condition::DELETING, FALSE, reason::NO_RESOURCE, "no add-ons and no works are left") };
    }
    let shown = remaining.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    let text =
        format!("{} objects remain in namespace {}: {shown}", remaining.len(), seen.cluster.metadata.name.as_deref().unwrap_or_default());
    Plan::Delete {
        addons: next(&seen.addons),
        works: if seen.addons.is_empty() { next(&seen.works) } else { Vec::new() },
        said: Said::new(condition::DELETING, TRUE, reason::RESOURCE_REMAINING, text),
    }
}

/// Returns those of the lowest priority that are not going yet.
fn next(left: &[Left]) -> Vec<String> {
    let lowest = left.iter().map(|l| l.priority).min();
    left.iter().filter(|l| Some(l.priority) == lowest && !l.is_going).map(|l| l.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::Time;
    use api::cluster::ManagedCluster;

    use super::*;

    fn left(name: &str, priority: i16, is_going: bool) -> Left {
        Left { priority, name: name.into(), is_going }
    }

    fn seen(addons: Vec<Left>, works: Vec<Left>) -> Observed {
        let mut cluster = ManagedCluster::new("a", Default::default());
        cluster.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        cluster.metadata.finalizers = Some(vec![finalizer::RESOURCE_CLEANUP.into()]);
        Observed { cluster: Arc::new(cluster), addons, works }
    }

    fn check(seen: &Observed, expect: &str) {
        let text = match decide(seen) {
            Plan::Nothing => "nothing".to_owned(),
            Plan::AddFinalizer => "finalizer".to_owned(),
            Plan::Delete { addons, works, .. } => format!("delete {} | {}", addons.join(","), works.join(",")),
            Plan::Finish { .. } => "finish".to_owned(),
        };
        assert_eq!(text, expect);
    }

    #[test]
    fn addons_go_before_works_and_low_priorities_first() {
        check(&seen(vec![left("x", 5, false), left("y", -1, false)], vec![left("w", -1, false)]), "delete y | ");
        check(&seen(vec![left("x", 5, true)], vec![left("w", -1, false)]), "delete  | ");
        check(&seen(vec![], vec![left("w", 3, false), left("v", 3, true), left("u", 9, false)]), "delete  | w");
        check(&seen(vec![], vec![]), "finish");
    }

    #[test]
    fn a_living_cluster_gets_the_finalizer_once() {
        let mut seen = seen(vec![], vec![]);
        Arc::make_mut(&mut seen.cluster).metadata.deletion_timestamp = None;
        check(&seen, "nothing");
        Arc::make_mut(&mut seen.cluster).metadata.finalizers = None;
        check(&seen, "finalizer");
    }
}
