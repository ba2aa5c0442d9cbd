//! Logins of repositories, from Secrets labelled `argocd.argoproj.io/secret-type: repository` (one repository) or
//! `repo-creds` (all below a URL), in Argo CD's namespace or the hub's own. A Secret may also say which clusters may
//! read through the hub what it is about ([`CLUSTERS`]), with a login or without.

use std::collections::BTreeMap;
use std::sync::Arc;

use controller::{Cache, Runtime};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::runtime::watcher::Config;
use parking_lot::RwLock;

const SECRET_TYPE: &str = "argocd.argoproj.io/secret-type";
/// Annotation of a repository's Secret: names of the clusters that may read it through the hub, or `*`.
/// No label, since a label's value may hold neither `*` nor a list.
pub(super) const CLUSTERS: &str = "muster.dev/clusters";
const NAMESPACES: [&str; 2] = ["argocd", api::hub::NAMESPACE];

/// What is known now; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Logins(Arc<RwLock<BTreeMap<(String, String), Entry>>>);

#[derive(Clone)]
struct Entry {
    url: String,
    /// Whether the URL stands for all repositories below it.
    is_prefix: bool,
    login: Option<git::Login>,
    /// Which clusters it is shared with.
    clusters: Vec<String>,
}

impl Entry {
    /// Whether it is about a repository, given in normal form. A prefix ends where a part of the path does:
    /// `https://git.example.com` says nothing of `https://git.example.com.elsewhere.org`.
    fn is_about(&self, url: &str) -> bool {
        match url.strip_prefix(&self.url) {
            Some("") => true,
            Some(rest) => self.is_prefix && rest.starts_with('/') && is_plain(rest),
            None => false,
        }
    }
}

/// Whether a path says where it leads without going back or being decoded.
fn is_plain(path: &str) -> bool {
    !path.contains(['\\', '%', '@']) && !path.split('/').any(|part| matches!(part, "." | ".."))
}

impl Logins {
    /// Follows the Secrets for as long as the runtime lives.
    pub fn follow(&self, client: &kube::Client, runtime: &Runtime) {
        for namespace in NAMESPACES {
            let config = Config::default().labels(&format!("{SECRET_TYPE} in (repository,repo-creds)"));
            let secrets = Cache::<Secret>::start(runtime, Api::namespaced(client.clone(), namespace), config);
            let entries = self.0.clone();
            secrets.observe(move |change| {
                let place = (change.key.namespace.clone(), change.key.name.clone());
                match change.new.as_deref().and_then(read) {
                    Some(entry) => entries.write().insert(place, entry),
                    None => entries.write().remove(&place),
                };
            });
        }
    }

    /// Returns the login for a repository: its own before that of the longest prefix.
    pub fn find(&self, url: &str) -> Option<git::Login> {
        let url = git::normal_url(url);
        let entries = self.0.read();
        let about = entries.values().filter(|e| e.login.is_some() && e.is_about(&url));
        about.max_by_key(|e| (!e.is_prefix, e.url.len())).and_then(|e| e.login.clone())
    }

    /// Returns whether an administrator has shared a repository, given in normal form, with a cluster.
    pub fn is_shared(&self, url: &str, cluster: &str) -> bool {
        let is_meant = |name: &String| name == "*" || name == cluster;
        self.0.read().values().any(|e| e.is_about(url) && e.clusters.iter().any(is_meant))
    }

    #[cfg(test)]
    pub fn put_login(&self, name: &str, url: &str, clusters: Option<&str>) {
        let clusters = clusters.unwrap_or_default().split(',').map(|c| c.trim().to_owned()).collect();
        let login = Some(git::Login { username: "u".to_owned(), password: "p".to_owned() });
        self.0.write().insert((String::new(), name.to_owned()), Entry { url: url.to_owned(), is_prefix: false, login, clusters });
    }
}

fn read(secret: &Secret) -> Option<Entry> {
    let text = |field: &str| {
        let bytes = secret.data.as_ref()?.get(field)?;
        Some(String::from_utf8_lossy(&bytes.0).trim().to_owned())
    };
    let is_prefix = secret.metadata.labels.as_ref()?.get(SECRET_TYPE)? == "repo-creds";
    let url = git::normal_url(&text("url")?);
    // A token alone is a password; servers take any user name with it.
    let password = text("password").or_else(|| text("bearerToken"));
    let login = password.map(|password| git::Login { username: text("username").unwrap_or_else(|| "git".to_owned()), password });
    let shared = secret.metadata.annotations.as_ref().and_then(|a| a.get(CLUSTERS)).map(String::as_str).unwrap_or_default();
    let clusters = shared.split(',').map(|c| c.trim().to_owned()).filter(|c| !c.is_empty()).collect();
    Some(Entry { url, is_prefix, login, clusters })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_repositorys_own_login_is_before_a_prefix() {
        let logins = Logins::default();
        let add = |name: &str, kind: &str, url: &str, username: &str| {
            let secret: Secret = serde_json::from_value(json!({
                "metadata": {"name": name, "labels": {SECRET_TYPE: kind}},
                "data": {"url": base64(url), "username": base64(username), "password": base64("p")},
            }))
            .expect("a secret");
            logins.0.write().insert((String::new(), name.to_owned()), read(&secret).expect("a login"));
        };
        add("a", "repo-creds", "https://git.example.com/", "all");
        add("b", "repo-creds", "https://git.example.com/team", "team");
        add("c", "repository", "https://git.example.com/team/app.git", "app");
        let user = |url: &str| logins.find(url).map(|l| l.username);
        assert_eq!(user("https://git.example.com/team/app"), Some("app".into()));
        assert_eq!(user("https://git.example.com/team/other.git"), Some("team".into()));
        assert_eq!(user("https://git.example.com/x"), Some("all".into()));
        assert_eq!(user("https://elsewhere.example.com/x"), None);
        for elsewhere in ["https://git.example.com.elsewhere.org/x", "https://git.example.com@elsewhere.org/x", "https://git.example.comx"]
        {
            assert_eq!(user(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(user("https://git.example.com/team/../x"), None, "it leads out of what it begins with");
    }

    fn base64(text: &str) -> String {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.encode(text)
    }
}
