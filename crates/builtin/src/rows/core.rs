//! The core group, events, endpoints and networking.

use crate::row::{AGE, CONTAINERS, CREATED, Column, IMAGES, NAME, Row, SELECTOR, col, row, subresource, wide};

pub(crate) const ROWS: &[Row] = &[
    row("", "v1", "ConfigMap", "configmaps", "configmap").short(&["cm"]).columns(&[NAME, col("Data", "string", "fn:data-count"), AGE]),
    row("", "v1", "Endpoints", "endpoints", "endpoints")
        .short(&["ep"])
        .columns(&[NAME, col("Endpoints", "string", "fn:endpoints"), AGE])
        .deprecated("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
    row("", "v1", "Event", "events", "event").short(&["ev"]).columns(EVENT).select(&[
        "involvedObject.apiVersion",
        "involvedObject.fieldPath",
        "involvedObject.kind",
        "involvedObject.name",
        "involvedObject.namespace",
        "involvedObject.resourceVersion",
        "involvedObject.uid",
        "reason",
        "reportingComponent",
        "source.component",
        "type",
    ]),
    row("", "v1", "LimitRange", "limitranges", "limitrange").short(&["limits"]).columns(&[NAME, CREATED]),
    row("", "v1", "Namespace", "namespaces", "namespace")
        .cluster()
        .short(&["ns"])
        .status()
        .verbs(&["create", "delete", "get", "list", "patch", "update", "watch"])
        .sub(&[subresource("finalize", ("", "v1", "Namespace"), &["update"])])
        .columns(&[NAME, col("Status", "string", ".status.phase"), AGE])
        .select(&["status.phase"]),
    row("", "v1", "Node", "nodes", "node").cluster().short(&["no"]).status().columns(NODE).select(&["spec.unschedulable"]),
    row("", "v1", "PersistentVolume", "persistentvolumes", "persistentvolume").cluster().short(&["pv"]).status().columns(PERSISTENT_VOLUME),
    row("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim").short(&["pvc"]).status().columns(CLAIM),
    row("", "v1", "Pod", "pods", "pod")
        .short(&["po"])
        .category(&["all"])
        .status()
        .sub(&[
            subresource("binding", ("", "v1", "Binding"), &["create"]),
            subresource("eviction", ("policy", "v1", "Eviction"), &["create"]),
            subresource("exec", ("", "v1", "PodExecOptions"), &["create", "get"]),
            subresource("log", ("", "v1", "Pod"), &["get"]),
        ])
        .columns(POD)
        .select(&[
            "spec.hostNetwork",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.nominatedNodeName",
            "status.phase",
            "status.podIP",
        ]),
    row("", "v1", "PodTemplate", "podtemplates", "podtemplate").columns(&[
        NAME,
        col("Containers", "string", "fn:container-names"),
        col("Images", "string", "fn:container-images"),
        col("Pod Labels", "string", "fn:pod-labels"),
    ]),
    row("", "v1", "ReplicationController", "replicationcontrollers", "replicationcontroller")
        .short(&["rc"])
        .category(&["all"])
        .status()
        .scales()
        .columns(&[
            NAME,
            col("Desired", "integer", ".spec.replicas"),
            col("Current", "integer", ".status.replicas"),
            col("Ready", "integer", ".status.readyReplicas"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ])
        .select(&["status.replicas"]),
    row("", "v1", "ResourceQuota", "resourcequotas", "resourcequota").short(&["quota"]).status().columns(&[
        NAME,
        col("Request", "string", "fn:quota-requests"),
        col("Limit", "string", "fn:quota-limits"),
        AGE,
    ]),
    row("", "v1", "Secret", "secrets", "secret")
        .columns(&[NAME, col("Type", "string", ".type"), col("Data", "string", "fn:data-count"), AGE])
        .select(&["type"]),
    row("", "v1", "Service", "services", "service")
        .short(&["svc"])
        .category(&["all"])
        .status()
        .columns(&[
            NAME,
            col("Type", "string", ".spec.type"),
            col("Cluster-IP", "string", ".spec.clusterIP"),
            col("External-IP", "string", "fn:service-external-ip"),
            col("Port(s)", "string", "fn:service-ports"),
            AGE,
            SELECTOR,
        ])
        .select(&["spec.clusterIP", "spec.type"]),
    row("", "v1", "ServiceAccount", "serviceaccounts", "serviceaccount")
        .short(&["sa"])
        .sub(&[subresource("token", ("authentication.k8s.io", "v1", "TokenRequest"), &["create"])])
        .columns(&[NAME, col("Secrets", "string", "fn:element-count"), AGE]),
    row("events.k8s.io", "v1", "Event", "events", "event").short(&["ev"]).stored_as("", "v1").columns(EVENT).select(&[
        "reason",
        "regarding.apiVersion",
        "regarding.fieldPath",
        "regarding.kind",
        "regarding.name",
        "regarding.namespace",
        "regarding.resourceVersion",
        "regarding.uid",
        "reportingController",
        "type",
    ]),
    row("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice").columns(&[
        NAME,
        col("AddressType", "string", ".addressType"),
        col("Ports", "string", "fn:endpointslice-ports"),
        col("Endpoints", "string", "fn:endpointslice-endpoints"),
        AGE,
    ]),
    row("networking.k8s.io", "v1", "Ingress", "ingresses", "ingress").short(&["ing"]).status().columns(&[
        NAME,
        col("Class", "string", ".spec.ingressClassName"),
        col("Hosts", "string", "fn:ingress-hosts"),
        col("Address", "string", "fn:ingress-address"),
        col("Ports", "string", "fn:ingress-ports"),
        AGE,
    ]),
    row("networking.k8s.io", "v1", "IngressClass", "ingressclasses", "ingressclass").cluster().columns(&[
        NAME,
        col("Controller", "string", ".spec.controller"),
        col("Parameters", "string", "fn:ingressclass-parameters"),
        AGE,
    ]),
    row("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "networkpolicy").short(&["netpol"]).columns(&[
        NAME,
        col("Pod-Selector", "string", "fn:label-selector"),
        AGE,
    ]),
];

const EVENT: &[Column] = &[
    col("Last Seen", "string", "fn:event-last-seen"),
    col("Type", "string", ".type"),
    col("Reason", "string", ".reason"),
    col("Object", "string", "fn:event-object"),
    wide("Subobject", "string", "fn:event-subobject"),
    wide("Source", "string", "fn:event-source"),
    col("Message", "string", "fn:event-message"),
    wide("First Seen", "string", "fn:event-first-seen"),
    wide("Count", "string", "fn:event-count"),
    Column { name: "Name", ty: "string", format: "name", priority: 1, path: ".metadata.name" },
];

const NODE: &[Column] = &[
    NAME,
    col("Status", "string", "fn:node-status"),
    col("Roles", "string", "fn:node-roles"),
    AGE,
    col("Version", "string", ".status.nodeInfo.kubeletVersion"),
    wide("Internal-IP", "string", "fn:node-internal-ip"),
    wide("External-IP", "string", "fn:node-external-ip"),
    wide("OS-Image", "string", ".status.nodeInfo.osImage"),
    wide("Kernel-Version", "string", ".status.nodeInfo.kernelVersion"),
    wide("Container-Runtime", "string", ".status.nodeInfo.containerRuntimeVersion"),
];

const PERSISTENT_VOLUME: &[Column] = &[
    NAME,
    col("Capacity", "string", ".spec.capacity.storage"),
    col("Access Modes", "string", "fn:pv-access-modes"),
    col("Reclaim Policy", "string", ".spec.persistentVolumeReclaimPolicy"),
    col("Status", "string", "fn:pv-status"),
    col("Claim", "string", "fn:pv-claim"),
    col("StorageClass", "string", ".spec.storageClassName"),
    col("VolumeAttributesClass", "string", ".spec.volumeAttributesClassName"),
    col("Reason", "string", ".status.reason"),
    AGE,
    wide("VolumeMode", "string", ".spec.volumeMode"),
];

const CLAIM: &[Column] = &[
    NAME,
    col("Status", "string", "fn:pvc-status"),
    col("Volume", "string", ".spec.volumeName"),
    col("Capacity", "string", "fn:pvc-capacity"),
    col("Access Modes", "string", "fn:pv-access-modes"),
    col("StorageClass", "string", ".spec.storageClassName"),
    col("VolumeAttributesClass", "string", ".spec.volumeAttributesClassName"),
    AGE,
    wide("VolumeMode", "string", ".spec.volumeMode"),
];

const POD: &[Column] = &[
    NAME,
    col("Ready", "string", "fn:pod-ready"),
    col("Status", "string", "fn:pod-status"),
    col("Restarts", "string", "fn:pod-restarts"),
    AGE,
    wide("IP", "string", "fn:pod-ip"),
    wide("Node", "string", "fn:pod-node"),
    wide("Nominated Node", "string", "fn:pod-nominated-node"),
    wide("Readiness Gates", "string", "fn:pod-readiness-gates"),
];
