//! Accepts the cluster, records who it is, then approves the request.

use api::cluster::{ManagedCluster, annotation};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use serde_json::{Map, json};

use super::decide::{Plan, Verdict};
use super::observe::Observed;
use crate::Context;
use crate::error::{Doing, Error};
use crate::write;

/// As Open Cluster Management's controller says it.
const REASON: &str = "AutoApprovedByHubCSRApprovingController";

pub async fn act(ctx: &Context, seen: &Observed, plan: &Plan) -> Result<(), Error> {
    let Verdict::Approve { why } = &plan.verdict else { return Ok(()) };
    if let Some(cluster) = &seen.cluster {
        mark_cluster(ctx, cluster, plan).await?;
    }
    approve(ctx, &seen.request, why).await
}

async fn mark_cluster(ctx: &Context, cluster: &ManagedCluster, plan: &Plan) -> Result<(), Error> {
    let mut annotations = Map::new();
    let mut patch = json!({});
    if let Some(at) = plan.accept_cluster_on {
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        annotations.insert(annotation::AUTOMATICALLY_ACCEPTED_ON.into(), json!(at.to_string()));
        patch["spec"] = json!({"hubAcceptsClient": true});
    }
    if let Some(uid) = &plan.record_uid {
        annotations.insert(annotation::CLUSTER_UID.into(), json!(uid));
    }
    if annotations.is_empty() {
        return Ok(());
    }
    patch["metadata"] = json!({"annotations": annotations});
    write::merge(&ctx.all(), cluster, patch).await.map(|_: ManagedCluster| ())
}

async fn approve(ctx: &Context, request: &CertificateSigningRequest, why: &str) -> Result<(), Error> {
    let name = request.metadata.name.clone().unwrap_or_default();
    let now = Time(Timestamp::from_second(ctx.now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH));
    let mut approved = request.clone();
    let status: &mut CertificateSigningRequestStatus = approved.status.get_or_insert_default();
    status.conditions.get_or_insert_default().push(CertificateSigningRequestCondition {
        type_: "Approved".to_owned(),
        status: "True".to_owned(),
        reason: Some(REASON.to_owned()),
        message: Some(format!("approved by the hub: {why}")),
        last_update_time: Some(now.clone()),
        last_transition_time: Some(now),
    });
    let requests = ctx.all::<CertificateSigningRequest>();
    let done: Result<CertificateSigningRequest, _> =
        requests.replace_subresource("approval", &name, &PostParams::default(), &approved).await;
    done.map(|_| ()).doing(|| format!("approve CertificateSigningRequest {name}"))
}
