//! One served kind: everything about it that is not its schema.

use std::sync::Arc;

use apimachinery::schema::Schema;

/// A served kind in one version.
#[derive(Clone, Debug)]
pub struct BuiltinResource {
    pub row: &'static Row,
    pub schema: Arc<Schema>,
    /// Name of the definition (`io.k8s.api.apps.v1.Deployment`), for OpenAPI.
    pub definition: &'static str,
}

/// The facts of a served kind. `columns`, `subresources` and so on have the meaning of the fields of
/// the same names of the API server's table of resources.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Empty for the core group.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    /// The plural name in paths.
    pub resource: &'static str,
    pub singular: &'static str,
    pub short_names: &'static [&'static str],
    pub categories: &'static [&'static str],
    pub namespaced: bool,
    pub verbs: &'static [&'static str],
    pub status_subresource: bool,
    pub scale: Option<ScalePaths>,
    pub subresources: &'static [Subresource],
    pub columns: &'static [Column],
    /// The version objects are stored in.
    pub storage_version: &'static str,
    /// Group whose objects these are: events of `events.k8s.io` are those of the core group.
    pub storage_group: &'static str,
    /// Nothing is stored: an object is a question, answered at once.
    pub is_virtual: bool,
    /// Field selectors beside `metadata.name` and `metadata.namespace`.
    pub selectable_fields: &'static [&'static str],
    /// A warning sent with every answer.
    pub deprecation: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
pub struct Subresource {
    pub name: &'static str,
    /// Group, version and kind of the body.
    pub body: (&'static str, &'static str, &'static str),
    pub verbs: &'static [&'static str],
}

#[derive(Clone, Copy, Debug)]
pub struct ScalePaths {
    pub spec_replicas: &'static str,
    pub status_replicas: &'static str,
    /// Path of a selector, as text or as a `LabelSelector`.
    pub label_selector: Option<&'static str>,
}

/// A column of `kubectl get`.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub name: &'static str,
    /// `string`, `integer`, `date`.
    pub ty: &'static str,
    pub format: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
    /// JSONPath (`.spec.replicas`) or a function of [`COLUMN_FUNCTIONS`] (`fn:pod-ready`).
    pub path: &'static str,
}

/// Functions that columns name, and what each computes from an object.
pub const COLUMN_FUNCTIONS: &[(&str, &str)] = &[
    ("age", "time since metadata.creationTimestamp, as 5m, 3h or 12d; <unknown> without"),
    ("apiservice-available", "status of condition Available, with its reason in brackets unless True"),
    ("apiservice-target", "Local without spec.service, else namespace/name"),
    ("container-images", "images of spec.template.spec.containers (spec.jobTemplate, template), joined by commas"),
    ("container-names", "names of the same containers, joined by commas"),
    ("controller", "kind/name of the controlling owner, with the kind's group; <none> without"),
    ("cronjob-last-schedule", "time since status.lastScheduleTime; <none> without"),
    ("csidriver-modes", "spec.volumeLifecycleModes joined by commas; Persistent without"),
    ("csidriver-tokens", "audiences of spec.tokenRequests joined by commas; <unset> without"),
    ("csr-condition", "Pending, or Approved, Denied, Failed as conditions say; ,Issued once there is a certificate"),
    ("csr-duration", "spec.expirationSeconds as a duration; <none> without"),
    ("data-count", "number of keys of data and binaryData"),
    ("deployment-ready", "status.readyReplicas/spec.replicas"),
    ("endpoints", "address:port of ready endpoints, three of them, then + N more...; <none> without"),
    ("endpointslice-endpoints", "addresses of endpoints, three of them, then + N more...; <unset> without"),
    ("endpointslice-ports", "ports, three of them, then + N more...; * for all, <unset> without"),
    ("event-count", "series.count, count or 1"),
    ("event-first-seen", "time since firstTimestamp or eventTime"),
    ("event-last-seen", "time since series.lastObservedTime, lastTimestamp or eventTime"),
    ("event-message", "message or note, without surrounding space"),
    ("event-object", "kind/name of the object concerned, the kind in lower case"),
    ("event-source", "component and host of the source, joined by comma and space"),
    ("event-subobject", "fieldPath of the object concerned"),
    ("hpa-reference", "kind/name of spec.scaleTargetRef"),
    ("hpa-targets", "current/target of each metric; <unknown> where not measured, <none> without metrics"),
    ("ingress-address", "IPs and host names of status.loadBalancer.ingress, joined by commas"),
    ("ingress-hosts", "hosts of spec.rules, three of them, then + N more...; * for none"),
    ("ingress-ports", "80, or 80, 443 with spec.tls"),
    ("ingressclass-parameters", "kind.group/name of spec.parameters; <none> without"),
    ("job-completions", "status.succeeded/spec.completions; N/1 of M where work is shared out"),
    ("job-duration", "from status.startTime to status.completionTime or now"),
    ("job-status", "Complete, Failed, Suspended, FailureTarget, SuccessCriteriaMet, Terminating or Running"),
    ("element-count", "number of elements of .secrets, .webhooks, .spec.drivers, .spec.validations or .status.active, by kind"),
    ("label-selector", "the object's selector (spec.selector, spec.podSelector) as text; <none> for all"),
    ("node-external-ip", "first address of type ExternalIP; <none> without"),
    ("node-internal-ip", "first address of type InternalIP; <none> without"),
    ("node-roles", "names after node-role.kubernetes.io/, sorted, joined by commas; <none> without"),
    ("node-selector", "spec.template.spec.nodeSelector as text; <none> without"),
    ("node-status", "Ready, NotReady or Unknown; ,SchedulingDisabled for spec.unschedulable"),
    ("pod-labels", "template.metadata.labels as text; <none> without"),
    ("pod-nominated-node", "status.nominatedNodeName; <none> without"),
    ("pod-node", "spec.nodeName; <none> without"),
    ("pod-ip", "first of status.podIPs, or status.podIP; <none> without"),
    ("pod-readiness-gates", "met/all of spec.readinessGates; <none> without"),
    ("pod-ready", "ready/all containers, restartable init containers included"),
    ("pod-restarts", "restarts of the containers; (5m ago) after the last of them"),
    ("pod-status", "phase, or the reason that matters more (CrashLoopBackOff, Completed, Init:1/2, Terminating)"),
    ("policybinding-param-ref", "namespace/name of spec.paramRef, * for any; <unset> without"),
    ("policy-param-kind", "apiVersion/kind of spec.paramKind; <unset> without"),
    ("pdb-max-unavailable", "spec.maxUnavailable; N/A without"),
    ("pdb-min-available", "spec.minAvailable; N/A without"),
    ("pv-access-modes", "RWO, ROX, RWX, RWOP joined by commas, of spec or of status where bound"),
    ("pv-claim", "namespace/name of spec.claimRef"),
    ("pvc-capacity", "status.capacity.storage once there is a volume"),
    ("pvc-status", "status.phase, or Terminating"),
    ("pv-status", "status.phase, or Terminating"),
    ("quota-limits", "limits.*: used/hard of status, joined by comma and space"),
    ("quota-requests", "the others: used/hard of status, joined by comma and space"),
    ("replicas-ready", "status.readyReplicas/spec.replicas"),
    ("role-ref", "kind/name of roleRef"),
    ("service-external-ip", "load balancer addresses, externalIPs or externalName; <pending>, <none>"),
    ("service-ports", "port:nodePort/protocol, joined by commas; <none> without"),
    ("subjects-group", "names of subjects of kind Group, joined by comma and space"),
    ("subjects-serviceaccount", "namespace/name of subjects of kind ServiceAccount, joined by comma and space"),
    ("subjects-user", "names of subjects of kind User, joined by comma and space"),
    ("flowschema-dangling", "status of condition Dangling; ? without"),
];

pub(crate) const ALL_VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// Starts a row: namespaced, stored, all verbs, named by the kind in lower case plus what is said next.
pub(crate) const fn row(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    resource: &'static str,
    singular: &'static str,
) -> Row {
    Row {
        group,
        version,
        kind,
        resource,
        singular,
        short_names: &[],
        categories: &[],
        namespaced: true,
        verbs: ALL_VERBS,
        status_subresource: false,
        scale: None,
        subresources: &[],
        columns: &[],
        storage_version: version,
        storage_group: group,
        is_virtual: false,
        selectable_fields: &[],
        deprecation: None,
    }
}

pub(crate) const fn col(name: &'static str, ty: &'static str, path: &'static str) -> Column {
    Column { name, ty, format: "", priority: 0, path }
}

/// A column of `-o wide`.
pub(crate) const fn wide(name: &'static str, ty: &'static str, path: &'static str) -> Column {
    Column { name, ty, format: "", priority: 1, path }
}

pub(crate) const NAME: Column = Column { name: "Name", ty: "string", format: "name", priority: 0, path: ".metadata.name" };
pub(crate) const AGE: Column = col("Age", "string", "fn:age");
pub(crate) const CREATED: Column = col("Created At", "date", ".metadata.creationTimestamp");
pub(crate) const CONTAINERS: Column = wide("Containers", "string", "fn:container-names");
pub(crate) const IMAGES: Column = wide("Images", "string", "fn:container-images");
pub(crate) const SELECTOR: Column = wide("Selector", "string", "fn:label-selector");

pub(crate) const fn subresource(
    name: &'static str,
    body: (&'static str, &'static str, &'static str),
    verbs: &'static [&'static str],
) -> Subresource {
    Subresource { name, body, verbs }
}

impl Row {
    pub(crate) const fn cluster(mut self) -> Self {
        self.namespaced = false;
        self
    }

    pub(crate) const fn short(mut self, names: &'static [&'static str]) -> Self {
        self.short_names = names;
        self
    }

    pub(crate) const fn category(mut self, names: &'static [&'static str]) -> Self {
        self.categories = names;
        self
    }

    pub(crate) const fn status(mut self) -> Self {
        self.status_subresource = true;
        self
    }

    /// Scales by `.spec.replicas`, counted in `.status.replicas`, over the pods of `.spec.selector`.
    pub(crate) const fn scales(mut self) -> Self {
        self.scale = Some(ScalePaths {
            spec_replicas: ".spec.replicas",
            status_replicas: ".status.replicas",
            label_selector: Some(".spec.selector"),
        });
        self
    }

    pub(crate) const fn sub(mut self, subresources: &'static [Subresource]) -> Self {
        self.subresources = subresources;
        self
    }

    pub(crate) const fn verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }

    /// Only created, never stored.
    pub(crate) const fn question(mut self) -> Self {
        self.is_virtual = true;
        self.verbs = &["create"];
        self
    }

    pub(crate) const fn columns(mut self, columns: &'static [Column]) -> Self {
        self.columns = columns;
        self
    }

    pub(crate) const fn select(mut self, fields: &'static [&'static str]) -> Self {
        self.selectable_fields = fields;
        self
    }

    pub(crate) const fn stored_as(mut self, group: &'static str, version: &'static str) -> Self {
        self.storage_group = group;
        self.storage_version = version;
        self
    }

    pub(crate) const fn deprecated(mut self, warning: &'static str) -> Self {
        self.deprecation = Some(warning);
        self
    }
}
