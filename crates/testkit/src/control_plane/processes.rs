//! kube-apiserver and etcd as processes, with the flags that envtest gives them.
//!
//! One directory holds their data, keys and logs. Both listen on 127.0.0.1 and end when dropped, the API server first.
//! They stay in the caller's process group, so that what ends a test from outside ends them as well.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;
use tokio::time::Instant;

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
const VALIDITY: SignedDuration = SignedDuration::from_hours(24);
/// Shown of the log of a process that does not start.
const LAST_LINES: usize = 15;

pub struct Processes {
    // In the order in which they end.
    _apiserver: Process,
    _etcd: Process,
    _directory: TempDir,
}

impl Processes {
    /// Starts both and waits until the API server is ready; returns its administrator's kubeconfig as well.
    pub async fn start(assets: &Path) -> (Self, Kubeconfig) {
        let directory = tempfile::tempdir().expect("a directory");
        let [client_port, peer_port, port] = free_ports();
        let mut etcd = start_etcd(&assets.join("etcd"), directory.path(), client_port, peer_port);
        etcd.is_ready(async || answers(client_port).await).await;

        let kubeconfig = write_keys(directory.path(), port);
        let program = assets.join("kube-apiserver");
        let mut apiserver = Process::start(&program, &apiserver_arguments(directory.path(), port, client_port), directory.path());
        let config = kube::Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default()).await;
        let client = kube::Client::try_from(config.expect("our own kubeconfig")).expect("a client");
        let is_ready = async || client.request_text(http::Request::get("/readyz").body(Vec::new()).expect("a request")).await.is_ok();
        apiserver.is_ready(is_ready).await;
        (Self { _apiserver: apiserver, _etcd: etcd, _directory: directory }, kubeconfig)
    }
}

fn start_etcd(program: &Path, directory: &Path, client_port: u16, peer_port: u16) -> Process {
    let help = Command::new(program).arg("--help").output().unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
    // Not before 3.5; some versions print their help as an error.
    let mut arguments = etcd_arguments(directory, client_port, peer_port);
    if [help.stdout, help.stderr].iter().any(|text| String::from_utf8_lossy(text).contains("--unsafe-no-fsync")) {
        arguments.push("--unsafe-no-fsync=true".into());
    }
    Process::start(program, &arguments, directory)
}

fn etcd_arguments(directory: &Path, client_port: u16, peer_port: u16) -> Vec<String> {
    vec![
        format!("--data-dir={}", directory.join("etcd").display()),
        format!("--listen-client-urls=http://127.0.0.1:{client_port}"),
        format!("--advertise-client-urls=http://127.0.0.1:{client_port}"),
        format!("--listen-peer-urls=http://127.0.0.1:{peer_port}"),
    ]
}

fn apiserver_arguments(directory: &Path, port: u16, etcd_port: u16) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".into(),
        format!("--secure-port={port}"),
        // Else it looks for the address of a network, which a machine may not have, and writes it into Endpoints.
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(),
        format!("--cert-dir={}", directory.display()),
        format!("--tls-cert-file={}", file("server.crt")),
        format!("--tls-private-key-file={}", file("server.key")),
        format!("--client-ca-file={}", file("ca.crt")),
        format!("--service-account-issuer=https://127.0.0.1:{port}/"),
        format!("--service-account-key-file={}", file("tokens.crt")),
        format!("--service-account-signing-key-file={}", file("tokens.key")),
        "--authorization-mode=RBAC".into(),
        "--enable-bootstrap-token-auth=true".into(),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        "--allow-privileged=true".into(),
        // It refuses Pods of accounts that only kube-controller-manager makes.
        "--disable-admission-plugins=ServiceAccount".into(),
    ]
}

/// Writes the files that [`apiserver_arguments`] names; returns the administrator's kubeconfig.
fn write_keys(directory: &Path, port: u16) -> Kubeconfig {
    let now = Timestamp::now();
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).expect("written");
    let ca = pki::Authority::create("test", now, VALIDITY).expect("an authority");
    write("ca.crt", ca.certificate_pem());
    let server = ca.sign_server(&["127.0.0.1".into(), "localhost".into()], now, VALIDITY).expect("a certificate");
    write("server.crt", server.certificate_pem);
    write("server.key", server.key.pem());
    // The public key is taken from a certificate; of private keys only some formats are.
    let tokens = pki::Authority::create("tokens", now, VALIDITY).expect("an authority");
    write("tokens.crt", tokens.certificate_pem());
    write("tokens.key", tokens.key_pem());
    let admin = ca.sign_client("admin", &["system:masters"], now, VALIDITY).expect("a certificate");
    let data = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
    let value = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": data(&ca.certificate_pem()),
        }}],
        "users": [{"name": "test", "user": {
            "client-certificate-data": data(&admin.certificate_pem), "client-key-data": data(&admin.key.pem()),
        }}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    serde_json::from_value(value).expect("a kubeconfig")
}

/// A process with its log; killed when dropped.
struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    fn start(program: &Path, arguments: &[String], directory: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let path = directory.join(format!("{name}.log"));
        let log = std::fs::File::create(&path).expect("a file");
        let mut command = Command::new(program);
        command.args(arguments).current_dir(directory).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        let child = command.spawn().unwrap_or_else(|error| panic!("{} cannot be run: {error}", program.display()));
        Self { name, child, log: path }
    }

    /// Waits until it answers; panics with its last words if it ends or takes too long.
    async fn is_ready(&mut self, answers: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !answers().await {
            let ended = self.child.try_wait().expect("a child of ours");
            let is_late = begun.elapsed() > READY_TIMEOUT;
            if ended.is_some() || is_late {
                let text = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
                let how = ended.map_or_else(|| format!("is not ready after {READY_TIMEOUT:?}"), |status| format!("ended: {status}"));
                panic!("{} {how}; its last words:\n{last}", self.name);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data go with it, so there is nothing to end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn answers(port: u16) -> bool {
    tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
}

/// Finds ports that nobody has, all different.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners = [(); COUNT].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_finds_what_its_flags_name() {
        let directory = tempfile::tempdir().expect("a directory");
        let kubeconfig = write_keys(directory.path(), 6443);
        let arguments = apiserver_arguments(directory.path(), 6443, 2379);
        let value = |flag: &str| arguments.iter().find_map(|argument| argument.strip_prefix(&format!("--{flag}=")));
        assert_eq!(value("etcd-servers"), Some("http://127.0.0.1:2379"));
        assert_eq!(value("secure-port"), Some("6443"));
        assert_eq!(value("authorization-mode"), Some("RBAC"));
        assert_eq!(value("service-account-issuer"), Some("https://127.0.0.1:6443/"));
        let read = |flag: &str| std::fs::read_to_string(value(flag).expect(flag)).expect(flag);
        for (certificate, key) in
            [("tls-cert-file", "tls-private-key-file"), ("service-account-key-file", "service-account-signing-key-file")]
        {
            assert!(pki::Key::from_pem(&read(key)).expect("a key").matches(&read(certificate)), "{certificate}");
        }
        // What the server trusts signed what clients show, and what they trust signed what it shows.
        let authority = kubeconfig.clusters[0].cluster.as_ref().expect("a cluster").certificate_authority_data.clone();
        let decode = |data: &str| base64::engine::general_purpose::STANDARD.decode(data).expect("base64");
        assert_eq!(decode(&authority.expect("an authority")), read("client-ca-file").into_bytes());
        let admin = kubeconfig.auth_infos[0].auth_info.as_ref().expect("a user").client_certificate_data.clone().expect("a certificate");
        let identity = pki::Identity::from_pem(&String::from_utf8(decode(&admin)).expect("PEM")).expect("an identity");
        assert_eq!((identity.cn.as_str(), identity.orgs), ("admin", vec!["system:masters".to_owned()]));
    }

    #[tokio::test]
    async fn etcd_starts_and_ends_as_told() {
        let on_path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).unwrap_or_default();
        let folders = super::super::assets().into_iter().chain(on_path);
        let Some(program) = folders.map(|folder| folder.join("etcd")).find(|path| path.is_file()) else {
            println!("skipped: no etcd in KUBEBUILDER_ASSETS or on the path");
            return;
        };
        let directory = tempfile::tempdir().expect("a directory");
        let [client_port, peer_port] = free_ports();
        let mut etcd = start_etcd(&program, directory.path(), client_port, peer_port);
        etcd.is_ready(async || answers(client_port).await).await;
        assert!(directory.path().join("etcd/member").is_dir());
        drop(etcd);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, client_port)).is_ok(), "the port is free again");
    }

    #[tokio::test]
    #[should_panic(expected = "etcd ended")]
    async fn who_does_not_start_is_shown_with_its_last_words() {
        let directory = tempfile::tempdir().expect("a directory");
        let program = directory.path().join("etcd");
        std::os::unix::fs::symlink("/bin/false", &program).expect("a link");
        Process::start(&program, &[], directory.path()).is_ready(async || false).await;
    }
}
