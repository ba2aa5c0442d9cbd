//! A TLS server that tells what it saw.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::config::Kubeconfig;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tunnel::{Body, BoxError, body};

#[derive(Clone, Copy, PartialEq)]
pub enum Protocol {
    Http1,
    Http2,
}

#[derive(Default)]
struct Seen {
    dials: AtomicUsize,
    requests: AtomicUsize,
    refuse: AtomicUsize,
}

pub struct Server {
    port: u16,
    ca: String,
    client_certificate: String,
    client_key: String,
    seen: Arc<Seen>,
    generation: watch::Sender<u32>,
}

impl Server {
    pub async fn start(protocol: Protocol) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&server_key, &ca).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "store-1");
        let client = params.signed_by(&client_key, &ca).unwrap();

        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![server.der().clone()], key)
            .unwrap();
        config.alpn_protocols = if protocol == Protocol::Http2 { vec![b"h2".to_vec()] } else { vec![b"http/1.1".to_vec()] };

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (generation, _) = watch::channel(0);
        let this = Self {
            port: listener.local_addr().unwrap().port(),
            ca: ca.pem(),
            client_certificate: client.pem(),
            client_key: client_key.serialize_pem(),
            seen: Arc::default(),
            generation,
        };
        tokio::spawn(accept(listener, tokio_rustls::TlsAcceptor::from(Arc::new(config)), this.seen.clone(), this.generation.clone()));
        this
    }

    pub fn kubeconfig(&self, prefix: &str) -> Kubeconfig {
        let encode = |pem: &str| base64::engine::general_purpose::STANDARD.encode(pem);
        let text = format!(
            "apiVersion: v1\nkind: Config\ncontexts: [{{name: c, context: {{cluster: k, user: u, namespace: n}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://localhost:{}{prefix}', certificate-authority-data: {}}}}}]\n\
             users: [{{name: u, user: {{token: secret, client-certificate-data: {}, client-key-data: {}}}}}]",
            self.port,
            encode(&self.ca),
            encode(&self.client_certificate),
            encode(&self.client_key)
        );
        Kubeconfig::from_yaml(&text).unwrap()
    }

    pub fn dials(&self) -> usize {
        self.seen.dials.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// Answers the next `count` requests with 429.
    pub fn refuse(&self, count: usize) {
        self.seen.refuse.store(count, Ordering::SeqCst);
    }

    /// Breaks all connections and returns when their tasks are gone.
    pub async fn drop_connections(&self) {
        self.generation.send_modify(|generation| *generation += 1);
        while self.generation.receiver_count() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn accept(listener: TcpListener, tls: tokio_rustls::TlsAcceptor, seen: Arc<Seen>, generation: watch::Sender<u32>) {
    loop {
        let (tcp, _) = listener.accept().await.unwrap();
        let (tls, seen, mut dropped) = (tls.clone(), seen.clone(), generation.subscribe());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(tcp).await else { return };
            seen.dials.fetch_add(1, Ordering::SeqCst);
            let who = common_name(stream.get_ref().1.peer_certificates().unwrap());
            let service = hyper::service::service_fn(move |request| answer(seen.clone(), who.clone(), request));
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::select! {
                _ = builder.serve_connection(TokioIo::new(stream), service) => {}
                _ = dropped.changed() => {}
            }
        });
    }
}

async fn answer(seen: Arc<Seen>, who: String, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    seen.requests.fetch_add(1, Ordering::SeqCst);
    if seen.refuse.load(Ordering::SeqCst) > 0 {
        seen.refuse.fetch_sub(1, Ordering::SeqCst);
        return Ok(Response::builder().status(429).header("retry-after", "0").body(body::empty()).unwrap());
    }
    let path = request.uri().path().to_owned();
    Ok(Response::new(match path.as_str() {
        "/mirror" => request.into_body().map_err(BoxError::from).boxed_unsync(),
        "/api/v1/namespaces/n/configmaps/c" => {
            body::full(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","namespace":"n"}}"#)
        }
        _ => {
            let token = request.headers()["authorization"].to_str().unwrap();
            let target = request.uri().path_and_query().unwrap();
            body::full(format!("{:?} {target} by CN={who} as {token}", request.version()))
        }
    }))
}

/// The client's name is the only UTF8String in these certificates that starts with `store-`.
fn common_name(certificates: &[CertificateDer<'_>]) -> String {
    let text = String::from_utf8_lossy(&certificates[0]).into_owned();
    let at = text.find("store-").unwrap();
    text[at..at + 7].to_owned()
}
