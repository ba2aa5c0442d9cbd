//! `muster join`, `accept`, `leave`: how a cluster comes into the fleet and out of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use api::cluster::{ManagedCluster, condition};
use api::conditions;
use api::work::ManifestWork;
use clap::Args;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::time::Instant;

use super::status::duration;
use super::table::{line, lines};
use crate::client::{Hub, Target};
use crate::code;
use crate::layout::write_whole;

const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Args)]
pub struct Accept {
    /// Clusters that ask to join.
    #[arg(required = true)]
    clusters: Vec<String>,
    #[command(flatten)]
    target: Target,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Wait until they are Available.
    #[arg(long)]
    wait: bool,
    /// How long to wait, as 60s or 5m.
    #[arg(long, default_value = "2m", value_parser = duration)]
    timeout: Duration,
}

impl Accept {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let hub = self.target.connect()?;
        let (mut done, mut refused, mut failed) = (0, 0, 0);
        for name in &self.clusters {
            match accept(&hub, name, self.dry_run).await {
                Ok(outcome) => {
                    say!("{name}: {}", outcome.text(self.dry_run));
                    for (request, why) in &outcome.refused {
                        eprintln!("{name}: request {request} is not approved: {}", line(why));
                    }
                    refused += outcome.refused.len();
                    done += usize::from(outcome.refused.is_empty() || outcome.approved > 0 || !outcome.was_accepted);
                }
                Err(error) => {
                    eprintln!("{name}: {}", lines(&format!("{error:#}")));
                    failed += 1;
                }
            }
        }
        if failed + refused == 0 && self.wait && !self.dry_run {
            return wait_available(&hub, &self.clusters, self.timeout).await;
        }
        Ok(match (done, refused, failed) {
            (0, 1.., 0) => ExitCode::from(code::NO),
            _ => code::of_many(done, failed + refused),
        })
    }
}

/// What became of a cluster and its requests.
struct Accepted {
    was_accepted: bool,
    approved: usize,
    /// Requests that were left, and why.
    refused: Vec<(String, String)>,
}

impl Accepted {
    fn text(&self, is_dry: bool) -> String {
        let would = if is_dry { "would be " } else { "" };
        match (self.was_accepted, self.approved) {
            (true, 0) => "was accepted before".to_owned(),
            (true, count) => format!("was accepted before; {count} certificate requests {would}approved"),
            (false, count) => format!("{would}accepted, {count} certificate requests {would}approved"),
        }
    }
}

async fn accept(hub: &Hub, name: &str, is_dry: bool) -> anyhow::Result<Accepted> {
    let clusters: Api<ManagedCluster> = Api::all(hub.client());
    let cluster =
        clusters.get_opt(name).await?.with_context(|| format!("there is no ManagedCluster {name}; has its agent asked to join?"))?;
    let params = PatchParams { dry_run: is_dry, field_manager: Some("muster".to_owned()), ..PatchParams::default() };
    let requests: Api<CertificateSigningRequest> = Api::all(hub.client());
    let of_cluster = ListParams::default().labels(&format!("{}={name}", api::CLUSTER_NAME_LABEL));
    let open =
        requests.list(&of_cluster).await?.items.into_iter().filter(|r| r.status.as_ref().and_then(|s| s.conditions.as_ref()).is_none());
    let judged = judge(open.collect(), &cluster);
    if !cluster.spec.hub_accepts_client {
        clusters.patch(name, &params, &Patch::Merge(json!({"spec": {"hubAcceptsClient": true}}))).await?;
    }
    let mut outcome = Accepted { was_accepted: cluster.spec.hub_accepts_client, approved: 0, refused: Vec::new() };
    for (request, why_not) in judged {
        let request_name = request.metadata.name.unwrap_or_default();
        if let Some(why) = why_not {
            outcome.refused.push((request_name, why));
            continue;
        }
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let condition = json!({
            "type": "Approved", "status": "True", "reason": "MusterAccept", "message": "accepted by muster accept", "lastUpdateTime": now,
        });
        let approved = json!({"status": {"conditions": [condition]}});
        requests
            .patch_approval(&request_name, &params, &Patch::Merge(approved))
            .await
            .with_context(|| format!("request {request_name}"))?;
        outcome.approved += 1;
    }
    Ok(outcome)
}

/// Returns requests with why they are not to be approved. Anybody who may ask can put a cluster's label on a request:
/// what it asks for decides.
fn judge(requests: Vec<CertificateSigningRequest>, cluster: &ManagedCluster) -> Vec<(CertificateSigningRequest, Option<String>)> {
    let mut judged: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let why = hub::refuse_request(&request, cluster);
            (request, why)
        })
        .collect();
    let good = judged.iter().filter(|(_, why)| why.is_none());
    let claims: BTreeSet<Option<String>> = good.map(|(request, _)| hub::claimed_uid(request).map(str::to_owned)).collect();
    if claims.len() > 1 {
        for (_, why) in &mut judged {
            why.get_or_insert_with(|| {
                "several clusters ask to join under this name: end all agents but one, and deny its requests".to_owned()
            });
        }
    }
    judged
}

async fn wait_available(hub: &Hub, names: &[String], timeout: Duration) -> anyhow::Result<ExitCode> {
    let clusters: Api<ManagedCluster> = Api::all(hub.client());
    let begun = Instant::now();
    loop {
        let mut missing = Vec::new();
        for name in names {
            let cluster = clusters.get_opt(name).await?;
            if !cluster.is_some_and(|c| conditions::is_true(c.conditions(), condition::AVAILABLE)) {
                missing.push(name.as_str());
            }
        }
        if missing.is_empty() {
            eprintln!("all are Available");
            return Ok(ExitCode::SUCCESS);
        }
        if begun.elapsed() >= timeout {
            eprintln!("not Available in time: {}", missing.join(" "));
            return Ok(ExitCode::from(code::TIMEOUT));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[derive(Args)]
pub struct Leave {
    /// The cluster that is to leave.
    cluster: String,
    #[command(flatten)]
    target: Target,
    /// Say what would go, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do it: what the hub brought to the cluster goes with it.
    #[arg(long)]
    yes: bool,
    /// Wait until it is gone.
    #[arg(long)]
    wait: bool,
    /// How long to wait, as 60s or 5m.
    #[arg(long, default_value = "2m", value_parser = duration)]
    timeout: Duration,
}

impl Leave {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let hub = self.target.connect()?;
        let name = &self.cluster;
        let clusters: Api<ManagedCluster> = Api::all(hub.client());
        if clusters.get_opt(name).await?.is_none() {
            bail!("there is no ManagedCluster {name}; `muster get clusters` lists those there are");
        }
        let works: Api<ManifestWork> = Api::namespaced(hub.client(), name);
        let works = works.list_metadata(&ListParams::default()).await?.items.len();
        eprintln!(
            "{name} leaves the fleet: {works} ManifestWorks go, with what they brought to it unless they orphan it; its records age out"
        );
        if self.dry_run {
            return Ok(ExitCode::SUCCESS);
        }
        if !self.yes {
            eprintln!("nothing was done: repeat it with --yes");
            return Ok(ExitCode::from(code::USAGE));
        }
        clusters.delete(name, &DeleteParams::default()).await?;
        let begun = Instant::now();
        while self.wait && clusters.get_opt(name).await?.is_some() {
            if begun.elapsed() >= self.timeout {
                eprintln!("{name} is not gone in time; is it offline? What it holds goes when it is back");
                return Ok(ExitCode::from(code::TIMEOUT));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        say!("{name} {}", if self.wait { "left" } else { "is leaving" });
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub struct Join {
    /// Name of the cluster on the hub.
    cluster: String,
    #[command(flatten)]
    target: Target,
    /// Kubeconfig of the cluster that joins; printed into the command line.
    #[arg(long)]
    cluster_kubeconfig: Option<PathBuf>,
    /// Where the bootstrap kubeconfig is written. [default: <cluster>.bootstrap.kubeconfig]
    #[arg(long)]
    bootstrap: Option<PathBuf>,
    /// How long others may join with it, as 24h.
    #[arg(long, default_value = "24h", value_parser = duration)]
    ttl: Duration,
    /// Run the agent here instead of printing how.
    #[arg(long)]
    run: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
}

impl Join {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let hub = self.target.connect()?;
        let bootstrap = self.bootstrap.clone().unwrap_or_else(|| format!("{}.bootstrap.kubeconfig", self.cluster).into());
        let mut line: Vec<String> =
            vec!["--cluster-name".into(), self.cluster.clone(), "--bootstrap-kubeconfig".into(), bootstrap.display().to_string()];
        if let Some(kubeconfig) = &self.cluster_kubeconfig {
            line.extend(["--kubeconfig".to_owned(), kubeconfig.display().to_string()]);
        }
        line.extend(["--state-dir".to_owned(), format!("{}.agent", self.cluster)]);
        if self.dry_run {
            eprintln!("would make a token for {} s and write {}", self.ttl.as_secs(), bootstrap.display());
        } else {
            let valid = SignedDuration::try_from(self.ttl)?;
            let token = hub::bootstrap_token(&hub.client(), Timestamp::now(), valid).await.map_err(|e| anyhow::anyhow!("{}", e.full()))?;
            write_whole(&bootstrap, hub.with_token("bootstrap", &token)?.as_bytes(), 0o600)?;
            eprintln!("wrote {}: take it to the cluster, it lets clusters ask to join for {} s", bootstrap.display(), self.ttl.as_secs());
        }
        if !self.run || self.dry_run {
            say!("muster-agent {}", line.join(" "));
            eprintln!("then, unless it is accepted by itself: muster accept {}", self.cluster);
            return Ok(ExitCode::SUCCESS);
        }
        let beside = std::env::current_exe()?.with_file_name("muster-agent");
        let program = if beside.exists() { beside } else { "muster-agent".into() };
        let status = tokio::process::Command::new(&program)
            .args(&line)
            .kill_on_drop(true)
            .status()
            .await
            .with_context(|| format!("failed to run {}: is it beside muster, or in PATH?", program.display()))?;
        Ok(ExitCode::from(if status.success() { code::OK } else { code::ERROR }))
    }
}

#[cfg(test)]
mod tests {
    use api::cluster::{ManagedClusterSpec, annotation};
    use k8s_openapi::ByteString;
    use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;

    use super::*;

    fn request(of: &str, uid: Option<&str>) -> CertificateSigningRequest {
        let key = pki::Key::generate().expect("a key");
        let group = format!("system:open-cluster-management:{of}");
        let pem = key.csr(&format!("{group}:agent-x"), &[&group]).expect("a request");
        let mut request = CertificateSigningRequest {
            spec: CertificateSigningRequestSpec {
                request: ByteString(pem.into_bytes()),
                signer_name: "kubernetes.io/kube-apiserver-client".into(),
                usages: Some(vec!["client auth".into()]),
                username: Some("system:bootstrap:abcdef".into()),
                ..CertificateSigningRequestSpec::default()
            },
            ..CertificateSigningRequest::default()
        };
        request.metadata.labels = Some([(api::CLUSTER_NAME_LABEL.to_owned(), "store-1".to_owned())].into());
        request.metadata.annotations = uid.map(|uid| [(annotation::REQUESTER_CLUSTER_UID.to_owned(), uid.to_owned())].into());
        request
    }

    #[test]
    fn a_label_alone_lets_nobody_in() {
        let cluster = ManagedCluster::new("store-1", ManagedClusterSpec::default());
        let check = |requests: &[CertificateSigningRequest]| -> Vec<bool> {
            judge(requests.to_vec(), &cluster).iter().map(|(_, why)| why.is_none()).collect()
        };
        assert_eq!(check(&[request("store-1", Some("u-1")), request("store-2", Some("u-2"))]), [true, false]);
        assert_eq!(check(&[request("store-1", Some("u-1")), request("store-1", Some("u-1"))]), [true, true], "asked again");
        assert_eq!(check(&[request("store-1", Some("u-1")), request("store-1", None)]), [false, false], "who is it?");
    }
}
