//! The kinds that a simulated cluster's controllers watch and write, and where the API serves them.

/// A kind with a controller here, or one that a controller writes; in the order in which their objects are looked at when many
/// changed at once. Parts come before the whole, so that what befell ten pods is one status of their ReplicaSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Node,
    ConfigMap,
    PersistentVolumeClaim,
    PersistentVolume,
    Pod,
    ControllerRevision,
    ReplicaSet,
    StatefulSet,
    DaemonSet,
    Job,
    CronJob,
    Deployment,
    HorizontalPodAutoscaler,
    Service,
    EndpointSlice,
    Ingress,
    Lease,
    Event,
}

impl Kind {
    /// Kind, group and version, plural.
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Node => ("Node", "v1", "nodes"),
            Self::ConfigMap => ("ConfigMap", "v1", "configmaps"),
            Self::PersistentVolumeClaim => ("PersistentVolumeClaim", "v1", "persistentvolumeclaims"),
            Self::PersistentVolume => ("PersistentVolume", "v1", "persistentvolumes"),
            Self::Service => ("Service", "v1", "services"),
            Self::EndpointSlice => ("EndpointSlice", "discovery.k8s.io/v1", "endpointslices"),
            Self::ControllerRevision => ("ControllerRevision", "apps/v1", "controllerrevisions"),
            Self::Deployment => ("Deployment", "apps/v1", "deployments"),
            Self::ReplicaSet => ("ReplicaSet", "apps/v1", "replicasets"),
            Self::StatefulSet => ("StatefulSet", "apps/v1", "statefulsets"),
            Self::DaemonSet => ("DaemonSet", "apps/v1", "daemonsets"),
            Self::HorizontalPodAutoscaler => ("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers"),
            Self::Ingress => ("Ingress", "networking.k8s.io/v1", "ingresses"),
            Self::CronJob => ("CronJob", "batch/v1", "cronjobs"),
            Self::Job => ("Job", "batch/v1", "jobs"),
            Self::Pod => ("Pod", "v1", "pods"),
            Self::Lease => ("Lease", "coordination.k8s.io/v1", "leases"),
            Self::Event => ("Event", "v1", "events"),
        }
    }

    pub fn name(self) -> &'static str {
        self.row().0
    }

    pub fn api_version(self) -> &'static str {
        self.row().1
    }

    /// Returns the path of a collection; an empty namespace is all namespaces, or none.
    pub fn path(self, namespace: &str) -> String {
        let (_, api_version, plural) = self.row();
        let root = if api_version.contains('/') { "/apis" } else { "/api" };
        if namespace.is_empty() {
            format!("{root}/{api_version}/{plural}")
        } else {
            format!("{root}/{api_version}/namespaces/{namespace}/{plural}")
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
