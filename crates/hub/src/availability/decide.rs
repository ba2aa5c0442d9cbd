//! Conditions and taints of a cluster, from when it was last heard.

use api::Time;
use api::cluster::{ManagedCluster, Taint, TaintEffect, annotation, condition, reason, taint};
use api::conditions::{self, FALSE, Said, TRUE, UNKNOWN};
use jiff::{SignedDuration, Timestamp};

use super::observe::Observed;

/// Unknown after 5 lease durations, as ocm pkg/registration/hub/lease (leaseDurationTimes).
const LEASE_DURATIONS: i64 = 5;

#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    pub conditions: Vec<Said>,
    /// The taints the cluster should have, if they differ.
    pub taints: Option<Vec<Taint>>,
    pub look_again_at: Option<Timestamp>,
}

pub fn decide(seen: &Observed, now: Timestamp) -> Plan {
    let cluster = &*seen.cluster;
    if cluster.metadata.deletion_timestamp.is_some() {
        return Plan::default();
    }
    let mut plan = Plan::default();
    let mut available = conditions::find(cluster.conditions(), condition::AVAILABLE).map(|c| c.status.as_str());
    // Heartbeats count once the cluster is accepted: before, it has no lease of its own.
    if conditions::is_true(cluster.conditions(), condition::HUB_ACCEPTED)
        && let Some(renewal) = seen.sighting.renewal
    {
        let duration = SignedDuration::from_secs(i64::from(cluster.spec.lease_duration_seconds()));
        // 1. Alive until five lease durations after the last sign of life.
        //    A clock known to be wrong tells nothing after a restart of the hub: count from then.
        let is_clock_wrong = conditions::is_false(cluster.conditions(), condition::CLOCK_SYNCED);
        let told = if is_clock_wrong { seen.hub_started_at } else { renewal.renewed_at.min(now) };
        let last = Some(renewal.seen_at.unwrap_or(told)).max(seen.sighting.reported_at).unwrap_or(told);
        let mut until = last + duration * i32::try_from(LEASE_DURATIONS).unwrap_or(i32::MAX);
        //    While the hub was away nobody could be heard: each gets a lease duration to come back. OCM's hub does not
        //    wait, and an hour of its absence moves what was placed on every cluster.
        if available == Some(TRUE) {
            until = until.max(seen.hub_started_at + duration);
        }
        if until > now {
            plan.look_again_at = Some(until);
        } else if available != Some(UNKNOWN) {
            let text = format!("the agent has neither renewed its lease nor reported anything since {}", whole(last));
            plan.conditions.push(Said::new(condition::AVAILABLE, UNKNOWN, reason::LEASE_UPDATE_STOPPED, text));
            available = Some(UNKNOWN);
        }
        // 2. The clocks agree if a renewal carries about the time at which it is seen.
        if let Some(seen_at) = renewal.seen_at {
            plan.conditions.push(clock(cluster, seen_at.duration_since(renewal.renewed_at), duration));
        }
    }
    // 3. Taints say to placements what the condition says to people.
    plan.taints = taints(cluster, available, now);
    plan
}

fn clock(cluster: &ManagedCluster, skew: SignedDuration, tolerated: SignedDuration) -> Said {
    let annotations = cluster.metadata.annotations.as_ref();
    let is_skipped = annotations.and_then(|a| a.get(annotation::SKIP_CLOCK_SYNC_CHECK)).is_some_and(|v| v == "true");
    if is_skipped {
        return Said::new(condition::CLOCK_SYNCED, TRUE, reason::CLOCK_SYNCED, "the check is switched off by annotation");
    }
    if skew.abs() <= tolerated {
        return Said::new(condition::CLOCK_SYNCED, TRUE, reason::CLOCK_SYNCED, "the clocks of hub and cluster agree");
    }
    // A rough figure, so that jitter does not rewrite the condition every minute.
    let minutes = (skew.as_secs() + 30 * skew.as_secs().signum()) / 60;
    let direction = if minutes < 0 { "ahead of" } else { "behind" };
    let text =
        format!("the cluster's clock is about {} minutes {direction} the hub's: check its time synchronisation", minutes.abs().max(1));
    Said::new(condition::CLOCK_SYNCED, FALSE, reason::CLOCK_OUT_OF_SYNC, text)
}

fn taints(cluster: &ManagedCluster, available: Option<&str>, now: Timestamp) -> Option<Vec<Taint>> {
    let wanted = match available {
        Some(TRUE) => None,
        Some(FALSE) => Some(taint::UNAVAILABLE),
        _ => Some(taint::UNREACHABLE),
    };
    let is_ours = |t: &Taint| t.effect == TaintEffect::NoSelect && matches!(t.key.as_str(), taint::UNAVAILABLE | taint::UNREACHABLE);
    let mut taints: Vec<Taint> = cluster.spec.taints.iter().filter(|t| !is_ours(t) || Some(t.key.as_str()) == wanted).cloned().collect();
    if let Some(key) = wanted
        && !taints.iter().any(|t| is_ours(t) && t.key == key)
    {
        taints.push(Taint { key: key.to_owned(), value: None, effect: TaintEffect::NoSelect, time_added: Some(Time(whole(now))) });
    }
    (taints != cluster.spec.taints).then_some(taints)
}

fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::sightings::{Renewal, Sighting};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn seen(available: Option<&'static str>, taint_keys: &[&str], sighting: Option<(i64, Option<i64>)>) -> Observed {
        let mut cluster = ManagedCluster::new("a", Default::default());
        let all = &mut cluster.status.get_or_insert_default().conditions;
        conditions::set(all, &Said::new(condition::HUB_ACCEPTED, TRUE, "r", ""), at(0));
        if let Some(status) = available {
            conditions::set(all, &Said::new(condition::AVAILABLE, status, "r", ""), at(0));
        }
        cluster.spec.taints = taint_keys.iter().map(|key| Taint { key: (*key).into(), ..Taint::default() }).collect();
        let renewal = sighting.map(|(renewed, seen)| Renewal { renewed_at: at(renewed), seen_at: seen.map(at) });
        Observed { cluster: Arc::new(cluster), sighting: Sighting { renewal, reported_at: None }, hub_started_at: at(1000) }
    }

    fn check(seen: &Observed, now: i64, expect: &str) {
        let plan = decide(seen, at(now));
        let mut words: Vec<String> =
            plan.conditions.iter().map(|c| format!("{}={}", c.type_.trim_start_matches("ManagedClusterCondition"), c.status)).collect();
        words.extend(
            plan.taints.map(|t| {
                format!("taints[{}]", t.iter().map(|t| t.key.rsplit('/').next().unwrap_or_default()).collect::<Vec<_>>().join(","))
            }),
        );
        words.extend(plan.look_again_at.map(|a| format!("again at {}", a.as_second())));
        assert_eq!(words.join(" "), expect);
    }

    #[test]
    fn a_renewed_lease_counts_for_five_durations() {
        check(&seen(Some(TRUE), &[], Some((1000, None))), 1100, "again at 1300");
        check(&seen(Some(TRUE), &[], Some((1000, None))), 1300, "Available=Unknown taints[unreachable]");
        check(&seen(Some(UNKNOWN), &[taint::UNREACHABLE], Some((1000, None))), 1400, "");
        check(&seen(Some(TRUE), &[taint::UNREACHABLE, "x"], Some((1000, Some(1000)))), 1100, "ClockSynced=True taints[x] again at 1300");
    }

    #[test]
    fn the_hubs_own_absence_is_not_held_against_a_cluster() {
        check(&seen(Some(TRUE), &[], Some((100, None))), 1001, "again at 1060");
        check(&seen(Some(TRUE), &[], Some((100, None))), 1060, "Available=Unknown taints[unreachable]");
        check(&seen(Some(UNKNOWN), &[taint::UNREACHABLE], Some((100, None))), 1001, "");
    }

    #[test]
    fn what_comes_on_the_report_stream_counts_as_much() {
        let reported = |available, taint_keys: &[&str], sighting, reported_at| {
            let mut seen = seen(available, taint_keys, sighting);
            seen.sighting.reported_at = Some(at(reported_at));
            seen
        };
        // The hub was away for long and came back: the stream is there before the next renewal.
        check(&reported(Some(TRUE), &[], Some((5, None)), 1001), 1002, "again at 1301");
        check(&reported(Some(TRUE), &[], Some((5, None)), 1001), 1301, "Available=Unknown taints[unreachable]");
        check(&reported(Some(TRUE), &[], Some((1200, None)), 1001), 1202, "again at 1500");
        // Only the agent takes an Unknown back.
        check(&reported(Some(UNKNOWN), &[taint::UNREACHABLE], Some((5, None)), 1001), 1002, "again at 1301");
    }

    #[test]
    fn a_wrong_clock_is_shown_and_does_not_kill() {
        check(&seen(Some(TRUE), &[], Some((1000, Some(90_000)))), 90_010, "ClockSynced=False again at 90300");
        check(&seen(Some(TRUE), &[], Some((99_000, Some(1000)))), 1010, "ClockSynced=False again at 1300");
        // After a restart of the hub a lease from the future counts from now.
        check(&seen(Some(TRUE), &[], Some((99_000, None))), 1000, "again at 1300");
    }

    #[test]
    fn a_clock_known_to_be_wrong_counts_from_the_start_of_the_hub() {
        let mut seen = seen(Some(TRUE), &[], Some((5, None)));
        check(&seen, 1070, "Available=Unknown taints[unreachable]");
        let all = &mut Arc::make_mut(&mut seen.cluster).status.get_or_insert_default().conditions;
        conditions::set(all, &Said::new(condition::CLOCK_SYNCED, FALSE, "r", ""), at(0));
        check(&seen, 1070, "again at 1300");
    }

    #[test]
    fn taints_follow_the_condition() {
        check(&seen(None, &[], None), 10, "taints[unreachable]");
        check(&seen(Some(FALSE), &[taint::UNREACHABLE], Some((5, None))), 10, "taints[unavailable] again at 305");
        check(&seen(Some(TRUE), &[taint::UNAVAILABLE], Some((5, None))), 10, "taints[] again at 1060");
    }
}
