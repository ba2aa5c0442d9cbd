//! The sign of life: renewing a Lease in our namespace on the hub.

use std::time::Duration;

use api::cluster::{LEASE_NAME, ManagedCluster};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, ResourceExt};

use super::Error;
use crate::Context;
use crate::backoff::{BackOff, between};

/// As OCM's jitter: a beat comes after one lease duration to one and a quarter.
const JITTER: f64 = 0.25;

/// Beats for as long as the runtime lives.
pub async fn run(context: Context) {
    let mut back_off = BackOff::new(Duration::from_millis(250), Duration::from_secs(10));
    let mut period = Duration::from_secs(60);
    loop {
        let delay = match beat(&context).await {
            Ok(seconds) => {
                period = Duration::from_secs(seconds.clamp(1, 3600));
                back_off.reset();
                period.mul_f64(between(1.0, 1.0 + JITTER))
            }
            Err(error) => {
                tracing::info!(error = error.chain(), "heartbeat failed, will retry");
                back_off.next_delay().min(period)
            }
        };
        tokio::time::sleep(delay).await;
    }
}

/// Renews the lease once; returns the lease duration that the hub wants.
async fn beat(context: &Context) -> Result<u64, Error> {
    let clusters: Api<ManagedCluster> = Api::all(context.hub.client.clone());
    let cluster = clusters.get(&context.cluster_name).await.map_err(Error::hub("read our ManagedCluster"))?;
    let leases: Api<Lease> = Api::namespaced(context.hub.client.clone(), &context.cluster_name);
    let mut lease = leases.get(LEASE_NAME).await.map_err(Error::hub("read our lease"))?;
    // By the hub's clock as far as it is known: a store whose battery is empty is not dead.
    let spec = lease.spec.get_or_insert_default();
    spec.renew_time = Some(MicroTime(context.hub_now()));
    let name = lease.name_any();
    leases.replace(&name, &PostParams::default(), &lease).await.map_err(Error::hub("renew our lease"))?;
    Ok(u64::try_from(cluster.spec.lease_duration_seconds()).unwrap_or(60))
}
