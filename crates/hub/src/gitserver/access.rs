//! Who may read which repository through the hub.
//!
//! The hub holds logins and stands inside a network, so an agent gets what its cluster was given and nothing else: a
//! stolen store must not read other repositories or make the hub fetch addresses of its choice. [`Access::may_read`]
//! lets an agent have
//!
//! 1. what an Application in a ManifestWork of its cluster names,
//! 2. what a repository's Secret gives to its cluster (annotation [`CLUSTERS`]),
//! 3. what its own Applications name by report, if the hub reads it for another cluster anyhow and without a login.
//!
//! Everybody else has been authorised by RBAC and may read all. A report alone opens nothing: an agent says in it what
//! it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use api::cluster::identity;
use api::hub::Notice;
use api::report::Kind;
use api::work::ManifestWork;
use apimachinery::status::Status;
use apiserver::user::UserInfo;
use controller::{Cache, Key};
use parking_lot::RwLock;
use records::{Query, Records};
use serde_json::Value;

use super::logins::{CLUSTERS, Logins};

/// Agents of hubs before OCM's rename are in groups of this prefix.
const OLD_PREFIX: &str = "open-cluster-management:";

/// Decides from what the hub delivers; cheap to clone.
#[derive(Clone)]
pub(super) struct Access {
    logins: Logins,
    delivered: Arc<RwLock<Delivered>>,
    /// Set once everything is known.
    records: Arc<OnceLock<Arc<dyn Records>>>,
}

/// Which repositories go to which clusters.
#[derive(Default)]
struct Delivered {
    by_work: BTreeMap<Key, BTreeSet<String>>,
    /// Clusters by repository, with the number of works that name it.
    by_repo: BTreeMap<String, BTreeMap<String, usize>>,
}

impl Delivered {
    fn put(&mut self, work: &Key, repos: BTreeSet<String>) {
        for repo in self.by_work.remove(work).unwrap_or_default() {
            let Some(clusters) = self.by_repo.get_mut(&repo) else { continue };
            if let Some(works) = clusters.get_mut(&work.namespace) {
                *works -= 1;
            }
            clusters.retain(|_, works| *works > 0);
            if clusters.is_empty() {
                self.by_repo.remove(&repo);
            }
        }
        for repo in &repos {
            *self.by_repo.entry(repo.clone()).or_default().entry(work.namespace.clone()).or_default() += 1;
        }
        if !repos.is_empty() {
            self.by_work.insert(work.clone(), repos);
        }
    }

    fn is_for(&self, cluster: &str, repo: &str) -> bool {
        self.by_repo.get(repo).is_some_and(|clusters| clusters.contains_key(cluster))
    }
}

/// Who asks.
enum Caller<'a> {
    Agent(&'a str),
    /// In an agents' group, but nobody's agent.
    Unclear,
    Other,
}

impl Access {
    pub fn new(logins: Logins) -> Self {
        Self { logins, delivered: Arc::default(), records: Arc::default() }
    }

    /// Follows what is delivered; until then agents are told to come again.
    pub fn follow(&self, works: &Cache<ManifestWork>, records: Arc<dyn Records>) {
        let (delivered, now) = (self.delivered.clone(), works.clone());
        // Read anew, so that news told out of order does no harm.
        works.observe(move |change| {
            let repos = now.get(&change.key).map(|work| repositories(&work)).unwrap_or_default();
            delivered.write().put(&change.key, repos);
        });
        let _ = self.records.set(records);
    }

    /// Returns whether a caller that RBAC let through may read a repository, or the refusal with its remedy.
    pub async fn may_read(&self, user: &UserInfo, repo: &str) -> Result<(), Status> {
        let cluster = match caller(user) {
            Caller::Other => return Ok(()),
            Caller::Agent(cluster) => cluster,
            Caller::Unclear => return Err(forbidden(format!("user {:?} is no cluster's agent and may not read {repo}", user.username))),
        };
        let Some(records) = self.records.get() else {
            let mut starting = Status::new(503, "ServiceUnavailable", "the hub is starting");
            starting.retry_after_seconds = Some(1);
            return Err(starting);
        };
        let url = git::normal_url(repo);
        // 1. and 2. What the hub was told to give it.
        if self.delivered.read().is_for(cluster, &url) || self.logins.is_shared(&url, cluster) {
            return Ok(());
        }
        // 3. What it says it uses, where that costs nothing and shows nothing.
        if self.is_open(&url) {
            let mut named = Query::of(Kind::Application.as_str());
            named.clusters = Some(vec![cluster.to_owned()]);
            named.facets.insert("repo".to_owned(), vec![repo.to_owned()]);
            named.limit = 1;
            if records.list(named).await.map_err(Status::internal)?.total > 0 {
                return Ok(());
            }
        }
        Err(forbidden(format!(
            "cluster {cluster} may not read repository {repo} through the hub: no Application in a ManifestWork of namespace {cluster} \
             names it; deliver the Application by a ManifestWork, or annotate the repository's Secret with {CLUSTERS}: {cluster:?} \
             (or \"*\" for all clusters)"
        )))
    }

    /// Returns whether a cluster's agent is to hear a notice: of other repositories not even the names.
    pub fn may_hear(&self, cluster: &str, notice: &Notice) -> bool {
        let Notice::Revision { repo, .. } = notice else { return true };
        self.is_for(cluster, repo)
    }

    /// Returns whether the hub reads a repository for a cluster: because it was told to, or for another one and without
    /// a login.
    pub fn is_for(&self, cluster: &str, repo: &str) -> bool {
        let url = git::normal_url(repo);
        self.delivered.read().is_for(cluster, &url) || self.logins.is_shared(&url, cluster) || self.is_open(&url)
    }

    /// Returns whether a caller is an agent: it has no business with anything but reading.
    pub fn is_agent(user: &UserInfo) -> bool {
        !matches!(caller(user), Caller::Other)
    }

    /// Whether the hub reads it for some cluster, and without a login.
    fn is_open(&self, url: &str) -> bool {
        self.logins.find(url).is_none() && self.delivered.read().by_repo.contains_key(url)
    }
}

fn caller(user: &UserInfo) -> Caller<'_> {
    let prefix = identity::cluster_group("");
    let has_agent_group = user.groups.iter().any(|g| g.starts_with(&prefix) || g.starts_with(OLD_PREFIX));
    if !has_agent_group && !user.username.starts_with(&prefix) {
        return Caller::Other;
    }
    match identity::parse_agent_user(&user.username) {
        Some((cluster, _)) if user.is_in(&identity::cluster_group(cluster)) || user.is_in(&format!("{OLD_PREFIX}{cluster}")) => {
            Caller::Agent(cluster)
        }
        _ => Caller::Unclear,
    }
}

/// The repositories that the Applications in a work name, in normal form.
fn repositories(work: &ManifestWork) -> BTreeSet<String> {
    let manifests = work.spec.workload.manifests.iter().map(|m| &m.0);
    manifests.filter(|m| kinds::group_of(m) == api::argo::GROUP && kinds::kind_of(m) == "Application").flat_map(named_by).collect()
}

fn named_by(application: &Value) -> Vec<String> {
    let spec = &application["spec"];
    let several = spec["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
    let sources = std::iter::once(&spec["source"]).chain(several);
    sources.filter_map(|s| s["repoURL"].as_str()).filter(|url| !url.is_empty()).map(git::normal_url).collect()
}

fn forbidden(message: String) -> Status {
    Status::new(403, "Forbidden", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn agent(cluster: &str) -> UserInfo {
        UserInfo {
            username: identity::agent_user(cluster, "a1"),
            groups: vec![identity::ALL_CLUSTERS_GROUP.to_owned(), identity::cluster_group(cluster), "system:authenticated".to_owned()],
            ..UserInfo::default()
        }
    }

    fn work(repos: &[&str]) -> ManifestWork {
        let of = |repo: &&str| json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a"}, "spec": {"source": {"repoURL": repo}}});
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "spec": {"source": {"repoURL": "https://git/config"}}});
        let manifests: Vec<Value> = repos.iter().map(of).chain([config]).collect();
        serde_json::from_value(json!({"metadata": {"name": "w"}, "spec": {"workload": {"manifests": manifests}}})).expect("a work")
    }

    async fn access() -> (tempfile::TempDir, Access) {
        let dir = tempfile::tempdir().expect("a directory");
        let access = Access::new(Logins::default());
        let records = records::SqliteRecords::open(dir.path(), records::Options::default()).expect("records");
        let _ = access.records.set(Arc::new(records));
        (dir, access)
    }

    #[tokio::test]
    async fn an_agent_reads_what_its_cluster_was_given_and_nothing_else() {
        let (_dir, access) = access().await;
        let put = |cluster: &str, name: &str, repos: &[&str]| {
            access.delivered.write().put(&Key::new(cluster, name), repositories(&work(repos)));
        };
        put("store-1", "web", &["http://127.0.0.1:3000/web.git"]);
        put("store-2", "web", &["https://git.example.com/two"]);
        let read = async |user: &UserInfo, repo: &str| access.may_read(user, repo).await.map_err(|s| (s.code, s.message));
        let one = agent("store-1");
        assert_eq!(read(&one, "HTTP://127.0.0.1:3000/web").await, Ok(()), "a private address is fine where the hub was told of it");
        for url in ["https://git.example.com/two", "http://169.254.169.254/latest", "https://git/config", "http://127.0.0.1:3000/web2"] {
            let (code, message) = read(&one, url).await.expect_err("refused");
            assert_eq!(code, 403);
            assert!(message.contains(url) && message.contains("store-1") && message.contains(CLUSTERS), "{message}");
        }
        assert_eq!(read(&UserInfo::admin("admin"), "https://anywhere").await, Ok(()));
        put("store-1", "web", &[]);
        assert_eq!(read(&one, "http://127.0.0.1:3000/web").await.map_err(|e| e.0), Err(403), "what is not delivered any more is closed");
        assert!(access.delivered.read().by_work.keys().all(|k| k.namespace == "store-2"));
    }

    #[tokio::test]
    async fn who_only_looks_like_an_agent_reads_nothing() {
        let (_dir, access) = access().await;
        access.delivered.write().put(&Key::new("store-1", "w"), repositories(&work(&["https://git/a"])));
        let mut forged = agent("store-1");
        forged.groups = vec![identity::cluster_group("store-2")];
        let addon = UserInfo {
            username: "system:open-cluster-management:cluster:store-1:addon:x:agent:y".into(),
            groups: vec![identity::cluster_group("cluster:store-1:addon:x")],
            ..UserInfo::default()
        };
        let group_only = UserInfo { username: "eve".into(), groups: vec![identity::cluster_group("store-1")], ..UserInfo::default() };
        for user in [forged, addon, group_only] {
            assert_eq!(access.may_read(&user, "https://git/a").await.map_err(|s| s.code), Err(403), "{user:?}");
            assert!(Access::is_agent(&user));
        }
        let mut old = agent("store-1");
        old.groups = vec!["open-cluster-management:store-1".into()];
        assert!(access.may_read(&old, "https://git/a").await.is_ok());
    }

    #[tokio::test]
    async fn a_report_opens_only_what_the_hub_reads_without_a_login_anyhow() {
        let (_dir, access) = access().await;
        let told = |repo: &str| Notice::Revision { repo: repo.into(), revision: "main".into(), commit: "c".into() };
        let intake = records::Intake {
            cluster: "store-1".into(),
            cluster_uid: "u1".into(),
            incarnation: "i".into(),
            received_at: jiff::Timestamp::UNIX_EPOCH,
            skew_ms: None,
            frames: ["https://git/open", "https://git/elsewhere"]
                .iter()
                .enumerate()
                .map(|(i, repo)| reported(i as u64 + 1, repo))
                .collect(),
        };
        access.records.get().expect("set").append(intake).await.expect("kept");
        access.delivered.write().put(&Key::new("store-2", "w"), repositories(&work(&["https://git/open", "https://git/unsaid"])));
        let one = agent("store-1");
        assert!(access.may_read(&one, "https://git/open").await.is_ok());
        assert!(access.may_read(&one, "https://git/elsewhere").await.is_err(), "the hub would fetch an address of the agent's choice");
        assert!(access.may_read(&one, "https://git/unsaid").await.is_err());
        assert!(access.may_hear("store-1", &told("https://git/open")) && !access.may_hear("store-1", &told("https://git/elsewhere")));
        access.logins.put_login("s", "https://git/open", None);
        assert!(access.may_read(&one, "https://git/open").await.is_err(), "a login is the hub's, not the agent's");
        assert!(!access.may_hear("store-1", &told("https://git/open")));
        access.logins.put_login("s", "https://git/open", Some("store-3, store-1"));
        assert!(access.may_read(&one, "https://git/open").await.is_ok(), "shared by an administrator");
        access.logins.put_login("s", "https://git/open", Some("*"));
        assert!(access.may_read(&agent("store-9"), "https://git/open").await.is_ok());
    }

    fn reported(sequence: u64, repo: &str) -> records::Frame {
        let value = json!({"namespace": "argocd", "name": format!("a{sequence}"), "repo": repo});
        let value = serde_json::value::to_raw_value(&value).expect("JSON");
        let facets = records::Facets::from([("repo".to_owned(), repo.to_owned())]);
        records::Frame::Report(records::Report {
            sequence,
            kind: Kind::Application.as_str().to_owned(),
            key: format!("argocd/a{sequence}"),
            is_state: true,
            observed_at: jiff::Timestamp::UNIX_EPOCH,
            value: Some(value),
            facets,
        })
    }
}
