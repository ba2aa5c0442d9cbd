//! A request, the cluster it names, and what its sender may do.

use std::sync::Arc;

use api::cluster::{ManagedCluster, REGISTER_GROUP};
use controller::{Cache, Key};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::PostParams;

use super::decide;
use crate::Context;
use crate::error::{Doing, Error};

pub struct Observed {
    pub request: Arc<CertificateSigningRequest>,
    /// The name in the request's label.
    pub cluster_name: String,
    pub cluster: Option<Arc<ManagedCluster>>,
    pub may_renew: bool,
    pub may_bring_in: bool,
}

/// Returns a request that is neither approved nor denied.
pub async fn observe(ctx: &Context, key: &Key) -> Result<Option<Observed>, Error> {
    let Some(request) = ctx.caches.requests.get(key).filter(|r| is_open(r)) else { return Ok(None) };
    let Some(cluster_name) = cluster_of(&request).map(str::to_owned) else { return Ok(None) };
    let user = request.spec.username.clone().unwrap_or_default();
    let groups = request.spec.groups.clone().unwrap_or_default();
    // Only those who already are the cluster's agent are asked about: the rest cannot renew anything.
    let may_renew = decide::is_agent_of(&user, &cluster_name) && may_renew(ctx, &request, &cluster_name).await?;
    Ok(Some(Observed {
        cluster: ctx.caches.clusters.get(&Key::cluster_scoped(&cluster_name)),
        may_renew,
        may_bring_in: ctx.options.auto_accept.includes(&user, &groups),
        request,
        cluster_name,
    }))
}

pub fn open_requests(requests: &Cache<CertificateSigningRequest>, cluster: &str) -> Vec<Key> {
    requests.list().iter().filter(|r| cluster_of(r) == Some(cluster) && is_open(r)).map(|r| Key::of(&**r)).collect()
}

fn cluster_of(request: &CertificateSigningRequest) -> Option<&str> {
    request.metadata.labels.as_ref()?.get(api::CLUSTER_NAME_LABEL).map(String::as_str)
}

fn is_open(request: &CertificateSigningRequest) -> bool {
    let conditions = request.status.as_ref().and_then(|s| s.conditions.as_ref());
    !conditions.into_iter().flatten().any(|c| matches!(c.type_.as_str(), "Approved" | "Denied" | "Failed"))
}

async fn may_renew(ctx: &Context, request: &CertificateSigningRequest, cluster: &str) -> Result<bool, Error> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: request.spec.username.clone(),
            uid: request.spec.uid.clone(),
            groups: request.spec.groups.clone(),
            extra: request.spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some(REGISTER_GROUP.to_owned()),
                resource: Some("managedclusters".to_owned()),
                subresource: Some("clientcertificates".to_owned()),
                verb: Some("renew".to_owned()),
                name: Some(cluster.to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = ctx.all::<SubjectAccessReview>().create(&PostParams::default(), &review).await;
    let answer = answer.doing(|| format!("ask whether the sender of a request may renew the certificate of {cluster}"))?;
    Ok(answer.status.is_some_and(|s| s.allowed))
}
