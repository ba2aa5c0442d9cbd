//! What must be on the hub's API before any cluster can join: definitions, and the rights of those who have
//! nothing but a bootstrap token (`open-cluster-management:bootstrap`). They may ask, never accept themselves.

use std::time::Duration;

use api::cluster::{GROUP, identity};
use controller::Runtime;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Subject};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};

use super::rights;
use crate::error::{Doing, Error};
use crate::write;

/// Where the bootstrap service account lives, as `clusteradm` expects it.
pub const NAMESPACE: &str = "open-cluster-management";
pub const SERVICE_ACCOUNT: &str = "agent-registration-bootstrap";
const BOOTSTRAP_ROLE: &str = "open-cluster-management:bootstrap";
const BOOTSTRAP_BINDING: &str = "cluster-bootstrap";

/// Which hub this is, anyone may know.
const HUB_INFO: &str = "muster:hub-info";

const ESTABLISHED_POLL: Duration = Duration::from_millis(50);
const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);

pub fn service_account_user() -> String {
    format!("system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}")
}

/// Installs the definitions of all kinds of a hub and waits until they are served.
pub async fn install_crds(client: &Client, runtime: &Runtime) -> Result<(), Error> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in api::hub_crds() {
        write::apply(&definitions, &crd).await?;
    }
    let deadline = runtime.clock.now() + jiff::SignedDuration::try_from(ESTABLISHED_TIMEOUT).unwrap_or(jiff::SignedDuration::MAX);
    loop {
        let found = definitions.list(&Default::default()).await.doing(|| "list CustomResourceDefinitions".to_owned())?;
        let wanted = api::hub_crds();
        let is_served = |name: Option<&str>| found.items.iter().any(|c| c.metadata.name.as_deref() == name && is_established(c));
        let missing: Vec<&str> = wanted.iter().filter_map(|c| c.metadata.name.as_deref()).filter(|n| !is_served(Some(n))).collect();
        if missing.is_empty() {
            return Ok(());
        }
        if runtime.clock.now() > deadline {
            return Err(Error::Several(format!("CustomResourceDefinitions are not established: {}", missing.join(", "))));
        }
        tokio::time::sleep(ESTABLISHED_POLL).await;
    }
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd.status.as_ref().and_then(|s| s.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Established" && c.status == "True")
}

/// Ensures the bootstrap rights and the roles all clusters share.
pub async fn ensure(client: &Client) -> Result<(), Error> {
    let meta = |namespace: Option<&str>, name: &str| ObjectMeta {
        name: Some(name.to_owned()),
        namespace: namespace.map(str::to_owned),
        ..ObjectMeta::default()
    };
    let namespace = Namespace { metadata: meta(None, NAMESPACE), ..Namespace::default() };
    write::apply(&Api::all(client.clone()), &namespace).await?;
    let account = ServiceAccount { metadata: meta(Some(NAMESPACE), SERVICE_ACCOUNT), ..ServiceAccount::default() };
    write::apply(&Api::namespaced(client.clone(), NAMESPACE), &account).await?;
    let roles: Api<ClusterRole> = Api::all(client.clone());
    for role in rights::shared_roles() {
        write::apply(&roles, &role).await?;
    }
    let rules = vec![
        rights::rule(&[""], &["configmaps"], &["get"]),
        rights::rule(&["certificates.k8s.io"], &["certificatesigningrequests"], &["create", "get", "list", "watch"]),
        rights::rule(&[GROUP], &["managedclusters"], &["get", "create", "list", "watch"]),
        rights::rule(&[GROUP], &["managedclustersets/join"], &["create"]),
    ];
    write::apply(&roles, &ClusterRole { metadata: meta(None, BOOTSTRAP_ROLE), rules: Some(rules), ..ClusterRole::default() }).await?;
    let info = ClusterRole {
        metadata: meta(None, HUB_INFO),
        rules: Some(vec![rights::paths(&[api::hub::path::HUB.to_owned()], &["get"])]),
        ..ClusterRole::default()
    };
    write::apply(&roles, &info).await?;
    let everybody = ["system:authenticated", "system:unauthenticated"].map(|g| rights::group_subject(g.to_owned()));
    let info =
        ClusterRoleBinding { metadata: meta(None, HUB_INFO), role_ref: rights::role_ref(HUB_INFO), subjects: Some(everybody.to_vec()) };
    write::apply(&Api::all(client.clone()), &info).await?;
    let account = Subject {
        kind: "ServiceAccount".to_owned(),
        api_group: None,
        name: SERVICE_ACCOUNT.to_owned(),
        namespace: Some(NAMESPACE.to_owned()),
    };
    let binding = ClusterRoleBinding {
        metadata: meta(None, BOOTSTRAP_BINDING),
        role_ref: rights::role_ref(BOOTSTRAP_ROLE),
        subjects: Some(vec![rights::group_subject(identity::BOOTSTRAP_GROUP.to_owned()), account]),
    };
    write::apply(&Api::all(client.clone()), &binding).await?;
    Ok(())
}
