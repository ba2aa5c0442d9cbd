//! The connector against real TLS servers on localhost.

mod server;

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use server::{Protocol, Server};
use tower::ServiceExt;
use tunnel::{Connector, TlsConnector, body};

async fn text(connection: &tunnel::Connection, path: &str) -> Result<String, tunnel::BoxError> {
    let request = http::Request::get(path).body(body::empty())?;
    let response = connection.http.clone().oneshot(request).await?;
    Ok(String::from_utf8(body::collect(response.into_body(), 1 << 20).await?.to_vec())?)
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let server = Server::start(Protocol::Http2).await;
    let connection = TlsConnector.connect(&server.kubeconfig("")).unwrap();
    assert_eq!(server.dials(), 0, "opening does not dial");
    let answers = join_all((0..100).map(|_| text(&connection, "/echo?x=1"))).await;
    let answers: BTreeSet<String> = answers.into_iter().map(|a| a.unwrap()).collect();
    assert_eq!(answers, BTreeSet::from(["HTTP/2.0 /echo?x=1 by CN=store-1 as Bearer secret".to_owned()]));
    assert_eq!(server.dials(), 1);
}

#[tokio::test]
async fn a_lost_connection_is_dialled_again() {
    let server = Server::start(Protocol::Http2).await;
    let connection = TlsConnector.connect(&server.kubeconfig("")).unwrap();
    text(&connection, "/").await.unwrap();
    for round in 2..5 {
        server.drop_connections().await;
        let answer = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                if let Ok(answer) = text(&connection, "/").await {
                    return answer;
                }
            }
        });
        answer.await.unwrap();
        assert_eq!(server.dials(), round);
    }
}

#[tokio::test]
async fn a_server_without_http2_is_spoken_to_in_http1() {
    let server = Server::start(Protocol::Http1).await;
    let connection = TlsConnector.connect(&server.kubeconfig("/prefix")).unwrap();
    let answers = join_all((0..10).map(|_| text(&connection, "/echo"))).await;
    for answer in answers {
        assert_eq!(answer.unwrap(), "HTTP/1.1 /prefix/echo by CN=store-1 as Bearer secret");
    }
    let dials = server.dials();
    for _ in 0..20 {
        text(&connection, "/echo").await.unwrap();
    }
    assert!(server.dials() <= dials + 1, "idle connections are used again: {} then {}", dials, server.dials());
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let server = Server::start(Protocol::Http2).await;
    let connection = TlsConnector.connect(&server.kubeconfig("")).unwrap();
    let (sender, upload) = body::channel(4);
    let request = http::Request::post("/mirror").body(upload).unwrap();
    let mut download = connection.http.clone().oneshot(request).await.unwrap().into_body();
    for word in ["one", "two"] {
        sender.send(Bytes::from(word)).await.unwrap();
        let frame = download.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(frame, word);
    }
    drop(sender);
    assert!(download.collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn a_kubernetes_client_waits_when_the_server_asks_to() {
    let server = Server::start(Protocol::Http2).await;
    let connection = TlsConnector.connect(&server.kubeconfig("")).unwrap();
    server.refuse(1);
    let config_maps: Api<ConfigMap> = Api::default_namespaced(connection.client);
    let found = config_maps.get("c").await.unwrap();
    assert_eq!(found.metadata.namespace.as_deref(), Some("n"));
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn a_server_that_we_should_not_trust_is_refused() {
    let server = Server::start(Protocol::Http2).await;
    let other = Server::start(Protocol::Http2).await;
    let mut kubeconfig = server.kubeconfig("");
    kubeconfig.clusters[0].cluster.as_mut().unwrap().certificate_authority_data =
        other.kubeconfig("").clusters[0].cluster.as_ref().unwrap().certificate_authority_data.clone();
    let error = text(&TlsConnector.connect(&kubeconfig).unwrap(), "/").await.unwrap_err().to_string();
    assert!(error.contains("failed to reach localhost") && error.contains("certificate"), "{error}");
    kubeconfig.clusters[0].cluster.as_mut().unwrap().insecure_skip_tls_verify = Some(true);
    text(&TlsConnector.connect(&kubeconfig).unwrap(), "/").await.unwrap();
}
