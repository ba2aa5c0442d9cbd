//! The status of our ManagedCluster: what the hub is shown of this cluster.

use std::time::Duration;

use api::cluster::{ManagedCluster, ManagedClusterStatus, ManagedClusterVersion, annotation, condition, reason};
use api::conditions::{self, FALSE, Said, TRUE};
use api::report::{CLUSTER_INFO_KEY, ClusterInfo, Kind};
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};

use super::facts::Facts;
use super::{Error, claims, facts};
use crate::Context;
use crate::backoff::{BackOff, between};

/// As OCM's status period.
const PERIOD: Duration = Duration::from_secs(60);
/// After a welcome, once more: a hub that was away may write that we are lost when we have already looked.
const ONCE_MORE: Duration = Duration::from_secs(2);

/// How the last rotation of the certificate went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    pub failure: Option<String>,
}

/// Keeps the status current for as long as the runtime lives.
pub async fn run(context: Context) {
    let mut back_off = BackOff::new(Duration::from_millis(250), Duration::from_secs(15));
    let mut rotations = context.rotation.subscribe();
    let mut welcomes = context.welcomes.subscribe();
    let mut is_welcomed = false;
    loop {
        let rotation = rotations.borrow_and_update().clone();
        let delay = match once(&context, rotation.as_ref()).await {
            Ok(()) => {
                back_off.reset();
                if std::mem::take(&mut is_welcomed) { ONCE_MORE } else { PERIOD.mul_f64(between(1.0, 1.25)) }
            }
            Err(error) => {
                tracing::info!(error = error.chain(), "the cluster's status could not be told, will retry");
                back_off.next_delay()
            }
        };
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            _ = rotations.changed() => {}
            _ = welcomes.changed() => is_welcomed = true,
        }
    }
}

async fn once(context: &Context, rotation: Option<&Rotation>) -> Result<(), Error> {
    let facts = facts::read(&context.local).await?;
    report(context, &facts);
    let clusters: Api<ManagedCluster> = Api::all(context.hub.client.clone());
    let cluster = clusters.get(&context.cluster_name).await.map_err(Error::hub("read our ManagedCluster"))?;
    if is_told_to_be_silent(&cluster) {
        tracing::warn!("the hub says that this cluster's clock is wrong: the status is not told until it is right");
        return Ok(());
    }
    let before = cluster.status.clone().unwrap_or_default();
    let after = desired(&before, &facts, &context.cluster_uid, rotation, context.runtime.clock.now());
    if after == before {
        return Ok(());
    }
    // Only what is ours: the hub writes conditions too, so the version read must be the version written.
    let patch = serde_json::json!({
        "metadata": {"resourceVersion": cluster.resource_version(), "uid": cluster.uid()},
        "status": after,
    });
    clusters
        .patch_status(&context.cluster_name, &PatchParams::default(), &Patch::Merge(patch))
        .await
        .map_err(Error::hub("write our ManagedCluster's status"))?;
    Ok(())
}

/// Returns the status that the hub should show.
fn desired(
    before: &ManagedClusterStatus,
    facts: &Facts,
    cluster_uid: &str,
    rotation: Option<&Rotation>,
    now: Timestamp,
) -> ManagedClusterStatus {
    let mut status = before.clone();
    let mut said = vec![Said::new(condition::JOINED, TRUE, reason::JOINED, "Managed cluster joined")];
    match &facts.unhealthy {
        None => said.push(Said::new(condition::AVAILABLE, TRUE, reason::AVAILABLE, "Managed cluster is available")),
        Some(why) => said.push(Said::new(
            condition::AVAILABLE,
            FALSE,
            reason::KUBE_API_SERVER_UNAVAILABLE,
            format!("The kube-apiserver of managed cluster is not healthy: {why}"),
        )),
    }
    match rotation {
        None => {}
        Some(Rotation { failure: None }) => {
            said.push(Said::new(condition::CERTIFICATE_ROTATED, TRUE, reason::CLIENT_CERTIFICATE_UPDATED, "client certificate rotated"));
        }
        Some(Rotation { failure: Some(why) }) => {
            said.push(Said::new(condition::CERTIFICATE_ROTATED, FALSE, reason::CLIENT_CERTIFICATE_UPDATE_FAILED, why));
        }
    }
    for said in said {
        conditions::set(&mut status.conditions, &said, now);
    }
    // What is not known now stays as it was known last.
    if facts.unhealthy.is_none() {
        // Others may add resources of their own (as OCM): a name that no node has stays.
        status.capacity.extend(facts.capacity.clone());
        status.allocatable.clone_from(&facts.allocatable);
        status.version = Some(ManagedClusterVersion { kubernetes: facts.version.clone() });
        let (claims, left_out) = claims::claims(&facts.known_claims(cluster_uid), &facts.told);
        if left_out > 0 {
            tracing::warn!(left_out, shown = claims::CUSTOM_MAX, "too many custom ClusterClaims: the last ones by name are not shown");
        }
        status.cluster_claims = claims;
    }
    status
}

/// As OCM: while the hub holds our clock for wrong, what we say would carry wrong times.
fn is_told_to_be_silent(cluster: &ManagedCluster) -> bool {
    let is_skipped = cluster.annotations().get(annotation::SKIP_CLOCK_SYNC_CHECK).is_some_and(|v| v == "true");
    !is_skipped && conditions::is_false(cluster.conditions(), condition::CLOCK_SYNCED)
}

fn report(context: &Context, facts: &Facts) {
    let info = ClusterInfo {
        cluster_uid: context.cluster_uid.clone(),
        agent_version: crate::VERSION.to_owned(),
        kubernetes_version: facts.version.clone(),
        platform: facts.machine.clone(),
        nodes: facts.nodes,
        nodes_ready: facts.nodes_ready,
        pods: facts.pods,
        // By the second: a jittering measure is no change.
        clock_skew_ms: context.clock_skew.ms().map(|ms| ms / 1000 * 1000),
        gitops: String::new(),
    };
    context.reporter.report(Kind::ClusterInfo, CLUSTER_INFO_KEY, &info);
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

    fn told(status: &ManagedClusterStatus) -> Vec<String> {
        status.conditions.iter().map(|c| format!("{}={} {}", c.type_, c.status, c.reason)).collect()
    }

    #[test]
    fn a_healthy_cluster_shows_what_it_has_and_keeps_what_others_added() {
        let now = Timestamp::UNIX_EPOCH;
        let mut before = ManagedClusterStatus::default();
        before.capacity.insert("example.com/socket".into(), Quantity("1".into()));
        let mut facts = Facts { version: "v1.33.1".into(), ..Facts::default() };
        facts.capacity.insert("cpu".into(), Quantity("4".into()));
        let after = desired(&before, &facts, "uid", None, now);
        assert_eq!(
            told(&after),
            ["ManagedClusterJoined=True ManagedClusterJoined", "ManagedClusterConditionAvailable=True ManagedClusterAvailable"]
        );
        assert_eq!(after.capacity.len(), 2);
        assert_eq!(after.cluster_claims[0].value, "uid");
        assert_eq!(desired(&after, &facts, "uid", None, now + jiff::SignedDuration::from_hours(1)), after, "no news is no write");
    }

    #[test]
    fn an_unhealthy_cluster_keeps_its_last_facts() {
        let facts = Facts { version: "v1.33.1".into(), ..Facts::default() };
        let healthy = desired(&ManagedClusterStatus::default(), &facts, "uid", None, Timestamp::UNIX_EPOCH);
        let sick = Facts { unhealthy: Some("/livez: 500".into()), ..Facts::default() };
        let rotation = Rotation { failure: Some("denied".into()) };
        let after = desired(&healthy, &sick, "uid", Some(&rotation), Timestamp::UNIX_EPOCH);
        assert_eq!(
            told(&after),
            [
                "ManagedClusterJoined=True ManagedClusterJoined",
                "ManagedClusterConditionAvailable=False ManagedClusterKubeAPIServerUnavailable",
                "ClusterCertificateRotated=False ClientCertificateUpdateFailed"
            ]
        );
        assert_eq!((after.version, after.cluster_claims), (healthy.version, healthy.cluster_claims));
    }
}
