//! Asking for a certificate: one CertificateSigningRequest, until it is signed or denied.

use std::time::Duration;

use api::cluster::{annotation, identity};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};

use super::Error;
use super::credential::{Credential, HubAddress};
use crate::Context;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// As OCM: nobody approves, so more requests do not help.
const OUTSTANDING_MAX: usize = 10;
/// A request that is older is asked for anew: Kubernetes removes pending ones after a day, ours after an hour.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Asks on behalf of one agent; `client` has the right to (bootstrap, or the certificate that is to be replaced).
pub async fn request(context: &Context, client: &Client, address: &HubAddress, agent_name: &str) -> Result<Credential, Error> {
    let cluster_name = &context.cluster_name;
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let label = format!("{}={cluster_name}", api::CLUSTER_NAME_LABEL);
    let outstanding =
        requests.list_metadata(&ListParams::default().labels(&label)).await.map_err(Error::hub("list certificate requests"))?;
    if outstanding.items.len() >= OUTSTANDING_MAX {
        return Err(Error::TooManyRequests { count: outstanding.items.len() });
    }
    let key = pki::Key::generate()?;
    let user = identity::agent_user(cluster_name, agent_name);
    let groups = [identity::cluster_group(cluster_name), identity::ALL_CLUSTERS_GROUP.to_owned()];
    let csr = key.csr(&user, &groups)?;
    let wanted = CertificateSigningRequest {
        metadata: ObjectMeta {
            generate_name: Some(format!("{cluster_name}-")),
            labels: Some([(api::CLUSTER_NAME_LABEL.to_owned(), cluster_name.clone())].into()),
            annotations: Some([(annotation::REQUESTER_CLUSTER_UID.to_owned(), context.cluster_uid.clone())].into()),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(csr.into_bytes()),
            signer_name: SIGNER.into(),
            usages: Some(["digital signature", "key encipherment", "client auth"].map(str::to_owned).to_vec()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    };
    let created = requests.create(&PostParams::default(), &wanted).await.map_err(Error::hub("create a certificate request"))?;
    let name = created.name_any();
    tracing::info!(csr = %name, "certificate requested, waiting for the hub to accept this cluster");
    let is_decided = |csr: Option<&CertificateSigningRequest>| csr.is_none_or(|csr| !matches!(answer(csr), Answer::Pending));
    let decided = tokio::time::timeout(PATIENCE, await_condition(requests, &name, is_decided))
        .await
        .map_err(|_| Error::NotApproved { name: name.clone() })?
        .map_err(|e| Error::Wait(Box::new(e)))?;
    match decided.as_ref().map(answer) {
        Some(Answer::Signed(certificate)) => Credential::new(address.clone(), cluster_name, agent_name, certificate, key.pem()),
        Some(Answer::Denied(message)) => Err(Error::Denied { name, message }),
        Some(Answer::Pending) | None => Err(Error::NotApproved { name }),
    }
}

enum Answer {
    Pending,
    Signed(String),
    Denied(String),
}

fn answer(csr: &CertificateSigningRequest) -> Answer {
    let Some(status) = &csr.status else { return Answer::Pending };
    for condition in status.conditions.iter().flatten() {
        if condition.type_ == "Denied" || condition.type_ == "Failed" {
            let message = condition.message.clone().or_else(|| condition.reason.clone()).unwrap_or_default();
            return Answer::Denied(message);
        }
    }
    match &status.certificate {
        Some(certificate) => Answer::Signed(String::from_utf8_lossy(&certificate.0).into_owned()),
        None => Answer::Pending,
    }
}
