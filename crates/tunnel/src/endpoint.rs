//! What a kubeconfig says about one cluster: where it is, how to trust it, who we are.
//!
//! Everything is checked here, once; what is not supported is refused with the name of the field.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use kube::config::{AuthInfo, Cluster, Context, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext};
use parking_lot::Mutex;
use rustls_pki_types::ServerName;

use crate::Error;
use crate::proxy::Proxy;
use crate::tls::{Pem, TlsSettings};

/// A bound service account token on disk is replaced well before it expires; once a minute is as client-go does.
const TOKEN_FILE_AGE_MAX: Duration = Duration::from_secs(60);
const SERVICE_ACCOUNT_DIR: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// One server and our identity there.
pub(crate) struct Endpoint {
    pub host: String,
    pub port: u16,
    /// `host:port` or `host`, as the kubeconfig spells it: for the `Host` header.
    pub authority: String,
    /// Of a server behind a path (`https://rancher/k8s/clusters/c-1`), without a trailing slash.
    pub path_prefix: String,
    /// `None` for `http://`.
    pub tls: Option<TlsSettings>,
    pub proxy: Option<Proxy>,
    pub default_namespace: String,
    headers: HeaderMap,
    token_file: Option<TokenFile>,
}

struct TokenFile {
    path: PathBuf,
    read: Mutex<Option<(Instant, HeaderValue)>>,
}

impl Endpoint {
    pub(crate) fn new(kubeconfig: &Kubeconfig) -> Result<Self, Error> {
        let (context, cluster, user) = current(kubeconfig)?;
        let server = cluster.server.as_deref().ok_or_else(|| bad("clusters[].cluster.server is missing"))?;
        let uri: Uri = server.parse().map_err(|e| bad(format!("clusters[].cluster.server {server:?}: {e}")))?;
        let authority = uri.authority().ok_or_else(|| bad(format!("clusters[].cluster.server {server:?} has no host")))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            other => return Err(bad(format!("clusters[].cluster.server {server:?}: the scheme is {other:?}, use https"))),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tls = is_tls.then(|| tls_settings(&host, &cluster, &user)).transpose()?;
        let proxy = match cluster.proxy_url.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => Some(Proxy::parse("clusters[].cluster.proxy-url", url)?),
            None => Proxy::of_environment(&Matcher::from_env(), &uri)?,
        };
        let (headers, token_file) = identity(&user)?;
        Ok(Self {
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path_prefix: uri.path().trim_end_matches('/').to_owned(),
            host,
            tls,
            proxy,
            default_namespace: context.namespace.unwrap_or_else(|| "default".into()),
            headers,
            token_file,
        })
    }

    /// Adds who we are to a request.
    pub(crate) fn authorize(&self, headers: &mut HeaderMap) -> Result<(), Error> {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(token_file) = &self.token_file {
            headers.insert(http::header::AUTHORIZATION, token_file.bearer()?);
        }
        Ok(())
    }
}

impl TokenFile {
    /// Returns the header, read anew when it is old; a file that vanished meanwhile leaves the last one in use.
    fn bearer(&self) -> Result<HeaderValue, Error> {
        let mut read = self.read.lock();
        if let Some((at, value)) = read.as_ref()
            && at.elapsed() < TOKEN_FILE_AGE_MAX
        {
            return Ok(value.clone());
        }
        let value = match (std::fs::read_to_string(&self.path), read.as_ref()) {
            (Ok(token), _) => bearer(token.trim())?,
            (Err(_), Some((_, value))) => value.clone(),
            (Err(error), None) => return Err(bad(format!("users[].user.tokenFile {}: {error}", self.path.display()))),
        };
        *read = Some((Instant::now(), value.clone()));
        Ok(value)
    }
}

/// Returns a kubeconfig that only says where a server is: no identity, trusted as the machine trusts.
pub(crate) fn anonymous(server: &str) -> Kubeconfig {
    let cluster = Cluster { server: Some(server.to_owned()), ..Cluster::default() };
    Kubeconfig {
        clusters: vec![NamedCluster { name: "server".into(), cluster: Some(cluster), ..NamedCluster::default() }],
        contexts: vec![NamedContext {
            name: "server".into(),
            context: Some(Context { cluster: "server".into(), ..Context::default() }),
            ..NamedContext::default()
        }],
        ..Kubeconfig::default()
    }
}

/// Returns the kubeconfig of the cluster that this process runs in as a Pod.
pub fn in_cluster() -> Result<Kubeconfig, Error> {
    let variable = |name: &str| {
        std::env::var(name).map_err(|_| bad(format!("the variable {name} is not set: this is no Pod, give a kubeconfig instead")))
    };
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let file = |name: &str| Path::new(SERVICE_ACCOUNT_DIR).join(name).display().to_string();
    let cluster =
        Cluster { server: Some(format!("https://{host}:{port}")), certificate_authority: Some(file("ca.crt")), ..Cluster::default() };
    let user = AuthInfo { token_file: Some(file("token")), ..AuthInfo::default() };
    let context = Context {
        cluster: "local".into(),
        user: Some("local".into()),
        namespace: std::fs::read_to_string(file("namespace")).ok(),
        ..Context::default()
    };
    Ok(Kubeconfig {
        clusters: vec![NamedCluster { name: "local".into(), cluster: Some(cluster), ..NamedCluster::default() }],
        auth_infos: vec![NamedAuthInfo { name: "local".into(), auth_info: Some(user), ..NamedAuthInfo::default() }],
        contexts: vec![NamedContext { name: "local".into(), context: Some(context), ..NamedContext::default() }],
        current_context: Some("local".into()),
        ..Kubeconfig::default()
    })
}

/// Returns what `current-context` names; a kubeconfig with a single context needs no `current-context`.
pub fn current(kubeconfig: &Kubeconfig) -> Result<(Context, Cluster, AuthInfo), Error> {
    let named = match kubeconfig.current_context.as_deref().filter(|name| !name.is_empty()) {
        Some(wanted) => kubeconfig
            .contexts
            .iter()
            .find(|c| c.name == wanted)
            .ok_or_else(|| bad(format!("current-context is {wanted:?}, but contexts[] has no such name")))?,
        None if kubeconfig.contexts.len() == 1 => &kubeconfig.contexts[0],
        None => return Err(bad("current-context is missing")),
    };
    let context = named.context.clone().unwrap_or_default();
    let cluster = kubeconfig
        .clusters
        .iter()
        .find(|c| c.name == context.cluster)
        .and_then(|c| c.cluster.clone())
        .ok_or_else(|| bad(format!("context {:?} names cluster {:?}, but clusters[] has no such name", named.name, context.cluster)))?;
    let user = match context.user.as_deref().filter(|name| !name.is_empty()) {
        None => AuthInfo::default(),
        Some(wanted) => kubeconfig
            .auth_infos
            .iter()
            .find(|u| u.name == wanted)
            .and_then(|u| u.auth_info.clone())
            .ok_or_else(|| bad(format!("context {:?} names user {wanted:?}, but users[] has no such name", named.name)))?,
    };
    Ok((context, cluster, user))
}

fn tls_settings(host: &str, cluster: &Cluster, user: &AuthInfo) -> Result<TlsSettings, Error> {
    let name = cluster.tls_server_name.clone().unwrap_or_else(|| host.to_owned());
    let server_name = ServerName::try_from(name.clone()).map_err(|e| bad(format!("server name {name:?}: {e}")))?;
    let roots = pem(
        "clusters[].cluster.certificate-authority",
        cluster.certificate_authority_data.as_deref(),
        cluster.certificate_authority.as_deref(),
    )?;
    let certificate = pem("users[].user.client-certificate", user.client_certificate_data.as_deref(), user.client_certificate.as_deref())?;
    let key_data = secret(user, "client-key-data")?;
    let key = pem("users[].user.client-key", key_data.as_deref(), user.client_key.as_deref())?;
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(bad("users[].user has a client-certificate but no client-key")),
        (None, Some(_)) => return Err(bad("users[].user has a client-key but no client-certificate")),
    };
    let is_insecure = cluster.insecure_skip_tls_verify == Some(true);
    let settings = TlsSettings { server_name, roots, identity, is_insecure };
    // Built once to find mistakes at the time of connecting; the wire builds its own.
    settings.client_config()?;
    Ok(settings)
}

fn pem(field: &'static str, data: Option<&str>, file: Option<&str>) -> Result<Option<Pem>, Error> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let compact: String = data.split_ascii_whitespace().collect();
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(compact).map_err(|e| bad(format!("{field}-data is not base64: {e}")))?;
        return Ok(Some(Pem::Data { field, bytes }));
    }
    Ok(file.filter(|path| !path.is_empty()).map(|path| Pem::File { field, path: path.into() }))
}

/// Returns the headers that never change, and the token file if there is one.
fn identity(user: &AuthInfo) -> Result<(HeaderMap, Option<TokenFile>), Error> {
    for (is_set, field) in [(user.exec.is_some(), "exec"), (user.auth_provider.is_some(), "auth-provider")] {
        if is_set {
            return Err(bad(format!("users[].user.{field} is not supported: use a token, a tokenFile or a client certificate")));
        }
    }
    let mut headers = HeaderMap::new();
    let mut token_file = None;
    if let Some(token) = secret(user, "token")?.filter(|token| !token.is_empty()) {
        headers.insert(http::header::AUTHORIZATION, bearer(&token)?);
    } else if let Some(path) = user.token_file.as_deref().filter(|path| !path.is_empty()) {
        token_file = Some(TokenFile { path: path.into(), read: Mutex::new(None) });
    } else if let Some(name) = user.username.as_deref().filter(|name| !name.is_empty()) {
        headers.insert(http::header::AUTHORIZATION, basic(name, &secret(user, "password")?.unwrap_or_default())?);
    }
    let mut impersonate = |name: &'static str, value: &str| -> Result<(), Error> {
        let value = HeaderValue::from_str(value).map_err(|_| bad(format!("users[].user: {name} {value:?} is not a header value")))?;
        headers.append(HeaderName::from_static(name), value);
        Ok(())
    };
    if let Some(name) = &user.impersonate {
        impersonate("impersonate-user", name)?;
    }
    if let Some(uid) = &user.impersonate_uid {
        impersonate("impersonate-uid", uid)?;
    }
    for group in user.impersonate_groups.iter().flatten() {
        impersonate("impersonate-group", group)?;
    }
    Ok((headers, token_file))
}

/// Reads a secret field: kube shows them only to serialisers.
fn secret(user: &AuthInfo, field: &str) -> Result<Option<String>, Error> {
    let value = serde_json::to_value(user).map_err(|e| bad(format!("users[].user: {e}")))?;
    Ok(value.get(field).and_then(|v| v.as_str()).map(str::to_owned))
}

fn bearer(token: &str) -> Result<HeaderValue, Error> {
    sensitive(format!("Bearer {token}")).ok_or_else(|| bad("users[].user.token has characters that no token has"))
}

pub(crate) fn basic(name: &str, password: &str) -> Result<HeaderValue, Error> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
    sensitive(format!("Basic {encoded}")).ok_or_else(|| bad("users[].user.username is not usable"))
}

fn sensitive(value: String) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(crate) fn bad(message: impl Into<String>) -> Error {
    Error::Kubeconfig(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(cluster: &str, user: &str) -> Result<Endpoint, String> {
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u, namespace: n}}}}]\n\
             clusters: [{{name: k, cluster: {cluster}}}]\nusers: [{{name: u, user: {user}}}]"
        );
        Endpoint::new(&Kubeconfig::from_yaml(&text).unwrap()).map_err(|e| e.to_string())
    }

    fn check_refused(cluster: &str, user: &str, names: &str) {
        let error = endpoint(cluster, user).err().unwrap_or_else(|| panic!("{cluster} {user} was accepted"));
        assert!(error.contains(names), "{error:?} does not name {names:?}");
    }

    #[test]
    fn a_server_may_have_a_port_a_path_or_neither() {
        for (server, expect) in [
            ("https://hub.example:6443", ("hub.example", 6443, "")),
            ("https://hub.example/k8s/clusters/c-1/", ("hub.example", 443, "/k8s/clusters/c-1")),
            ("http://127.0.0.1", ("127.0.0.1", 80, "")),
            ("https://[::1]:6443", ("::1", 6443, "")),
        ] {
            let found = endpoint(&format!("{{server: '{server}', insecure-skip-tls-verify: true}}"), "{}").unwrap();
            assert_eq!((found.host.as_str(), found.port, found.path_prefix.as_str()), expect);
            assert_eq!(found.default_namespace, "n");
        }
    }

    #[test]
    fn a_mistake_is_refused_by_its_field() {
        check_refused("{}", "{}", "cluster.server");
        check_refused("{server: 'ftp://x'}", "{}", "use https");
        check_refused("{server: 'https://x', certificate-authority-data: '!'}", "{}", "certificate-authority-data is not base64");
        check_refused("{server: 'https://x', certificate-authority: /nonexistent/ca}", "{}", "/nonexistent/ca");
        check_refused("{server: 'https://x', certificate-authority-data: 'eA=='}", "{}", "certificate-authority");
        check_refused("{server: 'https://x', proxy-url: 'socks5://y'}", "{}", "proxy-url");
        check_refused("{server: 'https://x', insecure-skip-tls-verify: true}", "{client-certificate-data: eA==}", "client-key");
        check_refused("{server: 'http://x'}", "{exec: {command: aws}}", "user.exec");
    }

    #[test]
    fn a_token_wins_over_its_file_and_a_file_is_read_when_needed() {
        let mut headers = HeaderMap::new();
        endpoint("{server: 'http://x'}", "{token: t, tokenFile: /nonexistent}").unwrap().authorize(&mut headers).unwrap();
        assert_eq!(headers["authorization"], "Bearer t");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "from-file\n").unwrap();
        let found =
            endpoint("{server: 'http://x'}", &format!("{{tokenFile: '{}', as: admin, as-groups: [a, b]}}", file.path().display())).unwrap();
        found.authorize(&mut headers).unwrap();
        assert_eq!(headers["authorization"], "Bearer from-file");
        assert_eq!(headers["impersonate-user"], "admin");
        let lost = endpoint("{server: 'http://x'}", "{tokenFile: /nonexistent}").unwrap();
        assert!(lost.authorize(&mut headers).unwrap_err().to_string().contains("tokenFile /nonexistent"));
    }
}
