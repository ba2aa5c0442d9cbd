//! Who may do what: RBAC, authentication, authorization, certificates, leases.

use crate::row::{AGE, CREATED, Column, NAME, Row, col, row, subresource, wide};

pub(crate) const ROWS: &[Row] = &[
    row("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "clusterrole").cluster().columns(&[NAME, CREATED]),
    row("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding").cluster().columns(BINDING),
    row("rbac.authorization.k8s.io", "v1", "Role", "roles", "role").columns(&[NAME, CREATED]),
    row("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "rolebinding").columns(BINDING),
    row("coordination.k8s.io", "v1", "Lease", "leases", "lease").columns(&[NAME, col("Holder", "string", ".spec.holderIdentity"), AGE]),
    row("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", "certificatesigningrequest")
        .cluster()
        .short(&["csr"])
        .status()
        .sub(&[subresource("approval", ("certificates.k8s.io", "v1", "CertificateSigningRequest"), &["get", "patch", "update"])])
        .columns(&[
            NAME,
            AGE,
            col("SignerName", "string", ".spec.signerName"),
            col("Requestor", "string", ".spec.username"),
            col("RequestedDuration", "string", "fn:csr-duration"),
            col("Condition", "string", "fn:csr-condition"),
        ])
        .select(&["spec.signerName"]),
    row("authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview").cluster().question(),
    row("authentication.k8s.io", "v1beta1", "SelfSubjectReview", "selfsubjectreviews", "selfsubjectreview").cluster().question(),
    row("authentication.k8s.io", "v1", "TokenReview", "tokenreviews", "tokenreview").cluster().question(),
    row("authorization.k8s.io", "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", "localsubjectaccessreview").question(),
    row("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "selfsubjectaccessreview")
        .cluster()
        .question(),
    row("authorization.k8s.io", "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", "selfsubjectrulesreview").cluster().question(),
    row("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", "subjectaccessreview").cluster().question(),
];

const BINDING: &[Column] = &[
    NAME,
    col("Role", "string", "fn:role-ref"),
    AGE,
    wide("Users", "string", "fn:subjects-user"),
    wide("Groups", "string", "fn:subjects-group"),
    wide("ServiceAccounts", "string", "fn:subjects-serviceaccount"),
];
