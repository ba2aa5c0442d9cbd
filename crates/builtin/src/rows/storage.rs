//! The `storage.k8s.io` group.

use crate::row::{AGE, NAME, Row, col, row};

pub(crate) const ROWS: &[Row] = &[
    row("storage.k8s.io", "v1", "CSIDriver", "csidrivers", "csidriver").cluster().columns(&[
        NAME,
        col("AttachRequired", "boolean", ".spec.attachRequired"),
        col("PodInfoOnMount", "boolean", ".spec.podInfoOnMount"),
        col("StorageCapacity", "boolean", ".spec.storageCapacity"),
        col("TokenRequests", "string", "fn:csidriver-tokens"),
        col("RequiresRepublish", "boolean", ".spec.requiresRepublish"),
        col("Modes", "string", "fn:csidriver-modes"),
        AGE,
    ]),
    row("storage.k8s.io", "v1", "CSINode", "csinodes", "csinode").cluster().columns(&[
        NAME,
        col("Drivers", "integer", "fn:element-count"),
        AGE,
    ]),
    row("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", "csistoragecapacity").columns(&[
        NAME,
        col("StorageClassName", "string", ".storageClassName"),
        col("Capacity", "string", ".capacity"),
    ]),
    row("storage.k8s.io", "v1", "StorageClass", "storageclasses", "storageclass").cluster().short(&["sc"]).columns(&[
        NAME,
        col("Provisioner", "string", ".provisioner"),
        col("ReclaimPolicy", "string", ".reclaimPolicy"),
        col("VolumeBindingMode", "string", ".volumeBindingMode"),
        col("AllowVolumeExpansion", "string", ".allowVolumeExpansion"),
        AGE,
    ]),
    row("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", "volumeattachment").cluster().status().columns(&[
        NAME,
        col("Attacher", "string", ".spec.attacher"),
        col("PV", "string", ".spec.source.persistentVolumeName"),
        col("Node", "string", ".spec.nodeName"),
        col("Attached", "boolean", ".status.attached"),
        AGE,
    ]),
];
