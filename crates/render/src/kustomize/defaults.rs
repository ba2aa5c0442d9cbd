//! The fields Kustomize changes of itself, as data.
//!
//! The facts are those of `konfig/builtinpluginconsts` at v5.7.1, told by where a kind keeps its pods instead of field by
//! field. One row of theirs has no effect and is left out: the group of IngressClass is misspelt there.

use std::sync::LazyLock;

use super::fields::{FieldConfig, FieldSpec, NameReference};

/// Merged once, which sorts them, and not by each kustomization.
static DEFAULTS: LazyLock<FieldConfig> = LazyLock::new(|| {
    let mut config = FieldConfig::default();
    config.merge(&build()).expect("what Kustomize changes does not contradict itself");
    config
});

/// Returns the fields every kustomization begins with.
pub(crate) fn defaults() -> &'static FieldConfig {
    &DEFAULTS
}

/// Where kinds keep a pod's spec.
const POD_SPECS: &[(&str, &str)] = &[
    ("Pod", "spec"),
    ("PodTemplate", "template/spec"),
    ("Deployment", "spec/template/spec"),
    ("ReplicaSet", "spec/template/spec"),
    ("DaemonSet", "spec/template/spec"),
    ("StatefulSet", "spec/template/spec"),
    ("Job", "spec/template/spec"),
    ("CronJob", "spec/jobTemplate/spec/template/spec"),
];

/// Kinds whose pods are looked at for accounts, claims and priorities.
const POD_SPECS_OF_NAMES: &[(&str, &str)] = &[
    ("Pod", "spec"),
    ("StatefulSet", "spec/template/spec"),
    ("Deployment", "spec/template/spec"),
    ("ReplicationController", "spec/template/spec"),
    ("CronJob", "spec/jobTemplate/spec/template/spec"),
    ("Job", "spec/template/spec"),
    ("DaemonSet", "spec/template/spec"),
];

const CONFIG_MAP_IN_POD: &[&str] = &[
    "volumes/configMap/name",
    "containers/env/valueFrom/configMapKeyRef/name",
    "initContainers/env/valueFrom/configMapKeyRef/name",
    "containers/envFrom/configMapRef/name",
    "initContainers/envFrom/configMapRef/name",
    "volumes/projected/sources/configMap/name",
];

const SECRET_IN_POD: &[&str] = &[
    "volumes/secret/secretName",
    "containers/env/valueFrom/secretKeyRef/name",
    "initContainers/env/valueFrom/secretKeyRef/name",
    "containers/envFrom/secretRef/name",
    "initContainers/envFrom/secretRef/name",
    "imagePullSecrets/name",
    "volumes/projected/sources/secret/name",
];

const VARS_IN_POD: &[&str] = &[
    "containers/args",
    "containers/command",
    "containers/env/value",
    "containers/volumeMounts/mountPath",
    "initContainers/args",
    "initContainers/command",
    "initContainers/env/value",
    "initContainers/volumeMounts/mountPath",
];

/// Kinds with pods, and with a volume's server where vars count; the path of CronJob is upstream's.
const VARS_PODS: &[(&str, &str, &str)] = &[
    ("CronJob", "spec/jobTemplate/spec/template/spec", "spec/jobTemplate/spec/template/volumes/nfs/server"),
    ("DaemonSet", "spec/template/spec", "spec/template/spec/volumes/nfs/server"),
    ("Deployment", "spec/template/spec", "spec/template/spec/volumes/nfs/server"),
    ("Job", "spec/template/spec", "spec/template/spec/volumes/nfs/server"),
    ("Pod", "spec", "spec/volumes/nfs/server"),
    ("ReplicaSet", "spec/template/spec", "spec/template/spec/volumes/nfs/server"),
    ("StatefulSet", "spec/template/spec", "spec/volumeClaimTemplates/spec/nfs/server"),
];

/// Rules on other pods and where they are spread, in a pod template.
const POD_SELECTORS: &[&str] = &[
    "affinity/podAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "affinity/podAntiAffinity/preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels",
    "affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels",
    "topologySpreadConstraints/labelSelector/matchLabels",
];

const ADMISSION: &str = "admissionregistration.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const NETWORKING: &str = "networking.k8s.io";

fn build() -> FieldConfig {
    let name = vec![FieldSpec::anywhere("metadata/name", false)];
    FieldConfig {
        name_prefix: name.clone(),
        name_suffix: name,
        namespace: vec![
            spec("", "", "Namespace", "metadata/name", true),
            spec("apiregistration.k8s.io", "", "APIService", "spec/service/namespace", true),
            spec("apiextensions.k8s.io", "", "CustomResourceDefinition", "spec/conversion/webhook/clientConfig/service/namespace", false),
        ],
        common_labels: selectors().into_iter().chain(template_labels()).collect(),
        labels: Vec::new(),
        template_labels: template_labels(),
        common_annotations: annotations(),
        name_reference: name_references(),
        var_reference: vars(),
        images: ["containers[]/image", "initContainers[]/image", "volumes[]/image/reference"]
            .iter()
            .flat_map(|path| ["spec", "spec/template/spec"].map(|pod| FieldSpec::anywhere(&format!("{pod}/{path}"), true)))
            .collect(),
        replicas: ["Deployment", "ReplicationController", "ReplicaSet", "StatefulSet"]
            .map(|kind| spec("", "", kind, "spec/replicas", true))
            .to_vec(),
    }
}

fn spec(group: &str, version: &str, kind: &str, path: &str, create: bool) -> FieldSpec {
    FieldSpec { group: group.into(), version: version.into(), kind: kind.into(), path: path.into(), create }
}

fn selectors() -> Vec<FieldSpec> {
    let mut specs = vec![
        spec("", "v1", "Service", "spec/selector", true),
        spec("", "v1", "ReplicationController", "spec/selector", true),
        spec("", "", "Deployment", "spec/selector/matchLabels", true),
        spec("", "", "ReplicaSet", "spec/selector/matchLabels", true),
        spec("", "", "DaemonSet", "spec/selector/matchLabels", true),
        spec("apps", "", "StatefulSet", "spec/selector/matchLabels", true),
        spec("batch", "", "Job", "spec/selector/matchLabels", false),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/selector/matchLabels", false),
        spec("policy", "", "PodDisruptionBudget", "spec/selector/matchLabels", false),
        spec(NETWORKING, "", "NetworkPolicy", "spec/podSelector/matchLabels", false),
        spec(NETWORKING, "", "NetworkPolicy", "spec/ingress/from/podSelector/matchLabels", false),
        spec(NETWORKING, "", "NetworkPolicy", "spec/egress/to/podSelector/matchLabels", false),
    ];
    for kind in ["Deployment", "StatefulSet"] {
        specs.extend(POD_SELECTORS.iter().map(|path| spec("apps", "", kind, &format!("spec/template/spec/{path}"), false)));
    }
    specs
}

fn template_labels() -> Vec<FieldSpec> {
    vec![
        FieldSpec::anywhere("metadata/labels", true),
        spec("", "v1", "ReplicationController", "spec/template/metadata/labels", true),
        spec("", "", "Deployment", "spec/template/metadata/labels", true),
        spec("", "", "ReplicaSet", "spec/template/metadata/labels", true),
        spec("", "", "DaemonSet", "spec/template/metadata/labels", true),
        spec("apps", "", "StatefulSet", "spec/template/metadata/labels", true),
        spec("apps", "", "StatefulSet", "spec/volumeClaimTemplates[]/metadata/labels", true),
        spec("batch", "", "Job", "spec/template/metadata/labels", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/metadata/labels", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/labels", true),
    ]
}

fn annotations() -> Vec<FieldSpec> {
    vec![
        FieldSpec::anywhere("metadata/annotations", true),
        spec("", "v1", "ReplicationController", "spec/template/metadata/annotations", true),
        spec("", "", "Deployment", "spec/template/metadata/annotations", true),
        spec("", "", "ReplicaSet", "spec/template/metadata/annotations", true),
        spec("", "", "DaemonSet", "spec/template/metadata/annotations", true),
        spec("", "", "StatefulSet", "spec/template/metadata/annotations", true),
        spec("batch", "", "Job", "spec/template/metadata/annotations", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/metadata/annotations", true),
        spec("batch", "", "CronJob", "spec/jobTemplate/spec/template/metadata/annotations", true),
    ]
}

fn name_references() -> Vec<NameReference> {
    let named = |group: &str, version: &str, kind: &str, field_specs: Vec<FieldSpec>| NameReference {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        field_specs,
    };
    let scaled = || vec![spec("", "", "HorizontalPodAutoscaler", "spec/scaleTargetRef/name", false)];
    let in_pods = |pods: &[(&str, &str)], paths: &[&str]| -> Vec<FieldSpec> {
        let each = |&(kind, pod): &(&str, &str)| {
            let version = if kind == "Pod" && paths.len() > 1 { "v1" } else { "" };
            let of_kind = paths.iter().map(|path| spec("", version, kind, &format!("{pod}/{path}"), false));
            of_kind.collect::<Vec<_>>()
        };
        pods.iter().flat_map(each).collect()
    };
    let plain = |rows: &[(&str, &str)]| rows.iter().map(|(kind, path)| spec("", "", kind, path, false)).collect::<Vec<_>>();
    let rules = || plain(&[("Role", "rules/resourceNames"), ("ClusterRole", "rules/resourceNames")]);
    let all = |parts: Vec<Vec<FieldSpec>>| parts.into_iter().flatten().collect::<Vec<_>>();
    vec![
        named("", "", "Deployment", scaled()),
        named("", "", "ReplicationController", scaled()),
        named("", "", "ReplicaSet", scaled()),
        named("", "", "StatefulSet", scaled()),
        named(
            "",
            "v1",
            "ConfigMap",
            all(vec![
                in_pods(POD_SPECS, CONFIG_MAP_IN_POD),
                plain(&[
                    ("Node", "spec/configSource/configMap"),
                    ("Ingress", "metadata/annotations/nginx.ingress.kubernetes.io\\/fastcgi-params-configmap"),
                ]),
                rules(),
            ]),
        ),
        named(
            "",
            "v1",
            "Secret",
            all(vec![
                in_pods(POD_SPECS, SECRET_IN_POD),
                plain(&[
                    ("Ingress", "spec/tls/secretName"),
                    ("Ingress", "metadata/annotations/ingress.kubernetes.io\\/auth-secret"),
                    ("Ingress", "metadata/annotations/nginx.ingress.kubernetes.io\\/auth-secret"),
                    ("Ingress", "metadata/annotations/nginx.ingress.kubernetes.io\\/auth-tls-secret"),
                    ("ServiceAccount", "imagePullSecrets/name"),
                    ("StorageClass", "parameters/secretName"),
                    ("StorageClass", "parameters/adminSecretName"),
                    ("StorageClass", "parameters/userSecretName"),
                    ("StorageClass", "parameters/secretRef"),
                    ("PersistentVolume", "spec/azureFile/secretName"),
                ]),
                vec![spec("serving.knative.dev", "v1", "Service", "spec/template/spec/containers/env/valueFrom/secretKeyRef/name", false)],
                rules(),
            ]),
        ),
        named(
            "",
            "v1",
            "Service",
            all(vec![
                vec![
                    spec("apps", "", "StatefulSet", "spec/serviceName", false),
                    spec("apiregistration.k8s.io", "", "APIService", "spec/service/name", false),
                    spec(ADMISSION, "", "ValidatingWebhookConfiguration", "webhooks/clientConfig/service", false),
                    spec(ADMISSION, "", "MutatingWebhookConfiguration", "webhooks/clientConfig/service", false),
                ],
                plain(&[
                    ("Ingress", "spec/rules/http/paths/backend/serviceName"),
                    ("Ingress", "spec/backend/serviceName"),
                    ("Ingress", "spec/rules/http/paths/backend/service/name"),
                    ("Ingress", "spec/defaultBackend/service/name"),
                ]),
            ]),
        ),
        named(RBAC, "", "Role", vec![spec(RBAC, "", "RoleBinding", "roleRef/name", false)]),
        named(
            RBAC,
            "",
            "ClusterRole",
            vec![spec(RBAC, "", "RoleBinding", "roleRef/name", false), spec(RBAC, "", "ClusterRoleBinding", "roleRef/name", false)],
        ),
        named(
            "",
            "v1",
            "ServiceAccount",
            all(vec![
                vec![spec(RBAC, "", "RoleBinding", "subjects", false), spec(RBAC, "", "ClusterRoleBinding", "subjects", false)],
                in_pods(POD_SPECS_OF_NAMES, &["serviceAccountName"]),
            ]),
        ),
        named("", "v1", "PersistentVolumeClaim", in_pods(POD_SPECS_OF_NAMES, &["volumes/persistentVolumeClaim/claimName"])),
        named("", "v1", "PersistentVolume", plain(&[("PersistentVolumeClaim", "spec/volumeName"), ("ClusterRole", "rules/resourceNames")])),
        named(
            "storage.k8s.io",
            "v1",
            "StorageClass",
            plain(&[
                ("PersistentVolume", "spec/storageClassName"),
                ("PersistentVolumeClaim", "spec/storageClassName"),
                ("StatefulSet", "spec/volumeClaimTemplates/spec/storageClassName"),
            ]),
        ),
        named(
            ADMISSION,
            "",
            "ValidatingAdmissionPolicy",
            vec![spec(ADMISSION, "", "ValidatingAdmissionPolicyBinding", "spec/policyName", false)],
        ),
        named("scheduling.k8s.io", "v1", "PriorityClass", in_pods(POD_SPECS_OF_NAMES, &["priorityClassName"])),
    ]
}

fn vars() -> Vec<FieldSpec> {
    let mut specs = Vec::new();
    for (kind, pod, server) in VARS_PODS {
        specs.extend(VARS_IN_POD.iter().map(|path| spec("", "", kind, &format!("{pod}/{path}"), false)));
        specs.push(spec("", "", kind, server, false));
    }
    for (kind, path) in [
        ("Deployment", "spec/template/metadata/annotations"),
        ("Ingress", "spec/rules/host"),
        ("Ingress", "spec/tls/hosts"),
        ("Ingress", "spec/tls/secretName"),
        ("Service", "spec/ports/port"),
        ("Service", "spec/ports/targetPort"),
        ("PersistentVolume", "spec/nfs/server"),
        ("", "metadata/labels"),
        ("", "metadata/annotations"),
    ] {
        specs.push(spec("", "", kind, path, false));
    }
    specs
}
