//! The console in front of a hub that writes down what it is asked.

use std::sync::Arc;

use bytes::Bytes;
use console::{Console, Options, TICKETS_PATH};
use controller::{Clock, Runtime};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tower::util::BoxCloneSyncService;
use tunnel::{Body, HttpService, body};

/// A console, a way to it, and what its hub was asked.
struct Case {
    server: HttpService,
    origin: String,
    console: Console,
    asked: Arc<Mutex<Vec<String>>>,
    /// What the hub has open; it never ends these by itself.
    streams: Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>,
}

impl Case {
    async fn new() -> Self {
        pki::tls::install_provider();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let streams: Arc<Mutex<Vec<mpsc::Sender<Bytes>>>> = Arc::default();
        let (heard, open) = (asked.clone(), streams.clone());
        let hub = BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
            let names: Vec<&str> = request.headers().keys().map(http::HeaderName::as_str).collect();
            heard.lock().push(format!("{} {} [{}]", request.method(), request.uri(), names.join(" ")));
            let body = if request.uri().path().ends_with("/changes") {
                let (sender, body) = body::channel(1);
                open.lock().push(sender);
                body
            } else {
                body::full("{}")
            };
            async move { Ok(Response::builder().header("content-type", "application/json").header("set-cookie", "hub=1").body(body)?) }
        }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let options = Options { runtime: Runtime::new(Clock::wall()), hub, secret: Some("secret".into()) };
        let console = Console::serve(listener, options).expect("served");
        let origin = format!("http://{}", console.address());
        Self { server: tunnel::to_server(&origin).expect("a server"), origin, console, asked, streams }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        tunnel::send(&self.server, request.body(body::empty()).expect("a request")).await.expect("an answer")
    }

    /// Opens a link; returns the cookie.
    async fn enter(&self) -> String {
        let link = self.console.link().expect("random");
        let answer = self.ask(Method::GET, link.strip_prefix(&self.origin).expect("ours"), &[]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()["set-cookie"].to_str().expect("ascii").to_owned();
        assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{cookie}");
        cookie.split(';').next().expect("a pair").to_owned()
    }
}

async fn document(answer: Response<Body>) -> serde_json::Value {
    let bytes = body::collect(answer.into_body(), 1 << 20).await.expect("whole");
    serde_json::from_slice(&bytes).expect("JSON")
}

#[tokio::test]
async fn the_hub_hears_who_is_signed_in_and_nothing_of_their_browser() {
    let case = Case::new().await;
    let path = "/api/muster/v1/clusters?q=a";
    assert_eq!(case.ask(Method::GET, path, &[]).await.status(), StatusCode::UNAUTHORIZED);
    assert!(case.asked.lock().is_empty());
    let cookie = case.enter().await;
    let answer = case.ask(Method::GET, path, &[("cookie", &cookie), ("accept", "text/csv"), ("x-remote-user", "root")]).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.headers().get("set-cookie").is_none() && answer.headers()["cache-control"] == "no-store");
    assert_eq!(*case.asked.lock(), ["GET /muster/v1/clusters?q=a [accept]"]);
}

#[tokio::test]
async fn a_change_needs_our_origin_and_the_word_of_the_session() {
    let case = Case::new().await;
    let (cookie, other) = (case.enter().await, case.enter().await);
    let word = |cookie: String| {
        let case = &case;
        async move {
            document(case.ask(Method::GET, "/api/session", &[("cookie", &cookie)]).await).await["csrf"].as_str().expect("text").to_owned()
        }
    };
    let (ours, theirs) = (word(cookie.clone()).await, word(other).await);
    let path = "/api/k8s/api/v1/namespaces/a";
    let check = async |headers: &[(&str, &str)], expect| {
        let all: Vec<_> = [("cookie", cookie.as_str())].into_iter().chain(headers.iter().copied()).collect();
        assert_eq!(case.ask(Method::DELETE, path, &all).await.status(), expect, "{headers:?}");
    };
    check(&[], StatusCode::FORBIDDEN).await;
    check(&[("x-muster-csrf", &ours)], StatusCode::FORBIDDEN).await;
    check(&[("origin", "http://127.0.0.1:1"), ("x-muster-csrf", &ours)], StatusCode::FORBIDDEN).await;
    check(&[("origin", &case.origin), ("x-muster-csrf", &theirs)], StatusCode::FORBIDDEN).await;
    check(&[("origin", &case.origin), ("x-muster-csrf", &ours), ("sec-fetch-site", "cross-site")], StatusCode::FORBIDDEN).await;
    assert!(case.asked.lock().is_empty());
    check(&[("origin", &case.origin), ("x-muster-csrf", &ours)], StatusCode::OK).await;
    assert_eq!(case.asked.lock().len(), 1);
}

#[tokio::test]
async fn links_are_for_those_who_know_the_secret() {
    let case = Case::new().await;
    let status = async |headers: &[(&str, &str)]| case.ask(Method::POST, TICKETS_PATH, headers).await.status();
    assert_eq!(status(&[]).await, StatusCode::FORBIDDEN);
    assert_eq!(status(&[("authorization", "Bearer secreT")]).await, StatusCode::FORBIDDEN);
    let answer = case.ask(Method::POST, TICKETS_PATH, &[("authorization", "Bearer secret")]).await;
    let link = document(answer).await["link"].as_str().expect("a link").to_owned();
    let path = link.strip_prefix(&case.origin).expect("ours");
    assert_eq!(case.ask(Method::GET, path, &[]).await.status(), StatusCode::OK);
    assert_eq!(case.ask(Method::GET, path, &[]).await.status(), StatusCode::UNAUTHORIZED, "used");
}

#[tokio::test]
async fn who_signs_out_hears_no_more() {
    let case = Case::new().await;
    let cookie = case.enter().await;
    let mut stream = case.ask(Method::GET, "/api/muster/v1/changes", &[("cookie", &cookie)]).await.into_body();
    let hub = case.streams.lock().pop().expect("opened");
    hub.send("data: 1".into()).await.expect("listened to");
    let first = stream.frame().await.expect("a frame").expect("whole").into_data().expect("data");
    assert_eq!(first, "data: 1");
    let session = document(case.ask(Method::GET, "/api/session", &[("cookie", &cookie)]).await).await;
    let word = session["csrf"].as_str().expect("text");
    let headers = [("cookie", cookie.as_str()), ("origin", &case.origin), ("x-muster-csrf", word)];
    assert_eq!(case.ask(Method::DELETE, "/api/session", &headers).await.status(), StatusCode::OK);
    let rest = tokio::time::timeout(std::time::Duration::from_secs(10), stream.frame()).await.expect("the stream ends");
    assert!(rest.is_none());
    hub.closed().await;
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_refused() {
    let case = Case::new().await;
    let cookie = case.enter().await;
    let port = case.console.address().port();
    // By hand: a client says the name it dialled.
    let check = async |host: &str, expect: &str| {
        let mut stream = tokio::net::TcpStream::connect(case.console.address()).await.expect("connected");
        let request = format!("GET /api/muster/v1/hub HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        assert_eq!(answer.split(' ').nth(1), Some(expect), "{host}: {answer}");
    };
    check("rebound.example", "421").await;
    check(&format!("rebound.example:{port}"), "421").await;
    assert!(case.asked.lock().is_empty());
    check(&format!("localhost:{port}"), "200").await;
}
