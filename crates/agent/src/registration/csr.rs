//! Asking for a certificate: one CertificateSigningRequest, until it is signed or denied.

use std::time::Duration;

use api::cluster::{annotation, identity};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{ListParams, ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use super::Error;
use super::credential::{Credential, HubAddress};
use super::pending::Pending;
use crate::Context;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// As OCM: nobody approves, so more requests do not help.
const OUTSTANDING_MAX: usize = 10;
/// A request that is older is asked for anew: Kubernetes removes pending ones after a day, ours after an hour.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Asks on behalf of one agent; `client` has the right to (bootstrap, or the certificate that is to be replaced).
/// A request that is under way is waited on; `old` is the key of the certificate that is to be replaced.
///
/// What is returned must be stored before [`Pending::forget`]: until then a restart finds the same certificate again.
pub async fn request(
    context: &Context,
    client: &Client,
    address: &HubAddress,
    agent_name: &str,
    old: Option<&str>,
) -> Result<Credential, Error> {
    let requests: Api<CertificateSigningRequest> = Api::all(client.clone());
    let under_way = Pending::read(&context.local).await?;
    let under_way = under_way.filter(|p| {
        p.is_for(address, &context.cluster_name) && p.agent_name == agent_name && old != Some(&p.key) && pki::Key::from_pem(&p.key).is_ok()
    });
    let pending = match under_way {
        Some(pending) => pending,
        None => begin(context, &requests, address, agent_name).await?,
    };
    let outcome = finish(context, requests, address, &pending).await;
    // Such an answer stays what it is: the next attempt needs another request.
    if let Err(Error::Denied { .. } | Error::KeyMismatch) = &outcome {
        Pending::forget(&context.local).await?;
    }
    outcome
}

/// Makes name and key of a new request and remembers them.
async fn begin(
    context: &Context,
    requests: &Api<CertificateSigningRequest>,
    address: &HubAddress,
    agent_name: &str,
) -> Result<Pending, Error> {
    let cluster_name = &context.cluster_name;
    let label = format!("{}={cluster_name}", api::CLUSTER_NAME_LABEL);
    let outstanding =
        requests.list_metadata(&ListParams::default().labels(&label)).await.map_err(Error::hub("list certificate requests"))?;
    if outstanding.items.len() >= OUTSTANDING_MAX {
        return Err(Error::TooManyRequests { count: outstanding.items.len() });
    }
    let pending = Pending {
        server: address.server.clone(),
        cluster_name: cluster_name.clone(),
        agent_name: agent_name.to_owned(),
        request: format!("{cluster_name}-{}", super::random_name()),
        key: pki::Key::generate()?.pem(),
    };
    pending.store(&context.local).await?;
    Ok(pending)
}

/// Sends the request unless the hub has it, and waits for the answer.
async fn finish(
    context: &Context,
    requests: Api<CertificateSigningRequest>,
    address: &HubAddress,
    pending: &Pending,
) -> Result<Credential, Error> {
    let Pending { cluster_name, agent_name, request: name, key, .. } = pending;
    let wanted = wanted(context, pending)?;
    match requests.create(&PostParams::default(), &wanted).await {
        Ok(_) => tracing::info!(csr = %name, "certificate requested, waiting for the hub to accept this cluster"),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            tracing::info!(csr = %name, "waiting for the answer to the certificate request of before");
        }
        Err(error) => return Err(Error::hub("create a certificate request")(error)),
    }
    let is_decided = |csr: Option<&CertificateSigningRequest>| csr.is_none_or(|csr| !matches!(answer(csr), Answer::Pending));
    let decided = tokio::time::timeout(PATIENCE, await_condition(requests, name, is_decided))
        .await
        .map_err(|_| Error::NotApproved { name: name.clone() })?
        .map_err(|e| Error::Wait(Box::new(e)))?;
    match decided.as_ref().map(answer) {
        Some(Answer::Signed(certificate)) => Credential::new(address.clone(), cluster_name, agent_name, certificate, key.clone()),
        Some(Answer::Denied(message)) => Err(Error::Denied { name: name.clone(), message }),
        Some(Answer::Pending) | None => Err(Error::NotApproved { name: name.clone() }),
    }
}

fn wanted(context: &Context, pending: &Pending) -> Result<CertificateSigningRequest, Error> {
    let cluster_name = &pending.cluster_name;
    let user = identity::agent_user(cluster_name, &pending.agent_name);
    let groups = [identity::cluster_group(cluster_name), identity::ALL_CLUSTERS_GROUP.to_owned()];
    let csr = pki::Key::from_pem(&pending.key)?.csr(&user, &groups)?;
    Ok(CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(pending.request.clone()),
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
    })
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
