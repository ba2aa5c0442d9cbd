//! Git's smart HTTP over our own connections, for gix, which is blocking.
//!
//! A server is followed where it redirects to, as long as that is itself (a forge that adds `.git`); one that sends us
//! elsewhere is an error with the address to write instead: whoever names a repository names its server.

use std::any::Any;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use gix::protocol::transport::client::AuthenticationRequired;
use gix::protocol::transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tunnel::{Body, HttpService};

/// How long a server may be silent in the middle of a body; it sends signs of life while it works.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: usize = 5;
/// What a server may send in one conversation. A shallow fetch of few branches is far below it.
const ANSWERS_BYTES_MAX: u64 = 4 << 30;
/// Characters of a redirect's target that an error repeats.
const LOCATION_CHARS_MAX: usize = 200;
/// What we tell a server we have and want; a shallow mirror has little.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// Opens a way to the server of a repository; `None` for one on disk.
pub(crate) fn server_of(url: &str) -> io::Result<Option<HttpService>> {
    if url.starts_with("file:") {
        return Ok(None);
    }
    let url: Uri = url.parse().map_err(io::Error::other)?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(io::Error::other("it names no server"));
    };
    // What stands before an `@` is a login, and gix's.
    let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    tunnel::to_server(&format!("{scheme}://{host}")).map(Some).map_err(io::Error::other)
}

/// An HTTP client for one server. Must be used on threads that may block.
pub(crate) struct Client {
    link: Link,
    /// Where the repository is, after redirects.
    moved_to: Option<String>,
}

/// What requests of one conversation share.
#[derive(Clone)]
pub(crate) struct Link {
    pub http: HttpService,
    pub runtime: Handle,
    /// When the conversation is over, whatever state it is in: the thread it has is needed elsewhere.
    pub until: Instant,
    pub interrupt: Arc<AtomicBool>,
    pub received: Arc<AtomicU64>,
}

impl Link {
    /// Waits on a blocking thread, no longer than the conversation may take and than a server may be silent.
    fn wait<T>(&self, silence_max: Option<Duration>, what: impl Future<Output = T>) -> io::Result<T> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the conversation was broken off"));
        }
        let silent_at = silence_max.map_or(self.until, |most| self.until.min(Instant::now() + most));
        let outcome = self.runtime.block_on(async { tokio::time::timeout_at(silent_at, what).await });
        outcome.map_err(|_| match silence_max {
            Some(most) if Instant::now() < self.until => {
                io::Error::new(io::ErrorKind::TimedOut, format!("the server sent nothing for {} s", most.as_secs()))
            }
            _ => io::Error::new(io::ErrorKind::TimedOut, "the server did not end its answer in time"),
        })
    }

    fn exchange(&self, request: Request<Body>) -> io::Result<Response<Body>> {
        self.wait(None, tunnel::send(&self.http, request))?.map_err(io::Error::other)
    }

    /// Counts what came.
    fn receive(&self, bytes: usize) -> io::Result<()> {
        let before = self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        if before + bytes as u64 > ANSWERS_BYTES_MAX {
            return Err(io::Error::other(format!("the server sent more than {ANSWERS_BYTES_MAX} bytes")));
        }
        Ok(())
    }
}

impl Client {
    pub fn new(link: Link) -> Self {
        Self { link, moved_to: None }
    }

    fn get_following(&mut self, url: &str, base: &str, headers: &HeaderMap) -> io::Result<Response<Body>> {
        let tail = url.strip_prefix(base).unwrap_or_default();
        let mut url: Uri = url.parse().map_err(io::Error::other)?;
        for _ in 0..REDIRECTS_MAX {
            let response = self.link.exchange(request(Method::GET, &url, headers, Bytes::new())?)?;
            if !response.status().is_redirection() {
                return succeeded(response);
            }
            url = redirected(&url, &response)?;
            let text = url.to_string();
            self.moved_to = text.strip_suffix(tail).map(str::to_owned);
            if self.moved_to.is_none() {
                return Err(io::Error::other(format!("the server redirects to {:?}, which is no Git repository", shown(&text))));
            }
        }
        Err(io::Error::other(format!("the server redirected {REDIRECTS_MAX} times")))
    }
}

impl Http for Client {
    type Headers = Lazy;
    type ResponseBody = Lazy;
    type PostBody = Upload;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Lazy, Lazy>> {
        let headers = header_map(headers);
        // Errors are told when the answer is read: gix looks there for a server that wants a login.
        let answer = self.get_following(url, base_url, &headers).map(|response| Answer::of(response, &self.link));
        let (headers, body) = Lazy::pair(Exchange::Done(Some(answer)));
        Ok(GetResponse { headers, body })
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Lazy, Lazy, Upload>> {
        let moved = self.moved_to.as_deref().map(|base| format!("{base}{}", url.strip_prefix(base_url).unwrap_or_default()));
        let upload = Upload::default();
        let pending = Pending {
            link: self.link.clone(),
            url: moved.unwrap_or_else(|| url.to_owned()),
            headers: header_map(headers),
            upload: upload.clone(),
        };
        let (headers, body) = Lazy::pair(Exchange::Pending(pending));
        Ok(PostResponse { post_body: upload, headers, body })
    }

    fn configure(&mut self, _config: &dyn Any) -> gix::Result {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.moved_to.clone()
    }
}

/// What is to be posted; it is sent when the answer is first read.
#[derive(Clone, Default)]
pub(crate) struct Upload(Arc<Mutex<Vec<u8>>>);

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut upload = self.0.lock();
        if upload.len() + bytes.len() > REQUEST_BYTES_MAX {
            return Err(io::Error::other(format!("the request would exceed {REQUEST_BYTES_MAX} bytes")));
        }
        upload.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Pending {
    link: Link,
    url: String,
    headers: HeaderMap,
    upload: Upload,
}

impl Pending {
    fn answer(self) -> io::Result<Answer> {
        let url: Uri = self.url.parse().map_err(io::Error::other)?;
        let body = std::mem::take(&mut *self.upload.0.lock());
        let response = self.link.exchange(request(Method::POST, &url, &self.headers, body.into())?)?;
        succeeded(response).map(|response| Answer::of(response, &self.link))
    }
}

enum Exchange {
    Pending(Pending),
    Done(Option<io::Result<Answer>>),
}

/// A successful answer: its headers as lines, and its body as it comes.
struct Answer {
    headers: Cursor<Vec<u8>>,
    body: Incoming,
}

impl Answer {
    fn of(response: Response<Body>, link: &Link) -> Self {
        let mut headers = Vec::new();
        for (name, value) in response.headers() {
            headers.extend_from_slice(name.as_str().as_bytes());
            headers.push(b':');
            headers.extend_from_slice(value.as_bytes());
            headers.push(b'\n');
        }
        let body = Incoming { link: link.clone(), body: response.into_body(), chunk: Bytes::new(), is_ended: false };
        Self { headers: Cursor::new(headers), body }
    }
}

/// One half (headers or body) of an answer that is waited for when it is first read.
pub(crate) struct Lazy {
    exchange: Arc<Mutex<Exchange>>,
    is_body: bool,
    half: Option<Half>,
}

enum Half {
    Headers(Cursor<Vec<u8>>),
    Body(Incoming),
}

impl Lazy {
    fn pair(exchange: Exchange) -> (Self, Self) {
        let exchange = Arc::new(Mutex::new(exchange));
        (Self { exchange: exchange.clone(), is_body: false, half: None }, Self { exchange, is_body: true, half: None })
    }

    fn half(&mut self) -> io::Result<&mut Half> {
        if self.half.is_none() {
            self.half = Some(self.wait()?);
        }
        self.half.as_mut().ok_or_else(|| io::Error::other("the answer was read already"))
    }

    /// Takes our half of the answer; the first of the two waits for it. A failure is told once, to the first.
    fn wait(&self) -> io::Result<Half> {
        let mut exchange = self.exchange.lock();
        if let Exchange::Pending(_) = &*exchange {
            let Exchange::Pending(pending) = std::mem::replace(&mut *exchange, Exchange::Done(None)) else { unreachable!("seen above") };
            *exchange = Exchange::Done(Some(pending.answer()));
        }
        let Exchange::Done(answer) = &mut *exchange else { unreachable!("answered above") };
        match answer {
            Some(Ok(answer)) if self.is_body => {
                let nothing = Incoming::empty(&answer.body.link);
                Ok(Half::Body(std::mem::replace(&mut answer.body, nothing)))
            }
            Some(Ok(answer)) => Ok(Half::Headers(std::mem::take(&mut answer.headers))),
            Some(Err(_)) => Err(answer.take().and_then(Result::err).unwrap_or_else(|| io::Error::other("the request failed"))),
            None => Err(io::Error::other("the request failed")),
        }
    }
}

impl Read for Lazy {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.half()? {
            Half::Headers(headers) => headers.read(buffer),
            Half::Body(body) => body.read(buffer),
        }
    }
}

impl BufRead for Lazy {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.half()? {
            Half::Headers(headers) => headers.fill_buf(),
            Half::Body(body) => body.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match &mut self.half {
            Some(Half::Headers(headers)) => headers.consume(bytes),
            Some(Half::Body(body)) => body.consume(bytes),
            None => {}
        }
    }
}

/// A body that is waited for on a blocking thread.
struct Incoming {
    link: Link,
    body: Body,
    chunk: Bytes,
    is_ended: bool,
}

impl Incoming {
    fn empty(link: &Link) -> Self {
        Self { link: link.clone(), body: tunnel::body::empty(), chunk: Bytes::new(), is_ended: true }
    }
}

impl BufRead for Incoming {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() && !self.is_ended {
            let frame = self.link.wait(Some(SILENCE_MAX), self.body.frame())?;
            match frame.transpose().map_err(io::Error::other)? {
                Some(frame) => {
                    self.chunk = frame.into_data().unwrap_or_default();
                    self.link.receive(self.chunk.len())?;
                }
                None => self.is_ended = true,
            }
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, bytes: usize) {
        self.chunk.advance(bytes);
    }
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let bytes = available.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&available[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}

fn request(method: Method, url: &Uri, headers: &HeaderMap, body: Bytes) -> io::Result<Request<Body>> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path).body(tunnel::body::full(body)).map_err(io::Error::other)?;
    *request.headers_mut() = headers.clone();
    Ok(request)
}

/// Returns an answer if it is one, and else what gix makes its errors of.
fn succeeded(response: Response<Body>) -> io::Result<Response<Body>> {
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED => {
            let challenges = response.headers().get_all(http::header::WWW_AUTHENTICATE);
            let www_authenticate = challenges.iter().map(|value| value.as_bytes().into()).collect();
            Err(io::Error::new(io::ErrorKind::PermissionDenied, AuthenticationRequired { www_authenticate }))
        }
        status => Err(io::Error::other(format!("Received HTTP status {}", status.as_u16()))),
    }
}

/// Returns where a redirect leads, if that is the same server.
fn redirected<B>(from: &Uri, response: &Response<B>) -> io::Result<Uri> {
    let location = response.headers().get(http::header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| io::Error::other("the server redirects without saying where to"))?;
    if location.starts_with('/') && !location.starts_with("//") {
        let mut parts = from.clone().into_parts();
        parts.path_and_query = Some(location.parse().map_err(io::Error::other)?);
        return Uri::from_parts(parts).map_err(io::Error::other);
    }
    let to: Uri = location.parse().map_err(io::Error::other)?;
    if server(&to) != server(from) {
        let address = location.split_once("/info/refs").map_or(location, |(address, _)| address);
        return Err(io::Error::other(format!("the server redirects elsewhere; if you trust it, write {:?} as repoURL", shown(address))));
    }
    Ok(to)
}

/// Scheme, host and port, by which servers are one or another.
fn server(url: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let default_port = if url.scheme_str() == Some("https") { 443 } else { 80 };
    (url.scheme_str(), url.host().map(str::to_ascii_lowercase), url.port_u16().or(Some(default_port)))
}

/// What an error may repeat of an address that a server chose: no login, no parameters, no novel.
fn shown(address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    crate::without_password(address).chars().take(LOCATION_CHARS_MAX).collect()
}

/// gix writes headers as lines.
fn header_map(lines: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Some((name, value)) = line.as_ref().split_once(':')
            && let (Ok(name), Ok(mut value)) = (http::HeaderName::try_from(name.trim()), http::HeaderValue::try_from(value.trim()))
        {
            value.set_sensitive(name == http::header::AUTHORIZATION);
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_never_answers_or_never_ends_gives_the_thread_back() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/app.git", listener.local_addr().expect("its address"));
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            // The first request gets headers and no body, the second nothing.
            let (mut first, _) = listener.accept().await.expect("a connection");
            let asked = first.read(&mut [0; 4096]).await.expect("a request");
            assert!(asked > 0, "nothing was asked");
            first.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await.expect("written");
            std::future::pending::<()>().await;
        });
        let link = Link {
            http: server_of(&url).expect("a server").expect("not on disk"),
            runtime: Handle::current(),
            until: Instant::now() + Duration::from_secs(1),
            interrupt: Arc::default(),
            received: Arc::default(),
        };
        let asked = tokio::task::spawn_blocking(move || {
            let mut client = Client::new(link);
            let headers = HeaderMap::new();
            let answer = client.get_following(&url, &url, &headers).map(|response| Answer::of(response, &client.link));
            let body = answer.expect("headers").body.read(&mut [0; 9]).expect_err("no body");
            let Err(late) = client.get_following(&url, &url, &headers) else { panic!("an answer from nobody") };
            (body.to_string(), late.to_string())
        });
        let (body, late) = tokio::time::timeout(Duration::from_secs(20), asked).await.expect("in time").expect("no panic");
        assert!(body.contains("in time") && late.contains("in time"), "{body}; {late}");
    }

    #[test]
    fn an_address_of_a_server_is_shown_without_what_is_secret_or_endless() {
        assert_eq!(shown("https://me:hunter2@git.example/app?token=x#y"), "https://...@git.example/app");
        assert_eq!(shown(&format!("https://git.example/{}", "a".repeat(9_000))).len(), LOCATION_CHARS_MAX);
        let server_of = |url: &'static str| server(Box::leak(Box::new(url.parse::<Uri>().expect("a URL"))));
        assert_eq!(server_of("https://u:p@Git.example:443/a"), server_of("https://git.example/b"));
        assert_ne!(server_of("http://git.example/a"), server_of("https://git.example/a"));
    }
}
