//! Whether an object is healthy, by Argo CD's rules (`gitops-engine/pkg/health`), one file per kind.
//!
//! `None` means that the kind has no health: it never worsens an application. Messages are ours.

mod api_service;
mod cron_job;
mod custom_resource_definition;
mod daemon_set;
mod deployment;
mod horizontal_pod_autoscaler;
mod job;
mod load_balancer;
mod persistent_volume_claim;
mod pod;
mod replica_set;
mod stateful_set;
mod workflow;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{group_of, items, kind_of, number};

/// How an object is, from best to worst: of several the greatest is the whole's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HealthStatus {
    Healthy,
    Suspended,
    Progressing,
    Missing,
    Degraded,
    Unknown,
}

impl HealthStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Suspended => "Suspended",
            Self::Progressing => "Progressing",
            Self::Missing => "Missing",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an object is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub status: HealthStatus,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Health {
    pub fn new(status: HealthStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

// What the rules say most, in their words.
fn healthy(message: impl Into<String>) -> Health {
    Health::new(HealthStatus::Healthy, message)
}
fn progressing(message: impl Into<String>) -> Health {
    Health::new(HealthStatus::Progressing, message)
}
fn degraded(message: impl Into<String>) -> Health {
    Health::new(HealthStatus::Degraded, message)
}
fn suspended(message: impl Into<String>) -> Health {
    Health::new(HealthStatus::Suspended, message)
}
fn unknown(message: impl Into<String>) -> Health {
    Health::new(HealthStatus::Unknown, message)
}

/// Finalizer of a hook that a running sync still needs.
pub const HOOK_FINALIZER: &str = "argocd.argoproj.io/hook-finalizer";

/// Returns the health of a live object, or nothing for a kind that has none.
pub fn health(object: &Value) -> Option<Health> {
    let is_held_by_sync = items(object, "/metadata/finalizers").iter().any(|f| f == HOOK_FINALIZER);
    if !object["metadata"]["deletionTimestamp"].is_null() && !is_held_by_sync {
        return Some(progressing("pending deletion"));
    }
    let found = match (group_of(object), kind_of(object)) {
        ("apps" | "extensions", "Deployment") => deployment::health(object),
        ("apps", "StatefulSet") => stateful_set::health(object),
        ("apps" | "extensions", "DaemonSet") => daemon_set::health(object),
        ("apps" | "extensions", "ReplicaSet") => replica_set::health(object),
        ("", "Pod") => pod::health(object),
        ("batch", "Job") => job::health(object),
        ("batch", "CronJob") => cron_job::health(object),
        ("", "Service") => load_balancer::service(object),
        ("networking.k8s.io" | "extensions", "Ingress") => load_balancer::ingress(object),
        ("", "PersistentVolumeClaim") => persistent_volume_claim::health(object),
        ("autoscaling", "HorizontalPodAutoscaler") => horizontal_pod_autoscaler::health(object),
        ("apiregistration.k8s.io", "APIService") => api_service::health(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => custom_resource_definition::health(object),
        ("argoproj.io", "Workflow") => workflow::health(object),
        _ => return None,
    };
    Some(found)
}

/// Returns whether a kind has health that its metadata alone does not tell.
pub fn has_rule(group: &str, kind: &str) -> bool {
    let probe = serde_json::json!({"apiVersion": format!("{group}{}v1", if group.is_empty() { "" } else { "/" }), "kind": kind});
    health(&probe).is_some()
}

/// Returns whether the controller has not yet seen the latest spec.
fn is_stale(object: &Value) -> bool {
    number(object, "/metadata/generation") > number(object, "/status/observedGeneration")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the health of the object in `yaml`: `Healthy`, `Degraded: message`, or `none`.
    #[track_caller]
    pub fn check(yaml: &str, expect: &str) {
        let object: Value = serde_saphyr::from_str(yaml).expect("the test's YAML");
        let found = match health(&object) {
            None => "none".to_owned(),
            Some(Health { status, message }) if message.is_empty() => status.to_string(),
            Some(Health { status, message }) => format!("{status}: {message}"),
        };
        assert_eq!(found, expect, "of\n{yaml}");
    }

    #[test]
    fn a_kind_with_a_rule_is_known_by_name() {
        assert!(has_rule("apps", "Deployment") && has_rule("", "Pod"));
        assert!(!has_rule("", "ConfigMap") && !has_rule("example.com", "Deployment"));
    }

    #[test]
    fn worst_wins_by_order() {
        use HealthStatus::*;
        assert!(Healthy < Suspended && Suspended < Progressing && Progressing < Missing && Missing < Degraded && Degraded < Unknown);
    }

    #[test]
    fn kinds_without_a_rule_have_no_health_and_what_is_being_deleted_is_progressing() {
        check("{apiVersion: v1, kind: ConfigMap}", "none");
        check("{apiVersion: argoproj.io/v1alpha1, kind: Application}", "none");
        check("{apiVersion: example.com/v1, kind: Deployment}", "none");
        check("{apiVersion: v1, kind: ConfigMap, metadata: {deletionTimestamp: '2026-01-01T00:00:00Z'}}", "Progressing: pending deletion");
        check(
            "{apiVersion: v1, kind: ConfigMap, metadata: {deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [argocd.argoproj.io/hook-finalizer]}}",
            "none",
        );
    }
}
