//! Git's smart HTTP over our own connections, for gix, which is blocking.
//!
//! A server is followed where it redirects to, as long as that is itself (a forge that adds `.git`); one that sends us
//! elsewhere is an error with the address to write instead: whoever names a repository names its server.

use std::any::Any;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use gix::protocol::transport::client::AuthenticationRequired;
use gix::protocol::transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tunnel::{Body, HttpService};

/// How long a server may be silent in the middle of a body; it sends signs of life while it works.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const REDIRECTS_MAX: usize = 5;
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
    http: HttpService,
    runtime: Handle,
    /// Where the repository is, after redirects.
    moved_to: Option<String>,
}

impl Client {
    pub fn new(http: HttpService, runtime: Handle) -> Self {
        Self { http, runtime, moved_to: None }
    }

    fn get_following(&mut self, url: &str, base: &str, headers: &HeaderMap) -> io::Result<Response<Body>> {
        let tail = url.strip_prefix(base).unwrap_or_default();
        let mut url: Uri = url.parse().map_err(io::Error::other)?;
        for _ in 0..REDIRECTS_MAX {
            let response = exchange(&self.http, &self.runtime, request(Method::GET, &url, headers, Bytes::new())?)?;
            if !response.status().is_redirection() {
                return succeeded(response);
            }
            url = redirected(&url, &response)?;
            let text = url.to_string();
            self.moved_to = text.strip_suffix(tail).map(str::to_owned);
            if self.moved_to.is_none() {
                return Err(io::Error::other(format!("the server redirects to {text:?}, which is no Git repository")));
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
        let answer = self.get_following(url, base_url, &headers).map(|response| Answer::of(response, &self.runtime));
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
            http: self.http.clone(),
            runtime: self.runtime.clone(),
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
    http: HttpService,
    runtime: Handle,
    url: String,
    headers: HeaderMap,
    upload: Upload,
}

impl Pending {
    fn answer(self) -> io::Result<Answer> {
        let url: Uri = self.url.parse().map_err(io::Error::other)?;
        let body = std::mem::take(&mut *self.upload.0.lock());
        let response = exchange(&self.http, &self.runtime, request(Method::POST, &url, &self.headers, body.into())?)?;
        succeeded(response).map(|response| Answer::of(response, &self.runtime))
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
    fn of(response: Response<Body>, runtime: &Handle) -> Self {
        let mut headers = Vec::new();
        for (name, value) in response.headers() {
            headers.extend_from_slice(name.as_str().as_bytes());
            headers.push(b':');
            headers.extend_from_slice(value.as_bytes());
            headers.push(b'\n');
        }
        let body = Incoming { runtime: runtime.clone(), body: response.into_body(), chunk: Bytes::new(), is_ended: false };
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
                let nothing = Incoming::empty(&answer.body.runtime);
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
    runtime: Handle,
    body: Body,
    chunk: Bytes,
    is_ended: bool,
}

impl Incoming {
    fn empty(runtime: &Handle) -> Self {
        Self { runtime: runtime.clone(), body: tunnel::body::empty(), chunk: Bytes::new(), is_ended: true }
    }
}

impl BufRead for Incoming {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.chunk.is_empty() && !self.is_ended {
            let Self { runtime, body, .. } = self;
            let frame = runtime.block_on(async { tokio::time::timeout(SILENCE_MAX, body.frame()).await });
            let frame = frame.map_err(|_| silent())?;
            match frame.transpose().map_err(io::Error::other)? {
                Some(frame) => self.chunk = frame.into_data().unwrap_or_default(),
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

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the server sent nothing for {} s", SILENCE_MAX.as_secs()))
}

fn request(method: Method, url: &Uri, headers: &HeaderMap, body: Bytes) -> io::Result<Request<Body>> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder().method(method).uri(path).body(tunnel::body::full(body)).map_err(io::Error::other)?;
    *request.headers_mut() = headers.clone();
    Ok(request)
}

fn exchange(http: &HttpService, runtime: &Handle, request: Request<Body>) -> io::Result<Response<Body>> {
    runtime.block_on(tunnel::send(http, request)).map_err(io::Error::other)
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
    if (to.scheme(), to.authority()) != (from.scheme(), from.authority()) {
        let address = location.split_once("/info/refs").map_or(location, |(address, _)| address);
        return Err(io::Error::other(format!("the server redirects elsewhere; if you trust it, write {address:?} as repoURL")));
    }
    Ok(to)
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
