//! Workloads: apps, batch, autoscaling, policy, scheduling and node.

use crate::row::{AGE, CONTAINERS, Column, IMAGES, NAME, Row, SELECTOR, col, row};

pub(crate) const ROWS: &[Row] = &[
    row("apps", "v1", "ControllerRevision", "controllerrevisions", "controllerrevision").columns(&[
        NAME,
        col("Controller", "string", "fn:controller"),
        col("Revision", "string", ".revision"),
        AGE,
    ]),
    row("apps", "v1", "DaemonSet", "daemonsets", "daemonset").short(&["ds"]).category(&["all"]).status().columns(&[
        NAME,
        col("Desired", "integer", ".status.desiredNumberScheduled"),
        col("Current", "integer", ".status.currentNumberScheduled"),
        col("Ready", "integer", ".status.numberReady"),
        col("Up-to-date", "integer", ".status.updatedNumberScheduled"),
        col("Available", "integer", ".status.numberAvailable"),
        col("Node Selector", "string", "fn:node-selector"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ]),
    row("apps", "v1", "Deployment", "deployments", "deployment").short(&["deploy"]).category(&["all"]).status().scales().columns(&[
        NAME,
        col("Ready", "string", "fn:deployment-ready"),
        col("Up-to-date", "integer", ".status.updatedReplicas"),
        col("Available", "integer", ".status.availableReplicas"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ]),
    row("apps", "v1", "ReplicaSet", "replicasets", "replicaset")
        .short(&["rs"])
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
    row("apps", "v1", "StatefulSet", "statefulsets", "statefulset").short(&["sts"]).category(&["all"]).status().scales().columns(&[
        NAME,
        col("Ready", "string", "fn:replicas-ready"),
        AGE,
        CONTAINERS,
        IMAGES,
    ]),
    row("batch", "v1", "CronJob", "cronjobs", "cronjob").short(&["cj"]).category(&["all"]).status().columns(&[
        NAME,
        col("Schedule", "string", ".spec.schedule"),
        col("Timezone", "string", ".spec.timeZone"),
        col("Suspend", "boolean", ".spec.suspend"),
        col("Active", "integer", "fn:element-count"),
        col("Last Schedule", "string", "fn:cronjob-last-schedule"),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ]),
    row("batch", "v1", "Job", "jobs", "job")
        .category(&["all"])
        .status()
        .columns(&[
            NAME,
            col("Status", "string", "fn:job-status"),
            col("Completions", "string", "fn:job-completions"),
            col("Duration", "string", "fn:job-duration"),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ])
        .select(&["status.successful"]),
    row("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "horizontalpodautoscaler")
        .short(&["hpa"])
        .category(&["all"])
        .status()
        .columns(AUTOSCALER),
    row("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "horizontalpodautoscaler")
        .short(&["hpa"])
        .category(&["all"])
        .status()
        .stored_as("autoscaling", "v2")
        .columns(AUTOSCALER),
    row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "poddisruptionbudget").short(&["pdb"]).status().columns(&[
        NAME,
        col("Min Available", "string", "fn:pdb-min-available"),
        col("Max Unavailable", "string", "fn:pdb-max-unavailable"),
        col("Allowed Disruptions", "integer", ".status.disruptionsAllowed"),
        AGE,
    ]),
    row("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "priorityclass").cluster().short(&["pc"]).columns(&[
        NAME,
        col("Value", "integer", ".value"),
        col("Global-Default", "boolean", ".globalDefault"),
        AGE,
        col("PreemptionPolicy", "string", ".preemptionPolicy"),
    ]),
    row("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", "runtimeclass").cluster().columns(&[
        NAME,
        col("Handler", "string", ".handler"),
        AGE,
    ]),
];

const AUTOSCALER: &[Column] = &[
    NAME,
    col("Reference", "string", "fn:hpa-reference"),
    col("Targets", "string", "fn:hpa-targets"),
    col("MinPods", "string", ".spec.minReplicas"),
    col("MaxPods", "string", ".spec.maxReplicas"),
    col("Replicas", "string", ".status.currentReplicas"),
    AGE,
];
