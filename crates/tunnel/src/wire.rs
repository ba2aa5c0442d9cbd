//! One connection, kept: dials on first use, carries every request, redials after loss.
//!
//! All callers share one dial. After a failed dial, or a connection that did not live long, the next
//! one waits with growing, jittered delay; requests wait with it, so that a hub that comes back is
//! used at once by everything. A server that does not speak HTTP/2 gets a bounded pool of HTTP/1.1
//! connections instead. A request that a dying connection never took is sent again on the next one.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, Shared};
use http::{HeaderValue, Request, Response, Uri, Version};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::endpoint::Endpoint;
use crate::{BoxError, body::Body, proxy};

/// TCP, TLS and HTTP together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// From sending a request to its response's headers: a little more than an API server allows itself (60 s).
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(75);
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
/// The hub is looked for at least this often; 1,000 agents at half of it on average are 130 dials a second.
const BACK_OFF_MOST: Duration = Duration::from_secs(15);
/// A connection that lived this long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// NAT gateways forget idle connections after some minutes, some after 30 s.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// What may be in flight to us: 256 KiB per stream carry a pack at 2.5 MB/s over 100 ms.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// HTTP/1.1 only: connections at once (each watch holds one), and how many rest idle.
const HTTP1_CONNECTIONS_MAX: usize = 64;
const HTTP1_IDLE_MAX: usize = 4;
/// How often one request may meet a connection that dies before taking it.
const SENDS_MAX: u32 = 3;

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("failed to reach {server}: {cause}")]
    Dial { server: String, cause: String },
    #[error("{server} did not answer {path} within {} s", RESPONSE_TIMEOUT.as_secs())]
    NoAnswer { server: String, path: String },
    #[error("the connection to {server} was lost")]
    Lost { server: String },
}

type Dial = Shared<BoxFuture<'static, Result<Fresh, WireError>>>;

/// What a dial yields; an HTTP/1.1 sender is for the one who takes it first.
#[derive(Clone)]
enum Fresh {
    Http2(http2::SendRequest<Body>),
    Http1(Arc<Mutex<Option<http1::SendRequest<Body>>>>),
}

/// What carries one request.
enum Carrier {
    Http2(http2::SendRequest<Body>),
    Http1(http1::SendRequest<Body>, OwnedSemaphorePermit),
}

#[derive(Default)]
struct State {
    http2: Option<(http2::SendRequest<Body>, Instant)>,
    http1_idle: Vec<http1::SendRequest<Body>>,
    /// The server was last seen to speak HTTP/1.1 only.
    is_http1: bool,
    dial: Option<Dial>,
    /// Dials that failed or did not last, in a row.
    failures: u32,
    next_dial_at: Option<Instant>,
}

pub(crate) struct Wire {
    endpoint: Endpoint,
    tls: Mutex<Option<Arc<rustls::ClientConfig>>>,
    state: Mutex<State>,
    http1_permits: Arc<Semaphore>,
}

impl Wire {
    pub(crate) fn new(endpoint: Endpoint) -> Arc<Self> {
        let http1_permits = Arc::new(Semaphore::new(HTTP1_CONNECTIONS_MAX));
        Arc::new(Self { endpoint, tls: Mutex::new(None), state: Mutex::default(), http1_permits })
    }

    pub(crate) fn default_namespace(&self) -> &str {
        &self.endpoint.default_namespace
    }

    /// Sends one request; the response's body streams.
    pub(crate) async fn send(self: Arc<Self>, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        self.endpoint.authorize(request.headers_mut())?;
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).to_owned();
        for _ in 0..SENDS_MAX {
            let carrier = self.carrier().await?;
            self.address(&mut request, &path, matches!(carrier, Carrier::Http2(_)))?;
            let sent = tokio::time::timeout(RESPONSE_TIMEOUT, self.send_on(carrier, request)).await;
            match sent {
                Err(_) => return Err(WireError::NoAnswer { server: self.endpoint.authority.clone(), path }.into()),
                Ok(Ok(response)) => return Ok(response),
                Ok(Err((error, None))) => return Err(error.into()),
                Ok(Err((_, Some(unsent)))) => request = unsent,
            }
        }
        Err(WireError::Lost { server: self.endpoint.authority.clone() }.into())
    }

    async fn send_on(
        self: &Arc<Self>,
        carrier: Carrier,
        request: Request<Body>,
    ) -> Result<Response<Body>, (hyper::Error, Option<Request<Body>>)> {
        match carrier {
            Carrier::Http2(mut sender) => match sender.try_send_request(request).await {
                Ok(response) => Ok(response.map(|incoming| incoming.map_err(BoxError::from).boxed_unsync())),
                Err(mut error) => {
                    let unsent = error.take_message();
                    Err((error.into_error(), unsent))
                }
            },
            Carrier::Http1(mut sender, permit) => match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep_when_idle(sender, permit);
                    Ok(response.map(|incoming| incoming.map_err(BoxError::from).boxed_unsync()))
                }
                Err(mut error) => {
                    let unsent = error.take_message();
                    Err((error.into_error(), unsent))
                }
            },
        }
    }

    /// Puts scheme, host and path prefix where the protocol wants them.
    fn address(&self, request: &mut Request<Body>, path: &str, is_http2: bool) -> Result<(), http::Error> {
        let path = format!("{}{path}", self.endpoint.path_prefix);
        if is_http2 {
            let scheme = if self.endpoint.tls.is_some() { "https" } else { "http" };
            *request.uri_mut() = Uri::builder().scheme(scheme).authority(self.endpoint.authority.as_str()).path_and_query(path).build()?;
            *request.version_mut() = Version::HTTP_2;
            request.headers_mut().remove(http::header::HOST);
        } else {
            *request.uri_mut() = Uri::builder().path_and_query(path).build()?;
            *request.version_mut() = Version::HTTP_11;
            request.headers_mut().insert(http::header::HOST, HeaderValue::from_str(&self.endpoint.authority)?);
        }
        Ok(())
    }

    /// Returns an open connection that is ready for a request; dials if there is none.
    async fn carrier(self: &Arc<Self>) -> Result<Carrier, WireError> {
        loop {
            if let Some(mut sender) = self.open_http2() {
                if sender.ready().await.is_ok() {
                    return Ok(Carrier::Http2(sender));
                }
                self.lost_http2();
                continue;
            }
            let is_http1 = self.state.lock().is_http1;
            if !is_http1 {
                match self.shared_dial().await? {
                    Fresh::Http2(_) => continue,
                    Fresh::Http1(slot) => {
                        // The one who takes it uses it; the others find `is_http1` set.
                        let taken = slot.lock().take();
                        let Some(sender) = taken else { continue };
                        return Ok(Carrier::Http1(sender, self.http1_permit().await));
                    }
                }
            }
            let permit = self.http1_permit().await;
            while let Some(mut sender) = self.idle_http1() {
                if sender.ready().await.is_ok() {
                    return Ok(Carrier::Http1(sender, permit));
                }
            }
            self.back_off().await;
            match self.clone().dial().await? {
                Fresh::Http2(_) => continue,
                Fresh::Http1(slot) => {
                    if let Some(sender) = slot.lock().take() {
                        return Ok(Carrier::Http1(sender, permit));
                    }
                }
            }
        }
    }

    fn open_http2(&self) -> Option<http2::SendRequest<Body>> {
        let sender = self.state.lock().http2.as_ref().map(|(sender, _)| sender.clone())?;
        if sender.is_closed() {
            self.lost_http2();
            return None;
        }
        Some(sender)
    }

    /// Forgets a closed HTTP/2 connection; one that was short-lived counts as a failed dial.
    fn lost_http2(&self) {
        let mut state = self.state.lock();
        let Some((sender, opened_at)) = &state.http2 else { return };
        if !sender.is_closed() {
            return;
        }
        let lived = opened_at.elapsed();
        state.http2 = None;
        if lived >= GOOD_AFTER {
            state.failures = 0;
            // A thousand agents lose a restarting hub at the same moment: spread their first dial too.
            state.next_dial_at = Some(Instant::now() + jittered(BACK_OFF_FIRST));
        } else {
            state.failed();
        }
        tracing::info!(server = %self.endpoint.authority, lived_s = lived.as_secs(), "connection lost");
    }

    fn idle_http1(&self) -> Option<http1::SendRequest<Body>> {
        self.state.lock().http1_idle.pop()
    }

    async fn http1_permit(&self) -> OwnedSemaphorePermit {
        self.http1_permits.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Returns an HTTP/1.1 connection to the pool once its response was read.
    fn keep_when_idle(self: &Arc<Self>, mut sender: http1::SendRequest<Body>, permit: OwnedSemaphorePermit) {
        let wire = Arc::downgrade(self);
        tokio::spawn(async move {
            let is_usable = sender.ready().await.is_ok();
            drop(permit);
            if let (true, Some(wire)) = (is_usable, wire.upgrade()) {
                let mut state = wire.state.lock();
                if state.http1_idle.len() < HTTP1_IDLE_MAX {
                    state.http1_idle.push(sender);
                }
            }
        });
    }

    /// Joins the dial that is under way, or starts one. It goes on when its callers give up, so that
    /// short timeouts of many cannot starve it.
    async fn shared_dial(self: &Arc<Self>) -> Result<Fresh, WireError> {
        let dial = {
            let mut state = self.state.lock();
            match &state.dial {
                Some(dial) => dial.clone(),
                None => {
                    let wire = self.clone();
                    let dial = async move {
                        wire.back_off().await;
                        let fresh = wire.clone().dial().await;
                        wire.state.lock().dial = None;
                        fresh
                    };
                    let dial = dial.boxed().shared();
                    state.dial = Some(dial.clone());
                    tokio::spawn(dial.clone());
                    dial
                }
            }
        };
        dial.await
    }

    async fn back_off(&self) {
        let until = self.state.lock().next_dial_at;
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    /// Dials once and records the outcome.
    async fn dial(self: Arc<Self>) -> Result<Fresh, WireError> {
        let dialled = tokio::time::timeout(DIAL_TIMEOUT, self.open()).await;
        let dialled = dialled.unwrap_or_else(|_| Err(format!("no connection within {} s", DIAL_TIMEOUT.as_secs()).into()));
        let mut state = self.state.lock();
        match dialled {
            Ok(Fresh::Http2(sender)) => {
                state.http2 = Some((sender.clone(), Instant::now()));
                state.is_http1 = false;
                state.next_dial_at = None;
                Ok(Fresh::Http2(sender))
            }
            Ok(Fresh::Http1(slot)) => {
                state.is_http1 = true;
                state.failures = 0;
                state.next_dial_at = None;
                Ok(Fresh::Http1(slot))
            }
            Err(cause) => {
                state.failed();
                // The next dial finds out anew what the server speaks.
                state.is_http1 = false;
                Err(WireError::Dial { server: self.endpoint.authority.clone(), cause: chain(cause.as_ref()) })
            }
        }
    }

    async fn open(&self) -> Result<Fresh, BoxError> {
        let tcp = proxy::open(self.endpoint.proxy.as_ref(), &self.endpoint.host, self.endpoint.port).await?;
        tcp.set_nodelay(true)?;
        match &self.endpoint.tls {
            None => http1_over(tcp).await,
            Some(settings) => {
                let config = self.tls_config()?;
                let tls = tokio_rustls::TlsConnector::from(config).connect(settings.server_name.clone(), tcp).await?;
                let is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                if is_http2 { http2_over(tls).await } else { http1_over(tls).await }
            }
        }
    }

    fn tls_config(&self) -> Result<Arc<rustls::ClientConfig>, BoxError> {
        let Some(settings) = &self.endpoint.tls else { return Err("the endpoint has no TLS".into()) };
        let mut cached = self.tls.lock();
        match cached.as_ref() {
            Some(config) if !settings.reads_files() => Ok(config.clone()),
            Some(_) | None => Ok(cached.insert(settings.client_config()?).clone()),
        }
    }
}

impl State {
    fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
        let delay = BACK_OFF_MOST.min(BACK_OFF_FIRST * 2u32.saturating_pow(self.failures.min(16)));
        self.next_dial_at = Some(Instant::now() + jittered(delay));
    }
}

async fn http2_over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Fresh, BoxError> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .handshake(TokioIo::new(io))
        .await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP/2 connection ended");
        }
    });
    Ok(Fresh::Http2(sender))
}

async fn http1_over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Fresh, BoxError> {
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "HTTP/1.1 connection ended");
        }
    });
    Ok(Fresh::Http1(Arc::new(Mutex::new(Some(sender)))))
}

/// Returns between half of `delay` and all of it.
fn jittered(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    delay.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX))
}

/// Writes an error and its causes on one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
