//! Where commits come from: the hub, else Git itself.

use std::sync::Arc;
use std::time::Duration;

use api::hub::{ResolveAnswer, path};
use apimachinery::uri::percent_encode;
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use git::Mirrors;
use http_body_util::BodyExt;
use tower::ServiceExt;
use tunnel::{HttpService, body};

/// The hub answers from its mirror; a first fetch may take it a while.
const HUB_TIMEOUT: Duration = Duration::from_secs(30);
/// A pack as it may come over the wire, and an answer beside packs.
const PACK_BYTES_MAX: usize = 32 << 20;
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why a source has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    /// Whether it is the world's failure and not something wrong in the Application or in Git.
    pub may_pass: bool,
}

impl From<git::Error> for Failure {
    fn from(error: git::Error) -> Self {
        Self { may_pass: error.may_pass(), message: error.to_string() }
    }
}

/// A place that knows revisions and packs.
#[async_trait]
pub trait Source: Send + Sync {
    /// Returns the commit a revision is at.
    async fn resolve(&self, repo: &str, revision: &str) -> Result<String, Failure>;
    /// Returns the pack of the files below `path` at `commit`.
    async fn pack(&self, repo: &str, commit: &str, path: &str) -> Result<Bytes, Failure>;
}

/// The hub's mirror.
pub struct HubSource(pub HttpService);

impl HubSource {
    async fn get(&self, path_and_query: String, bytes_max: usize) -> Result<Bytes, Failure> {
        let passing = |message: String| Failure { message, may_pass: true };
        let request = http::Request::get(&path_and_query).body(body::empty()).map_err(|e| passing(e.to_string()))?;
        let exchange = async {
            let response = send(self.0.clone(), request).await.map_err(|e| passing(format!("the hub cannot be reached: {e}")))?;
            let status = response.status();
            let bytes =
                collect(response.into_body(), if status.is_success() { bytes_max } else { ANSWER_BYTES_MAX }).await.map_err(passing)?;
            if status.is_success() {
                return Ok(bytes);
            }
            let said: Option<String> =
                serde_json::from_slice::<serde_json::Value>(&bytes).ok().and_then(|v| Some(v["message"].as_str()?.to_owned()));
            // What the hub found wrong in Git stays wrong; that it may not answer, or cannot, does not.
            let is_final = matches!(status.as_u16(), 400 | 404 | 422);
            Err(Failure { message: said.unwrap_or_else(|| format!("the hub answered {status}")), may_pass: !is_final })
        };
        match tokio::time::timeout(HUB_TIMEOUT, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(passing(format!("the hub did not answer within {} s", HUB_TIMEOUT.as_secs()))),
        }
    }
}

fn send(
    service: HttpService,
    request: http::Request<tunnel::Body>,
) -> BoxFuture<'static, Result<http::Response<tunnel::Body>, tunnel::BoxError>> {
    service.oneshot(request).boxed()
}

async fn collect(mut body: tunnel::Body, bytes_max: usize) -> Result<Bytes, String> {
    let mut bytes = bytes::BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| format!("the hub's answer ended early: {e}"))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if bytes.len() > bytes_max {
            return Err(format!("the hub's answer exceeds {bytes_max} bytes"));
        }
    }
    Ok(bytes.freeze())
}

#[async_trait]
impl Source for HubSource {
    async fn resolve(&self, repo: &str, revision: &str) -> Result<String, Failure> {
        let asked = format!("{}?{}", path::GIT_RESOLVE, query(&[("repo", repo), ("revision", revision)]));
        let bytes = self.get(asked, ANSWER_BYTES_MAX).await?;
        let answer: Result<ResolveAnswer, _> = serde_json::from_slice(&bytes);
        answer.map(|a| a.commit).map_err(|e| Failure { message: format!("the hub's answer is not understood: {e}"), may_pass: true })
    }

    async fn pack(&self, repo: &str, commit: &str, path: &str) -> Result<Bytes, Failure> {
        self.get(format!("{}/{commit}?{}", path::GIT_PACKS, query(&[("repo", repo), ("path", path)])), PACK_BYTES_MAX).await
    }
}

/// Git itself, for when the hub is away.
pub struct GitSource(pub Mirrors);

#[async_trait]
impl Source for GitSource {
    async fn resolve(&self, repo: &str, revision: &str) -> Result<String, Failure> {
        Ok(self.0.get(repo)?.resolve(revision, Duration::ZERO).await?.to_string())
    }

    async fn pack(&self, repo: &str, commit: &str, path: &str) -> Result<Bytes, Failure> {
        let commit = commit.parse().map_err(|message| Failure { message, may_pass: false })?;
        Ok(self.0.get(repo)?.pack(&commit, path).await?)
    }
}

/// Sources in order: the next is asked where one is away.
pub struct Sources(pub Vec<Arc<dyn Source>>);

#[async_trait]
impl Source for Sources {
    async fn resolve(&self, repo: &str, revision: &str) -> Result<String, Failure> {
        let mut failures = Vec::new();
        for source in &self.0 {
            match source.resolve(repo, revision).await {
                Err(failure) if failure.may_pass => failures.push(failure.message),
                settled => return settled,
            }
        }
        Err(all_away(&failures))
    }

    async fn pack(&self, repo: &str, commit: &str, path: &str) -> Result<Bytes, Failure> {
        let mut failures = Vec::new();
        for source in &self.0 {
            match source.pack(repo, commit, path).await {
                Err(failure) if failure.may_pass => failures.push(failure.message),
                settled => return settled,
            }
        }
        Err(all_away(&failures))
    }
}

fn all_away(failures: &[String]) -> Failure {
    Failure { message: if failures.is_empty() { "there is no source of commits".to_owned() } else { failures.join("; ") }, may_pass: true }
}

/// Writes query parameters.
fn query(pairs: &[(&str, &str)]) -> String {
    pairs.iter().map(|(name, value)| format!("{name}={}", percent_encode(value))).collect::<Vec<_>>().join("&")
}
