//! The way from a simulated cluster to the hub, as good or as bad as ordered.
//!
//! A [`Link`] stands between the agent and its connector, and between the agent and Git. Offline, requests fail and open streams break,
//! both ways; slow, every answer and every piece of a stream takes the latency longer.

use std::sync::Arc;
use std::time::Duration;

use agent::gitops::sources::{Failure, Source};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use kube::config::Kubeconfig;
use serde::Deserialize;
use tokio::sync::watch;
use tower::ServiceExt;
use tunnel::{Body, BoxError, Connection, Connector, HttpService};

/// How good a link is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Quality {
    #[default]
    Online,
    Offline,
    /// Extra time for each answer and each piece of a stream.
    #[serde(untagged)]
    Slow {
        latency_ms: u32,
    },
}

/// A link that can be changed while it is used; cheap to clone.
#[derive(Clone)]
pub struct Link(Arc<watch::Sender<Quality>>);

impl Link {
    pub fn new(quality: Quality) -> Self {
        Self(Arc::new(watch::Sender::new(quality)))
    }

    pub fn set(&self, quality: Quality) {
        self.0.send_replace(quality);
    }

    pub fn quality(&self) -> Quality {
        *self.0.borrow()
    }

    /// Returns a connector whose connections go over this link.
    pub fn over(&self, connector: Arc<dyn Connector>) -> Arc<dyn Connector> {
        Arc::new(LinkedConnector { link: self.clone(), connector })
    }

    /// Returns what puts this link between an agent and Git.
    pub fn to_git(&self) -> agent::GitLink {
        let link = self.clone();
        Arc::new(move |source| Arc::new(LinkedGit { link: link.clone(), source }))
    }

    async fn pass(&self) -> Result<(), BoxError> {
        match self.quality() {
            Quality::Online => Ok(()),
            Quality::Offline => Err("network is unreachable: the simulated link is down".into()),
            Quality::Slow { latency_ms } => {
                tokio::time::sleep(Duration::from_millis(u64::from(latency_ms))).await;
                Ok(())
            }
        }
    }

    /// Returns the body as it arrives over the link.
    fn carry(&self, body: Body) -> Body {
        tunnel::body::stream(carried(self.clone(), body))
    }
}

fn carried(link: Link, body: Body) -> impl Stream<Item = Result<Frame<Bytes>, BoxError>> + Send + 'static {
    let quality = link.0.subscribe();
    futures::stream::unfold(Some((link, quality, body)), |state| async move {
        let (link, mut quality, mut body) = state?;
        let frame = tokio::select! {
            biased;
            _ = quality.wait_for(|q| *q == Quality::Offline) => None,
            frame = body.frame() => Some(frame?),
        };
        let arrived = match frame {
            None => Err("connection reset: the simulated link went down".into()),
            Some(Ok(frame)) => link.pass().await.map(|()| frame),
            Some(Err(error)) => Err(error),
        };
        let rest = arrived.is_ok().then_some((link, quality, body));
        Some((arrived, rest))
    })
}

struct LinkedGit {
    link: Link,
    source: Arc<dyn Source>,
}

impl LinkedGit {
    /// Returns the answer, unless the link goes down before it is here.
    async fn over<T>(&self, asked: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let failed = |message: String| Failure { message, may_pass: true };
        let mut quality = self.link.0.subscribe();
        self.link.pass().await.map_err(|error| failed(error.to_string()))?;
        tokio::select! {
            biased;
            _ = quality.wait_for(|q| *q == Quality::Offline) => Err(failed("connection reset: the simulated link went down".into())),
            answer = asked => answer,
        }
    }
}

#[async_trait]
impl Source for LinkedGit {
    async fn resolve(&self, repo: &str, revision: &str) -> Result<String, Failure> {
        self.over(self.source.resolve(repo, revision)).await
    }

    async fn pack(&self, repo: &str, commit: &str, path: &str) -> Result<Bytes, Failure> {
        self.over(self.source.pack(repo, commit, path)).await
    }
}

struct LinkedConnector {
    link: Link,
    connector: Arc<dyn Connector>,
}

impl Connector for LinkedConnector {
    fn connect(&self, kubeconfig: &Kubeconfig) -> Result<Connection, tunnel::Error> {
        let connection = self.connector.connect(kubeconfig)?;
        let default_namespace = connection.client.default_namespace().to_owned();
        let (link, inner) = (self.link.clone(), connection.http);
        let http = tower::util::BoxCloneSyncService::new(tower::service_fn(move |request: Request<Body>| {
            send(link.clone(), inner.clone(), request).boxed()
        }));
        Ok(Connection { client: tunnel::kube_client(http.clone(), default_namespace), http })
    }
}

async fn send(link: Link, inner: HttpService, request: Request<Body>) -> Result<Response<Body>, BoxError> {
    link.pass().await?;
    let request = request.map(|body| link.carry(body));
    let response = forward(inner, request).await?;
    link.pass().await?;
    Ok(response.map(|body| link.carry(body)))
}

/// Boxed here, where all types are named: the compiler cannot prove the whole future `Send` otherwise.
fn forward(inner: HttpService, request: Request<Body>) -> BoxFuture<'static, Result<Response<Body>, BoxError>> {
    inner.oneshot(request).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// Answers with a body that never ends.
    struct Endless;

    impl Connector for Endless {
        fn connect(&self, _: &Kubeconfig) -> Result<Connection, tunnel::Error> {
            let http = tower::util::BoxCloneSyncService::new(tower::service_fn(|_: Request<Body>| async {
                let (sender, body) = tunnel::body::channel(4);
                tokio::spawn(async move {
                    let _ = sender.send(Bytes::from_static(b"first")).await;
                    sender.closed().await;
                });
                Ok::<_, BoxError>(Response::new(body))
            }));
            Ok(Connection { client: tunnel::kube_client(http.clone(), "default"), http })
        }
    }

    async fn ask(link: &Link) -> Result<Response<Body>, BoxError> {
        let connection = link.over(Arc::new(Endless)).connect(&Kubeconfig::default()).expect("connected");
        connection.http.oneshot(Request::new(tunnel::body::empty())).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_that_goes_down_breaks_streams_and_refuses_requests() {
        let link = Link::new(Quality::Online);
        let mut body = ask(&link).await.expect("an answer").into_body();
        assert!(body.frame().await.expect("a frame").is_ok());
        let breaking = link.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            breaking.set(Quality::Offline);
        });
        assert!(body.frame().await.expect("a frame").is_err());
        assert!(body.frame().await.is_none());
        assert!(ask(&link).await.is_err());
        link.set(Quality::Online);
        assert!(ask(&link).await.is_ok());
    }

    /// Never answers.
    struct Silent;

    #[async_trait]
    impl Source for Silent {
        async fn resolve(&self, _: &str, _: &str) -> Result<String, Failure> {
            std::future::pending().await
        }

        async fn pack(&self, _: &str, _: &str, _: &str) -> Result<Bytes, Failure> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_under_way_ends_with_the_link() {
        let link = Link::new(Quality::Online);
        let git = link.to_git()(Arc::new(Silent));
        let breaking = link.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            breaking.set(Quality::Offline);
        });
        let ended = tokio::time::timeout(Duration::from_secs(6), git.pack("repo", "commit", "")).await.expect("ended");
        assert!(ended.is_err_and(|failure| failure.may_pass && failure.message.contains("went down")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_link_takes_its_latency() {
        let link = Link::new(Quality::Slow { latency_ms: 400 });
        let begun = Instant::now();
        let mut body = ask(&link).await.expect("an answer").into_body();
        assert_eq!(begun.elapsed().as_millis(), 800);
        body.frame().await.expect("a frame").expect("data");
        assert_eq!(begun.elapsed().as_millis(), 1200);
    }

    #[test]
    fn qualities_are_written_as_words() {
        let read = |text: &str| serde_json::from_str::<Quality>(text).expect("a quality");
        assert_eq!(read("\"offline\""), Quality::Offline);
        assert_eq!(read("{\"latency_ms\": 300}"), Quality::Slow { latency_ms: 300 });
    }
}
