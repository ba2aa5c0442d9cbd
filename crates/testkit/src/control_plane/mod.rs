//! A control plane for tests that are true of any Kubernetes.
//!
//! [`ControlPlane::start`] takes the first of these:
//! 1. `KUBEBUILDER_ASSETS` names a directory with `kube-apiserver` and `etcd`, as envtest has it: both are started as
//!    processes on free ports. Nobody plays kube-controller-manager then.
//! 2. `MUSTER_TEST_KUBECONFIG` names a kubeconfig of an administrator: whatever cluster that is. Tests run there side by
//!    side, and again and again: names must be their own.
//! 3. Our embedded API server, over TLS.
//!
//! A test says what it needs beyond the API ([`ControlPlane::has_controllers`], [`ControlPlane::runs_workloads`]), and
//! skips that part where it is missing. Tests that look into the server use [`embedded`] and are true of ours only.

pub mod embedded;
mod processes;

use std::path::{Path, PathBuf};

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};

use processes::Processes;

const ASSETS: &str = "KUBEBUILDER_ASSETS";
const GIVEN: &str = "MUSTER_TEST_KUBECONFIG";

/// A running control plane, and its administrator's kubeconfig; what was started ends when dropped.
pub struct ControlPlane {
    kubeconfig: Kubeconfig,
    origin: Origin,
}

enum Origin {
    Processes(#[expect(dead_code, reason = "run for as long as they are held")] Processes),
    Given,
    Embedded(#[expect(dead_code, reason = "runs for as long as it is held")] Box<embedded::Server>),
}

/// Which control plane the environment asks for.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    Processes(PathBuf),
    Given(PathBuf),
    Embedded,
}

impl ControlPlane {
    /// Starts or takes the control plane that the environment asks for.
    pub async fn start() -> Self {
        match Self::external().await {
            Some(plane) => plane,
            None => {
                let server = embedded::start().await;
                let kubeconfig = Kubeconfig::from_yaml(&server.serve().await).expect("our own kubeconfig");
                Self { kubeconfig, origin: Origin::Embedded(Box::new(server)) }
            }
        }
    }

    /// Returns a control plane that is not ours, if the environment names one.
    pub async fn external() -> Option<Self> {
        pki::tls::install_provider();
        let path = |variable| std::env::var_os(variable).map(|path| from_root(Path::new(&path)));
        match choose(path(ASSETS), path(GIVEN), |path| path.is_file()) {
            Choice::Processes(assets) => {
                let (processes, kubeconfig) = Processes::start(&assets).await;
                Some(Self { kubeconfig, origin: Origin::Processes(processes) })
            }
            Choice::Given(path) => {
                let kubeconfig = Kubeconfig::read_from(&path).unwrap_or_else(|error| panic!("{GIVEN}={}: {error}", path.display()));
                Some(Self { kubeconfig, origin: Origin::Given })
            }
            Choice::Embedded => None,
        }
    }

    pub fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// Returns the kubeconfig as a file of its own, whose paths do not depend on where it is.
    pub fn kubeconfig_text(&self) -> String {
        serde_json::to_string(&self.kubeconfig).expect("a kubeconfig is JSON")
    }

    /// Returns a kubeconfig that knows the server and has no credentials.
    pub fn kubeconfig_of_nobody(&self) -> String {
        let mut kubeconfig = self.kubeconfig.clone();
        kubeconfig.auth_infos.iter_mut().for_each(|user| user.auth_info = Some(AuthInfo::default()));
        serde_json::to_string(&kubeconfig).expect("a kubeconfig is JSON")
    }

    /// Returns kube's own client, as any program has it.
    pub async fn client(&self) -> kube::Client {
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options).await.expect("a usable kubeconfig");
        kube::Client::try_from(config).expect("a client")
    }

    /// Whether it is one that others made, and with it the administrator's rights and what else there is.
    pub fn is_given(&self) -> bool {
        matches!(self.origin, Origin::Given)
    }

    /// Whether somebody does what kube-controller-manager does for any API: removes namespaces and orphans, makes
    /// service accounts and root certificates, signs certificates.
    pub fn has_controllers(&self) -> bool {
        match self.origin {
            Origin::Processes(_) => false,
            Origin::Given | Origin::Embedded(_) => true,
        }
    }

    /// Whether somebody acts on Deployments and Pods, so that their status is not the test's alone.
    pub async fn runs_workloads(&self) -> bool {
        match self.origin {
            Origin::Processes(_) | Origin::Embedded(_) => false,
            // A Node that a kubelet, or who plays one, has reported; not one that a test made.
            Origin::Given => {
                let nodes = crate::list(&self.client().await, "v1", "Node", None).await;
                nodes.iter().any(|node| node["status"]["nodeInfo"]["kubeletVersion"].as_str().is_some_and(|v| !v.is_empty()))
            }
        }
    }

    /// Returns the administrator's name, as the server sees it.
    pub async fn user(&self) -> String {
        let kind = GroupVersionKind::gvk("authentication.k8s.io", "v1", "SelfSubjectReview");
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::all_with(self.client().await, &resource);
        let review = api.create(&PostParams::default(), &DynamicObject::new("", &resource)).await.expect("a SelfSubjectReview");
        review.data["status"]["userInfo"]["username"].as_str().expect("a name").to_owned()
    }
}

/// Returns the directory of envtest's binaries, if one is named.
pub fn assets() -> Option<PathBuf> {
    std::env::var_os(ASSETS).map(|path| from_root(Path::new(&path)))
}

fn choose(assets: Option<PathBuf>, kubeconfig: Option<PathBuf>, is_file: impl Fn(&Path) -> bool) -> Choice {
    if let Some(assets) = assets {
        if is_file(&assets.join("kube-apiserver")) && is_file(&assets.join("etcd")) {
            return Choice::Processes(assets);
        }
        println!("{ASSETS}={} is left aside: it holds no kube-apiserver and etcd", assets.display());
    }
    kubeconfig.map_or(Choice::Embedded, Choice::Given)
}

/// Relative paths are meant from the repository's root, where make runs.
fn from_root(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_go_before_a_kubeconfig_and_that_before_our_own_server() {
        let check = |assets: Option<&str>, kubeconfig: Option<&str>, files: &[&str], expect: Choice| {
            let is_file = |path: &Path| files.iter().any(|file| path == Path::new(file));
            assert_eq!(choose(assets.map(PathBuf::from), kubeconfig.map(PathBuf::from), is_file), expect);
        };
        let both = &["/bin/kube-apiserver", "/bin/etcd"];
        check(None, None, both, Choice::Embedded);
        check(Some("/bin"), Some("/config"), both, Choice::Processes("/bin".into()));
        check(Some("/bin"), Some("/config"), &["/bin/etcd"], Choice::Given("/config".into()));
        check(None, Some("/config"), both, Choice::Given("/config".into()));
    }

    #[tokio::test]
    async fn the_control_plane_answers_its_administrator() {
        let plane = ControlPlane::start().await;
        assert!(!plane.user().await.is_empty());
        let copied = Kubeconfig::from_yaml(&plane.kubeconfig_text()).expect("a kubeconfig");
        assert_eq!(copied.clusters.len(), plane.kubeconfig().clusters.len());
        let namespaces = crate::list(&plane.client().await, "v1", "Namespace", None).await;
        assert!(namespaces.iter().any(|namespace| namespace["metadata"]["name"] == "kube-system"));
    }
}
