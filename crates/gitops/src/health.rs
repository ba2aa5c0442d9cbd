//! The Application's health: its worst resource's.

use kinds::{Health, HealthStatus};

use crate::compare::Comparison;

/// Returns the whole's health. A missing resource only counts if all are missing (as Argo CD since 3.4).
pub(crate) fn roll_up(comparison: &Comparison) -> Health {
    let counted: Vec<_> = comparison.resources.iter().filter(|r| r.health_counts).collect();
    let missing = |r: &&&crate::Resource| r.health.as_ref().is_some_and(|h| h.status == HealthStatus::Missing);
    if !counted.is_empty() && counted.iter().all(|r| missing(&r)) {
        return Health::new(HealthStatus::Missing, "none of its resources is on the cluster");
    }
    let judged = counted.iter().filter(|r| !missing(r)).filter_map(|r| Some((&r.key, r.health.as_ref()?)));
    let worst = judged.max_by(|a, b| a.1.status.cmp(&b.1.status).then_with(|| b.0.cmp(a.0)));
    match worst {
        None => Health::new(HealthStatus::Healthy, ""),
        Some((_, health)) if health.status == HealthStatus::Healthy => Health::new(HealthStatus::Healthy, ""),
        Some((key, health)) if health.message.is_empty() => Health::new(health.status, key.to_string()),
        Some((key, health)) => Health::new(health.status, format!("{key}: {}", health.message)),
    }
}
