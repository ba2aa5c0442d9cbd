//! Requests of browsers: checked, then answered by the door, the pages or the hub.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tunnel::{Body, body};

use crate::door::{self, Door, Session};
use crate::headers::{self, Kind};
use crate::proxy::{self, Way, refusal};
use crate::{Options, assets};

/// Of browsers, six each.
const CONNECTIONS_MAX: usize = 256;
const CSRF_HEADER: &str = "x-muster-csrf";
const NOT_SIGNED_IN: &str = "not signed in: `muster console` prints a link that signs you in";

pub(crate) struct Inner {
    pub address: SocketAddr,
    pub door: Door,
    /// What `Host` may say.
    hosts: [String; 3],
    cookie: String,
    options: Options,
}

impl Inner {
    pub fn new(address: SocketAddr, options: Options) -> Self {
        let port = address.port();
        let hosts = [address.to_string(), format!("localhost:{port}"), format!("127.0.0.1:{port}")];
        Self { address, door: Door::default(), hosts, cookie: door::cookie_name(port), options }
    }

    pub fn now(&self) -> Timestamp {
        self.options.runtime.clock.now()
    }

    async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let host = match self.host(request.headers()) {
            Some(host) => host.to_owned(),
            None => {
                let mut response =
                    refusal(StatusCode::MISDIRECTED_REQUEST, "this console has another name: open the link it was printed with");
                headers::secure(response.headers_mut(), Kind::Data);
                return response;
            }
        };
        let is_data = path.starts_with("/api/") || path == door::TICKETS_PATH;
        let mut response = match path.as_str() {
            "/login" => self.login(&request),
            door::TICKETS_PATH => self.tickets(&request),
            "/healthz" => assets::plain(StatusCode::OK, "ok\n"),
            _ if path.starts_with("/api/") => self.api(request, &path, &host).await,
            _ if matches!(*request.method(), Method::GET | Method::HEAD) => assets::get(&path, request.headers()),
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "pages are only read"),
        };
        headers::secure(response.headers_mut(), if is_data { Kind::Data } else { Kind::Page });
        response
    }

    /// Returns the name by which we were called, if it is one of ours.
    fn host<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let host = headers.get(HOST)?.to_str().ok()?;
        self.hosts.iter().any(|ours| ours == host).then_some(host)
    }

    /// Takes the ticket of a link. The answer is a page that goes on by itself, not a redirect: a browser that came from
    /// elsewhere would not send a strict cookie along with that.
    fn login(&self, request: &Request<Incoming>) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default();
        let ticket = query.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or_default();
        if *request.method() != Method::GET {
            return refusal(StatusCode::METHOD_NOT_ALLOWED, "a link is opened by GET");
        }
        match self.door.enter(ticket, self.now()) {
            Ok(Some(id)) => {
                tracing::info!("a browser signed in");
                let mut response =
                    page(StatusCode::OK, "<meta http-equiv=\"refresh\" content=\"0;url=/\"><p><a href=\"/\">Open the console</a></p>");
                let cookie = format!("{}={id}; Path=/; HttpOnly; SameSite=Strict", self.cookie);
                response.headers_mut().insert(SET_COOKIE, HeaderValue::from_str(&cookie).expect("hexadecimal"));
                response
            }
            Ok(None) => page(
                StatusCode::UNAUTHORIZED,
                "<h1>This link does not work any more</h1><p>A link signs in one browser, within a minute of being printed.</p>\
                 <p>Next: run <code>muster console</code>, and open the link it prints.</p>",
            ),
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    /// Gives a ticket to whoever knows the secret.
    fn tickets(&self, request: &Request<Incoming>) -> Response<Body> {
        let said =
            request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
        let is_known = matches!((&self.options.secret, said), (Some(secret), Some(said)) if is_same(secret, said));
        if *request.method() != Method::POST || !is_known {
            return refusal(StatusCode::FORBIDDEN, "links are given to `muster console`, which reads the secret in the fleet's directory");
        }
        match self.door.ticket(self.now()) {
            Ok(ticket) => proxy::json(StatusCode::CREATED, &serde_json::json!({ "link": door::link(self.address, &ticket) })),
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }

    async fn api(&self, request: Request<Incoming>, path: &str, host: &str) -> Response<Body> {
        let Some((id, session)) = self.session(request.headers()) else {
            return refusal(StatusCode::UNAUTHORIZED, NOT_SIGNED_IN);
        };
        if let Err(why) = is_ours(request.method(), request.headers(), &session, host) {
            return refusal(StatusCode::FORBIDDEN, why);
        }
        if path == "/api/session" {
            return match *request.method() {
                Method::GET => proxy::json(StatusCode::OK, &serde_json::json!({ "csrf": session.csrf })),
                Method::DELETE => {
                    self.door.leave(&id);
                    proxy::json(StatusCode::OK, &serde_json::json!({}))
                }
                _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "a session is read or ended"),
            };
        }
        match proxy::way(request.method(), path) {
            Way::Hub(target) => match whole(request).await {
                Ok(request) => {
                    let answer = proxy::forward(&self.options.hub, request, target).await;
                    answer.map(|body| proxy::until(body, session.gone.clone(), session.open_for(self.now())))
                }
                Err(response) => response,
            },
            Way::ReadOnly => refusal(StatusCode::METHOD_NOT_ALLOWED, "the read model is only read"),
            Way::Nowhere => refusal(StatusCode::NOT_FOUND, "the console leads to no such path of the hub"),
        }
    }

    fn session(&self, headers: &HeaderMap) -> Option<(String, Session)> {
        let id = door::cookie(headers, &self.cookie)?;
        Some((id.to_owned(), self.door.session(id, self.now())?))
    }
}

/// Checks that a request of a session comes from our own pages.
fn is_ours(method: &Method, headers: &HeaderMap, session: &Session, host: &str) -> Result<(), &'static str> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    // 1. No other site makes a browser ask, not even for what is only read. Old browsers do not say.
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err("the request comes from another site");
    }
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    // 2. A change says where it comes from, and proves that it has read the session.
    if text(ORIGIN.as_str()).is_none_or(|origin| origin.strip_prefix("http://") != Some(host)) {
        return Err("the request does not come from this console's pages: Origin is another");
    }
    match text(CSRF_HEADER) {
        Some(said) if is_same(&session.csrf, said) => Ok(()),
        _ => Err("the header X-Muster-CSRF does not carry the word of /api/session"),
    }
}

/// Compares in a time that does not depend on where they differ.
fn is_same(secret: &str, said: &str) -> bool {
    secret.len() == said.len() && secret.bytes().zip(said.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

async fn whole(request: Request<Incoming>) -> Result<Request<Bytes>, Response<Body>> {
    let (parts, incoming) = request.into_parts();
    match Limited::new(incoming, proxy::REQUEST_BYTES_MAX).collect().await {
        Ok(collected) => Ok(Request::from_parts(parts, collected.to_bytes())),
        Err(_) => {
            let message = format!("the request is longer than {} bytes, or ended early", proxy::REQUEST_BYTES_MAX);
            Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, &message))
        }
    }
}

fn page(status: StatusCode, content: &str) -> Response<Body> {
    let text = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>muster</title><link rel=\"icon\" href=\"/icon.svg\">{content}</html>"
    );
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

pub(crate) async fn accept(inner: Arc<Inner>, listener: TcpListener) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let inner = inner.clone();
        tokio::spawn(async move {
            if let Err(error) = serve_connection(inner, stream).await {
                tracing::debug!(%error, "connection ended");
            }
            drop(permit);
        });
    }
}

async fn serve_connection(inner: Arc<Inner>, stream: TcpStream) -> Result<(), hyper::Error> {
    let _ = stream.set_nodelay(true);
    let runtime = inner.options.runtime.clone();
    let service = hyper::service::service_fn(move |request| {
        let inner = inner.clone();
        async move { Ok::<_, std::convert::Infallible>(inner.handle(request).await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).max_buf_size(64 * 1024).header_read_timeout(Duration::from_secs(60));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        outcome = connection => outcome,
        // What streams would never end by itself.
        () = runtime.stopping() => Ok(()),
    }
}
