//! What the controllers of a simulated cluster know of its objects: slim, owned, plain data.
//!
//! A simulator of thousands of clusters cannot keep whole objects: each type here has only the fields
//! that some decision reads; everything else of the wire format is skipped while it is parsed. Parts
//! that are only passed on (pod templates, statuses to compare with) are kept as one canonical text.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// JSON as one shared text with sorted keys; empty for "not there".
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Json(Option<Arc<str>>);

impl Json {
    pub fn of(value: &Value) -> Self {
        Self(if value.is_null() { None } else { Some(value.to_string().into()) })
    }

    pub fn text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Returns the value; null if it is not there.
    pub fn value(&self) -> Value {
        self.0.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
    }

    /// Returns the text as a typed value, its default if it is not there or not of that shape.
    pub fn parse<T: DeserializeOwned + Default>(&self) -> T {
        self.0.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&Value::deserialize(deserializer)?))
    }
}

/// What a decision reads of `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    pub name: String,
    pub namespace: String,
    pub uid: String,
    pub resource_version: String,
    pub generation: i64,
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "short_annotations")]
    pub annotations: BTreeMap<String, String>,
    pub owner_references: Vec<OwnerReference>,
    pub creation_timestamp: Option<Timestamp>,
    pub deletion_timestamp: Option<Timestamp>,
    pub deletion_grace_period_seconds: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub controller: bool,
}

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Reads annotations without the copy of the whole object that `kubectl apply` leaves there.
fn short_annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let mut annotations = Option::<BTreeMap<String, String>>::deserialize(deserializer)?.unwrap_or_default();
    annotations.remove(LAST_APPLIED);
    Ok(annotations)
}

impl Meta {
    /// Returns the reference to the object's controller.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    pub fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|owner| owner.uid == uid)
    }

    pub fn is_being_deleted(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    pub fn created_at(&self) -> Timestamp {
        self.creation_timestamp.unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Returns the reference that makes an object of this kind and name the controller of another.
    pub fn owner_reference(&self, api_version: &str, kind: &str) -> Value {
        json!({
            "apiVersion": api_version, "kind": kind, "name": self.name, "uid": self.uid,
            "controller": true, "blockOwnerDeletion": true,
        })
    }
}

/// An absolute number or a percentage, as `maxSurge`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum IntOrPercent {
    Int(i64),
    Text(String),
}

impl IntOrPercent {
    /// Returns the number that this is of `total`.
    pub fn of(&self, total: i64, round_up: bool) -> i64 {
        match self {
            Self::Int(n) => *n,
            Self::Text(text) => match text.strip_suffix('%') {
                Some(percent) => {
                    let scaled = percent.trim().parse::<i64>().unwrap_or(0) * total;
                    if round_up { (scaled + 99) / 100 } else { scaled / 100 }
                }
                None => text.parse().unwrap_or(0),
            },
        }
    }
}

/// A label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    pub match_labels: BTreeMap<String, String>,
}

/// Says which fields of a kind's `spec` are kept.
macro_rules! slim {
    ($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name { $($(#[$attr])* pub $field: $ty),* }
    };
}

slim!(Deployment { metadata: Meta, spec: DeploymentSpec, status: Json });
slim!(DeploymentSpec {
    replicas: Option<i64>,
    selector: Json,
    template: Json,
    strategy: DeploymentStrategy,
    min_ready_seconds: i64,
    revision_history_limit: Option<i64>,
    paused: bool,
    progress_deadline_seconds: Option<i64>,
});
slim!(DeploymentStrategy {
    #[serde(rename = "type")]
    kind: String,
    rolling_update: RollingUpdate,
});
slim!(RollingUpdate { max_surge: Option<IntOrPercent>, max_unavailable: Option<IntOrPercent>, partition: i64 });

slim!(ReplicaSet { metadata: Meta, spec: ReplicaSetSpec, status: ReplicaSetStatus });
slim!(ReplicaSetSpec { replicas: Option<i64>, selector: Selector, template: Json, min_ready_seconds: i64 });
slim!(ReplicaSetStatus {
    replicas: i64,
    fully_labeled_replicas: i64,
    ready_replicas: i64,
    available_replicas: i64,
    observed_generation: i64
});

slim!(StatefulSet { metadata: Meta, spec: StatefulSetSpec, status: Json });
slim!(StatefulSetSpec {
    replicas: Option<i64>,
    service_name: String,
    selector: Selector,
    template: Json,
    volume_claim_templates: Vec<Json>,
    pod_management_policy: String,
    update_strategy: DeploymentStrategy,
    min_ready_seconds: i64,
    revision_history_limit: Option<i64>,
    ordinals: Ordinals,
    persistent_volume_claim_retention_policy: RetentionPolicy,
});
slim!(Ordinals { start: i64 });
slim!(RetentionPolicy { when_deleted: String, when_scaled: String });

slim!(DaemonSet { metadata: Meta, spec: DaemonSetSpec, status: Json });
slim!(DaemonSetSpec {
    selector: Selector,
    template: Json,
    update_strategy: DeploymentStrategy,
    min_ready_seconds: i64,
    revision_history_limit: Option<i64>,
});

slim!(
    /// A remembered template of a StatefulSet or DaemonSet.
    ControllerRevision { metadata: Meta, data: Json, revision: i64 }
);

slim!(Job { metadata: Meta, spec: JobSpec, status: Json });
slim!(JobSpec {
    parallelism: Option<i64>,
    completions: Option<i64>,
    backoff_limit: Option<i64>,
    active_deadline_seconds: Option<i64>,
    ttl_seconds_after_finished: Option<i64>,
    completion_mode: String,
    suspend: bool,
    selector: Option<Selector>,
    template: Json,
});

slim!(CronJob { metadata: Meta, spec: CronJobSpec, status: Json });
slim!(CronJobSpec {
    schedule: String,
    time_zone: Option<String>,
    starting_deadline_seconds: Option<i64>,
    concurrency_policy: String,
    suspend: bool,
    job_template: Json,
    successful_jobs_history_limit: Option<i64>,
    failed_jobs_history_limit: Option<i64>,
});

slim!(Pod { metadata: Meta, spec: PodSpec, status: PodStatus });
slim!(PodSpec {
    node_name: String,
    node_selector: BTreeMap<String, String>,
    affinity: Json,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    restart_policy: String,
    termination_grace_period_seconds: Option<i64>,
    active_deadline_seconds: Option<i64>,
    volumes: Vec<Volume>,
    host_network: bool,
    scheduling_gates: Vec<Json>,
});
slim!(Container {
    name: String,
    image: String,
    restart_policy: String,
    readiness_probe: Option<Probe>,
    startup_probe: Option<Probe>,
    resources: Resources,
});
slim!(Probe { initial_delay_seconds: i64 });
slim!(Resources { requests: Requests });
slim!(Requests { cpu: Option<String>, memory: Option<String> });
slim!(Volume { persistent_volume_claim: Option<ClaimSource> });
slim!(ClaimSource { claim_name: String });

/// What controllers read of a pod's status, and the whole of it as text for the kubelet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodStatus {
    pub phase: String,
    pub pod_ip: String,
    pub ready: bool,
    /// Since when the pod is ready.
    pub ready_since: Option<Timestamp>,
    pub restarts: i64,
    /// When the last container ended.
    pub finished_at: Option<Timestamp>,
    pub json: Json,
}

impl<'de> Deserialize<'de> for PodStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::of(&Value::deserialize(deserializer)?))
    }
}

impl PodStatus {
    pub fn of(status: &Value) -> Self {
        let text = |name: &str| status[name].as_str().unwrap_or_default().to_owned();
        let time = |value: &Value| value.as_str().and_then(|t| t.parse::<Timestamp>().ok());
        let ready = list(&status["conditions"]).iter().find(|c| c["type"] == "Ready" && c["status"] == "True");
        let containers = list(&status["containerStatuses"]);
        Self {
            phase: text("phase"),
            pod_ip: text("podIP"),
            ready: ready.is_some(),
            ready_since: ready.and_then(|c| time(&c["lastTransitionTime"])),
            restarts: containers.iter().filter_map(|c| c["restartCount"].as_i64()).sum(),
            finished_at: containers.iter().filter_map(|c| time(&c["state"]["terminated"]["finishedAt"])).max(),
            json: Json::of(status),
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

impl Pod {
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// Returns whether controllers count the pod as one of theirs.
    pub fn is_active(&self) -> bool {
        !self.is_finished() && !self.metadata.is_being_deleted()
    }

    /// Returns since when the pod is available: ready for `min_ready_seconds`.
    pub fn available_at(&self, min_ready_seconds: i64) -> Option<Timestamp> {
        let since = self.status.ready_since.filter(|_| self.status.ready)?;
        Some(since + jiff::SignedDuration::from_secs(min_ready_seconds))
    }
}

slim!(Service { metadata: Meta, spec: ServiceSpec, status: Json });
slim!(ServiceSpec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    selector: BTreeMap<String, String>,
    ports: Vec<ServicePort>,
    publish_not_ready_addresses: bool,
});
slim!(ServicePort { name: Option<String>, protocol: Option<String>, port: i64, target_port: Option<IntOrPercent>, node_port: i64 });
slim!(EndpointSlice { metadata: Meta, endpoints: Json, ports: Json });

slim!(Ingress { metadata: Meta, spec: IngressSpec, status: Json });
slim!(IngressSpec { ingress_class_name: Option<String> });

slim!(HorizontalPodAutoscaler { metadata: Meta, spec: AutoscalerSpec, status: Json });
slim!(AutoscalerSpec { min_replicas: Option<i64>, max_replicas: i64, scale_target_ref: ScaleTarget });
slim!(ScaleTarget { kind: String, name: String });

slim!(PersistentVolumeClaim { metadata: Meta, spec: ClaimSpec, status: Json });
slim!(ClaimSpec { volume_name: String, storage_class_name: Option<String>, access_modes: Vec<String>, resources: Json });

slim!(Node { metadata: Meta, spec: NodeSpec, status: Json });
slim!(NodeSpec { unschedulable: bool });

slim!(ConfigMap { metadata: Meta, data: BTreeMap<String, String> });
