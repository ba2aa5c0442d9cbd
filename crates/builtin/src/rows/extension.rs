//! What extends or steers the API server: CRDs, APIServices, admission and flow control.

use crate::row::{AGE, CREATED, NAME, Row, col, row};

const EXTENSIONS: &[&str] = &["api-extensions"];

pub(crate) const ROWS: &[Row] = &[
    row("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "customresourcedefinition")
        .cluster()
        .short(&["crd", "crds"])
        .category(EXTENSIONS)
        .status()
        .columns(&[NAME, CREATED]),
    row("apiregistration.k8s.io", "v1", "APIService", "apiservices", "apiservice").cluster().category(EXTENSIONS).status().columns(&[
        NAME,
        col("Service", "string", "fn:apiservice-target"),
        col("Available", "string", "fn:apiservice-available"),
        AGE,
    ]),
    row(
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        "mutatingwebhookconfiguration",
    )
    .cluster()
    .category(EXTENSIONS)
    .columns(&[NAME, col("Webhooks", "integer", "fn:element-count"), AGE]),
    row(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        "validatingwebhookconfiguration",
    )
    .cluster()
    .category(EXTENSIONS)
    .columns(&[NAME, col("Webhooks", "integer", "fn:element-count"), AGE]),
    row("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "validatingadmissionpolicy")
        .cluster()
        .category(EXTENSIONS)
        .status()
        .columns(&[NAME, col("Validations", "integer", "fn:element-count"), col("ParamKind", "string", "fn:policy-param-kind"), AGE]),
    row(
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        "validatingadmissionpolicybinding",
    )
    .cluster()
    .category(EXTENSIONS)
    .columns(&[NAME, col("PolicyName", "string", ".spec.policyName"), col("ParamRef", "string", "fn:policybinding-param-ref"), AGE]),
    row("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", "flowschema").cluster().status().columns(&[
        NAME,
        col("PriorityLevel", "string", ".spec.priorityLevelConfiguration.name"),
        col("MatchingPrecedence", "string", ".spec.matchingPrecedence"),
        col("DistinguisherMethod", "string", ".spec.distinguisherMethod.type"),
        AGE,
        col("MissingPL", "string", "fn:flowschema-dangling"),
    ]),
    row("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", "prioritylevelconfiguration")
        .cluster()
        .status()
        .columns(&[
            NAME,
            col("Type", "string", ".spec.type"),
            col("NominalConcurrencyShares", "string", ".spec.limited.nominalConcurrencyShares"),
            col("Queues", "string", ".spec.limited.limitResponse.queuing.queues"),
            col("HandSize", "string", ".spec.limited.limitResponse.queuing.handSize"),
            col("QueueLengthLimit", "string", ".spec.limited.limitResponse.queuing.queueLengthLimit"),
            AGE,
        ]),
];
