//! From the world to what one decision sees.

use controller::Key;
use jiff::Timestamp;

use super::world::World;
use super::{EventLevel, Options, Task};
use crate::kind::Kind;
use crate::model::Node;
use crate::workloads::{
    Plan, autoscaler, claim, cronjob, daemonset, deployment, ingress, job, kubelet, node, replicaset, scheduler, service, statefulset,
};

/// Decides what to do about one object; nothing, if it is gone.
pub fn decide(world: &World, options: &Options, task: &Task, now: Timestamp) -> Plan {
    decide_some(world, options, task, now).unwrap_or_default()
}

fn decide_some(world: &World, options: &Options, (kind, key): &Task, now: Timestamp) -> Option<Plan> {
    Some(match kind {
        Kind::Node => {
            let machine = options.machines.iter().find(|m| m.name == key.name)?;
            node::reconcile(&node::Observed { machine, node: world.nodes.get(key).map(|n| &**n) }, now)
        }
        Kind::PersistentVolumeClaim => claim::reconcile(&claim::Observed { claim: world.claims.get(key)? }, now),
        Kind::Service => decide_service(world, options, key, now)?,
        Kind::Deployment => {
            let deployment = &**world.deployments.get(key)?;
            let replica_sets = world.replica_sets.controlled_by(&deployment.metadata);
            deployment::reconcile(&deployment::Observed { deployment, replica_sets }, now)
        }
        Kind::ReplicaSet => {
            let set = &**world.replica_sets.get(key)?;
            replicaset::reconcile(&replicaset::Observed { set, pods: world.pods.controlled_by(&set.metadata) }, now)
        }
        Kind::StatefulSet => {
            let set = &**world.stateful_sets.get(key)?;
            let seen = statefulset::Observed {
                set,
                pods: world.pods.controlled_by(&set.metadata),
                revisions: world.revisions.controlled_by(&set.metadata),
                claims: world.claims.in_namespace(&key.namespace).map(|c| c.metadata.name.as_str()).collect(),
            };
            statefulset::reconcile(&seen, now)
        }
        Kind::DaemonSet => {
            let set = &**world.daemon_sets.get(key)?;
            let seen = daemonset::Observed {
                set,
                pods: world.pods.controlled_by(&set.metadata),
                revisions: world.revisions.controlled_by(&set.metadata),
                nodes: world.nodes.iter().collect(),
            };
            daemonset::reconcile(&seen, now)
        }
        Kind::HorizontalPodAutoscaler => {
            let autoscaler = &**world.autoscalers.get(key)?;
            let target = &autoscaler.spec.scale_target_ref;
            let deployment = world.deployments.get(&Key::new(&key.namespace, &target.name)).filter(|_| target.kind == "Deployment");
            autoscaler::reconcile(&autoscaler::Observed { autoscaler, deployment: deployment.map(|d| &**d) }, now)
        }
        Kind::Ingress => {
            let node_ip = address(options, world.nodes.iter().next());
            ingress::reconcile(&ingress::Observed { ingress: world.ingresses.get(key)?, node_ip }, now)
        }
        Kind::Job => {
            let job = &**world.jobs.get(key)?;
            job::reconcile(&job::Observed { job, pods: world.pods.controlled_by(&job.metadata) }, now)
        }
        Kind::CronJob => {
            let cron_job = &**world.cron_jobs.get(key)?;
            cronjob::reconcile(&cronjob::Observed { cron_job, jobs: world.jobs.controlled_by(&cron_job.metadata) }, now)
        }
        Kind::Pod => decide_pod(world, options, key, now)?,
        Kind::ConfigMap | Kind::ControllerRevision | Kind::PersistentVolume | Kind::EndpointSlice | Kind::Lease | Kind::Event => {
            return None;
        }
    })
}

/// A pod without a node is the scheduler's, one with a node its kubelet's.
fn decide_pod(world: &World, options: &Options, key: &Key, now: Timestamp) -> Option<Plan> {
    let pod = &**world.pods.get(key)?;
    if pod.spec.node_name.is_empty() {
        let claims = world.claims.in_namespace(&key.namespace);
        let seen = scheduler::Observed {
            pod,
            nodes: world.nodes.iter().collect(),
            pods: world.pods.iter().collect(),
            claims: claims.map(|c| (c.metadata.name.as_str(), c.status.text().contains("\"phase\":\"Bound\""))).collect(),
            faults: &world.faults,
        };
        return Some(scheduler::reconcile(&seen, now));
    }
    let seen = kubelet::Observed {
        pod,
        faults: &world.faults,
        since: world.steps.get(key).copied(),
        node_ip: address(options, world.nodes.get(&Key::cluster_scoped(&pod.spec.node_name)).map(|n| &**n)),
        free_ip: world.free_pod_ip(),
        seed: options.seed,
        is_terse: options.events != EventLevel::All,
    };
    Some(kubelet::reconcile(&seen, now))
}

fn decide_service(world: &World, options: &Options, key: &Key, now: Timestamp) -> Option<Plan> {
    let service = &**world.services.get(key)?;
    let seen = service::Observed {
        service,
        pods: world.pods.in_namespace(&key.namespace).collect(),
        slice: world.slices.get(key).map(|s| &**s),
        free_ip: world.free_service_ip(),
        node_ip: address(options, world.nodes.iter().next()),
    };
    Some(service::reconcile(&seen, now))
}

fn address(options: &Options, node: Option<&Node>) -> String {
    let machine = options.machines.iter().find(|m| node.is_none_or(|n| n.metadata.name == m.name));
    machine.map(|m| m.address.clone()).unwrap_or_default()
}
