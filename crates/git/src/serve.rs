//! Serves the bare repositories below a directory over HTTP, for `make up`, demos and tests.
//!
//! A bridge between an HTTP service and `git http-backend`, which speaks the smart protocol. It listens nowhere
//! itself. It is no Git hosting: no users but one, no quotas; who exposes it puts TLS and authentication before it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, BodyStream, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;

use crate::Login;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Headers a CGI program may send before its body.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// A push larger than this is refused.
const REQUEST_BYTES_MAX: usize = 256 << 20;
const CHUNK_BYTES: usize = 64 << 10;
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(300);
const PROGRAMS_MAX: usize = 16;

/// Told of a repository (its path below the root, such as `team/app.git`) after a push to it. It must not block.
pub type OnPush = Arc<dyn Fn(&str) + Send + Sync>;

/// What is served and to whom.
#[derive(Clone)]
pub struct Options {
    /// Bare repositories stand below; `/team/app.git` is `<root>/team/app.git`.
    pub root: PathBuf,
    pub is_push_allowed: bool,
    /// Basic authentication, if set.
    pub login: Option<Login>,
    /// A hint: a pusher who hangs up before the answer is not told of.
    pub on_push: Option<OnPush>,
}

/// The bridge; cheap to clone.
#[derive(Clone)]
pub struct GitHttp {
    options: Arc<Options>,
    programs: Arc<Semaphore>,
}

impl GitHttp {
    pub fn new(options: Options) -> Self {
        Self { options: Arc::new(options), programs: Arc::new(Semaphore::new(PROGRAMS_MAX)) }
    }

    /// Answers one request; never fails, as an HTTP service should.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + Send,
    {
        if !self.is_authorized(&request) {
            let mut refused = plain(StatusCode::UNAUTHORIZED, "log in");
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"git\""));
            return refused;
        }
        // http-backend checks paths itself; this one does not even reach it.
        if request.uri().path().split('/').any(|part| part == "..") {
            return plain(StatusCode::BAD_REQUEST, "the path must not contain ..");
        }
        match tokio::time::timeout(PROGRAM_TIMEOUT, self.run(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::warn!(%error, "git http-backend failed");
                plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("git http-backend failed: {error}"))
            }
            Err(_) => plain(StatusCode::GATEWAY_TIMEOUT, "git http-backend did not answer in time"),
        }
    }

    fn is_authorized<B>(&self, request: &Request<B>) -> bool {
        let Some(login) = &self.options.login else { return true };
        let expected = format!("Basic {}", STANDARD.encode(format!("{}:{}", login.username, login.password)));
        request.headers().get(AUTHORIZATION).is_some_and(|given| given.as_bytes() == expected.as_bytes())
    }

    async fn run<B>(&self, request: Request<B>) -> Result<Response<Body>, BoxError>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + Send,
    {
        let permit = self.programs.clone().acquire_owned().await?;
        let pushed = self.pushed(&request);
        let mut child = self.command(&request).spawn()?;
        let stdin = child.stdin.take().ok_or("no standard input")?;
        let mut stdout = child.stdout.take().ok_or("no standard output")?;
        // Fed beside reading: the program may answer before it has read all.
        tokio::spawn(feed(request.into_body(), stdin));
        let (head, first) = read_head(&mut stdout).await?;
        let response = response_of(&head)?;
        Ok(response.body(stream(Output { child, stdout, first, _permit: permit, pushed }))?)
    }

    /// Returns what to do when a request has succeeded, if it is a push.
    fn pushed<B>(&self, request: &Request<B>) -> Option<Box<dyn FnOnce() + Send>> {
        let on_push = self.options.on_push.clone()?;
        // Before a large push git sends an empty one to see whether it may: a single flush packet.
        if request.headers().get(CONTENT_LENGTH).is_some_and(|length| length == "4") {
            return None;
        }
        let path = request.uri().path().trim_start_matches('/');
        let repository = path.strip_suffix("/git-receive-pack").filter(|_| request.method() == http::Method::POST)?.to_owned();
        Some(Box::new(move || on_push(&repository)))
    }

    fn command<B>(&self, request: &Request<B>) -> Command {
        let mut command = Command::new("git");
        if self.options.is_push_allowed {
            command.args(["-c", "http.receivepack=true"]);
        }
        let header = |name: HeaderName| request.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        command
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &self.options.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("PATH_INFO", request.uri().path())
            .env("QUERY_STRING", request.uri().query().unwrap_or_default())
            .env("REQUEST_METHOD", request.method().as_str())
            .env("CONTENT_TYPE", header(CONTENT_TYPE))
            .env("HTTP_CONTENT_ENCODING", header(CONTENT_ENCODING))
            .env("GIT_PROTOCOL", header(HeaderName::from_static("git-protocol")))
            .env("REMOTE_ADDR", "127.0.0.1")
            .env("GIT_COMMITTER_NAME", "git")
            .env("GIT_COMMITTER_EMAIL", "git@localhost")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        command
    }
}

/// Copies a request's body to the program, up to the limit; dropping the pipe says that it ended.
async fn feed<B>(body: B, mut stdin: ChildStdin)
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send,
{
    let mut frames = std::pin::pin!(BodyStream::new(body));
    let mut bytes = 0;
    while let Some(Ok(frame)) = frames.next().await {
        let Ok(data) = frame.into_data() else { continue };
        bytes += data.len();
        if bytes > REQUEST_BYTES_MAX || stdin.write_all(&data).await.is_err() {
            return;
        }
    }
}

/// Reads the program's headers and what came with them of the body.
async fn read_head(stdout: &mut ChildStdout) -> Result<(Vec<u8>, Bytes), BoxError> {
    let mut read = BytesMut::with_capacity(CHUNK_BYTES);
    loop {
        if let Some((end, gap)) = head_end(&read) {
            let head = read.split_to(end + gap);
            return Ok((head[..end].to_vec(), read.freeze()));
        }
        if read.len() > HEADER_BYTES_MAX {
            return Err("its headers are too long".into());
        }
        if stdout.read_buf(&mut read).await? == 0 {
            return Err("it ended without an answer; is git installed with http-backend?".into());
        }
    }
}

/// Where the headers end, and how long the gap to the body is.
fn head_end(read: &[u8]) -> Option<(usize, usize)> {
    let find = |gap: &[u8]| read.windows(gap.len()).position(|w| w == gap).map(|at| (at, gap.len()));
    find(b"\r\n\r\n").or_else(|| find(b"\n\n"))
}

fn response_of(head: &[u8]) -> Result<http::response::Builder, BoxError> {
    let mut response = Response::builder();
    for line in std::str::from_utf8(head)?.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or("500").parse::<u16>()?),
            name => response.header(name, value),
        };
    }
    Ok(response)
}

/// A running program's answer.
struct Output {
    child: Child,
    stdout: ChildStdout,
    /// What came with the headers.
    first: Bytes,
    _permit: tokio::sync::OwnedSemaphorePermit,
    pushed: Option<Box<dyn FnOnce() + Send>>,
}

/// The rest of the program's output; the program ends with the body, or when nobody reads it any more.
fn stream(output: Output) -> Body {
    let chunks = futures::stream::try_unfold(output, |mut output| async move {
        let first = std::mem::take(&mut output.first);
        if !first.is_empty() {
            return Ok(Some((http_body::Frame::data(first), output)));
        }
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        match output.stdout.read_buf(&mut chunk).await? {
            0 => {
                let status = output.child.wait().await?;
                if let Some(pushed) = output.pushed.take().filter(|_| status.success()) {
                    pushed();
                }
                Ok::<_, BoxError>(None)
            }
            _ => Ok(Some((http_body::Frame::data(chunk.freeze()), output))),
        }
    });
    StreamBody::new(chunks).boxed_unsync()
}

fn plain(status: StatusCode, text: &str) -> Response<Body> {
    let body = Full::new(Bytes::from(format!("{text}\n"))).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
