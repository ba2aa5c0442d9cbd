//! The endpoints: `resolve`, `packs/{commit}`, and `refresh` for webhooks.

use apimachinery::status::Status;
use apiserver::request::{Query, RequestInfo};
use apiserver::user::UserInfo;
use apiserver::{Body, Route};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use api::hub::{ResolveAnswer, path};

use super::GitServer;
use super::access::Access;

/// A webhook's body; forges send up to some hundred kilobytes.
const WEBHOOK_BYTES_MAX: usize = 1 << 20;
/// Where forges name the repository in a webhook's body.
const WEBHOOK_URLS: [&str; 6] = [
    "/repository/clone_url",
    "/repository/git_http_url",
    "/repository/html_url",
    "/project/git_http_url",
    "/project/web_url",
    "/repository/links/html/href",
];

#[async_trait]
impl Route for GitServer {
    async fn handle(&self, request: Request<Body>, user: &UserInfo) -> Response<Body> {
        self.answer(request, user).await.unwrap_or_else(|status| refuse(&status))
    }
}

impl GitServer {
    async fn answer(&self, request: Request<Body>, user: &UserInfo) -> Result<Response<Body>, Status> {
        let method = request.method().clone();
        let asked = request.uri().path().to_owned();
        let query = RequestInfo::parse(&method, &asked, request.uri().query().unwrap_or_default()).query;
        if asked == path::GIT_RESOLVE && method == Method::GET {
            self.access.may_read(user, required(&query, "repo")?).await?;
            return self.resolve(&query).await;
        }
        if let Some(commit) = asked.strip_prefix(path::GIT_PACKS).and_then(|rest| rest.strip_prefix('/'))
            && method == Method::GET
        {
            self.access.may_read(user, required(&query, "repo")?).await?;
            return self.pack(commit, &query).await;
        }
        if asked == format!("{}/refresh", path::GIT) && method == Method::POST {
            if Access::is_agent(user) {
                return Err(Status::new(403, "Forbidden", "an agent may not announce commits: this is for forges and administrators"));
            }
            return self.webhook(request.into_body(), &query).await;
        }
        Err(Status::no_such_path())
    }

    async fn resolve(&self, query: &Query) -> Result<Response<Body>, Status> {
        let mirror = self.mirrors.get(required(query, "repo")?).map_err(|e| status(&e))?;
        // As old as the publisher lets it become, and no older.
        let found = mirror.resolve(query.get("revision").unwrap_or_default(), self.poll * 2).await.map_err(|e| status(&e))?;
        self.announce(&mirror);
        let answer = serde_json::to_vec(&ResolveAnswer { commit: found.to_string() }).expect("plain data");
        Ok(respond(StatusCode::OK, "application/json", answer.into()))
    }

    async fn pack(&self, commit: &str, query: &Query) -> Result<Response<Body>, Status> {
        let commit = commit.parse().map_err(Status::bad_request)?;
        let mirror = self.mirrors.get(required(query, "repo")?).map_err(|e| status(&e))?;
        let pack = mirror.pack(&commit, query.get("path").unwrap_or_default()).await.map_err(|e| status(&e))?;
        let mut response = respond(StatusCode::OK, "application/octet-stream", pack);
        // What a commit holds never changes.
        response.headers_mut().insert(http::header::CACHE_CONTROL, http::HeaderValue::from_static("private, max-age=31536000, immutable"));
        Ok(response)
    }

    /// Looks at a repository now: the one in the query, or the one a forge's webhook tells of.
    async fn webhook(&self, body: Body, query: &Query) -> Result<Response<Body>, Status> {
        let repos: Vec<String> = match query.get("repo") {
            Some(repo) => vec![repo.to_owned()],
            None => {
                let body = read(body).await?;
                let payload: Value = serde_json::from_slice(&body)
                    .map_err(|e| Status::bad_request(format!("name the repository by ?repo= or send a forge's JSON: {e}")))?;
                WEBHOOK_URLS.iter().filter_map(|pointer| payload.pointer(pointer)?.as_str().map(git::normal_url)).collect()
            }
        };
        let known: Vec<String> = self.mirrors.list().iter().map(|m| m.url().to_owned()).collect();
        let named = known.into_iter().filter(|url| repos.iter().any(|repo| git::normal_url(repo) == git::normal_url(url)));
        for url in named {
            self.refresh(&url).await.map_err(|e| status(&e))?;
        }
        // A repository nobody uses is no mistake of the forge's.
        Ok(respond(StatusCode::ACCEPTED, "application/json", Bytes::from_static(b"{}")))
    }
}

/// Reads a bounded body.
async fn read(mut body: Body) -> Result<Vec<u8>, Status> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::bad_request(format!("the body ended early: {error}")))?;
        bytes.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if bytes.len() > WEBHOOK_BYTES_MAX {
            return Err(Status::new(413, "RequestEntityTooLarge", format!("a webhook's body must not exceed {WEBHOOK_BYTES_MAX} bytes")));
        }
    }
    Ok(bytes)
}

fn required<'a>(query: &'a Query, name: &str) -> Result<&'a str, Status> {
    query.get(name).filter(|value| !value.is_empty()).ok_or_else(|| Status::bad_request(format!("query parameter {name} is missing")))
}

fn status(error: &git::Error) -> Status {
    let code = error.http_status();
    let reason = match code {
        400 => "BadRequest",
        404 => "NotFound",
        422 => "Invalid",
        429 => "TooManyRequests",
        504 => "Timeout",
        502 => "ServiceUnavailable",
        _ => "InternalError",
    };
    Status::new(code, reason, error.to_string())
}

fn refuse(status: &Status) -> Response<Body> {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    respond(code, "application/json", status.to_value().to_string().into())
}

fn respond(code: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = code;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use api::hub::Notice;
    use git::{Entry, Limits, Pack};

    use super::*;
    use crate::gitserver::Options;

    fn git(dir: &Path, arguments: &[&str]) -> String {
        let mut command = std::process::Command::new("git");
        command
            .current_dir(dir)
            .args(["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"])
            .args(arguments);
        let output = command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").output().expect("git runs");
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    fn commit(dir: &Path, content: &str) -> String {
        std::fs::write(dir.join("a.yaml"), content).expect("written");
        git(dir, &["add", "-A"]);
        git(dir, &["commit", "-q", "-m", "change"]);
        git(dir, &["rev-parse", "HEAD"])
    }

    async fn ask(server: &GitServer, method: &str, path: &str, body: &'static str) -> (u16, Bytes) {
        ask_as(&UserInfo::admin("test"), server, method, path, body).await
    }

    async fn ask_as(user: &UserInfo, server: &GitServer, method: &str, path: &str, body: &'static str) -> (u16, Bytes) {
        let body = Full::new(Bytes::from_static(body.as_bytes())).map_err(|never| match never {}).boxed_unsync();
        let request = Request::builder().method(method).uri(path).body(body).expect("a request");
        let response = server.handle(request, user).await;
        let status = response.status().as_u16();
        (status, read(response.into_body()).await.expect("a body").into())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn agents_get_commits_and_packs_and_hear_of_news() {
        let dir = tempfile::tempdir().expect("a directory");
        let repo = dir.path().join("repo");
        git(dir.path(), &["init", "-q", "-b", "main", "repo"]);
        let first = commit(&repo, "a: 1");
        let mut options = Options::new(dir.path().join("hub"));
        options.is_file_allowed = true;
        options.poll = std::time::Duration::ZERO;
        let server = GitServer::new(&options);
        let mut notices = server.notices();
        let url = format!("file://{}", repo.display());
        let resolve = format!("/muster/v1/git/resolve?repo={url}&revision=main");
        assert_eq!(ask(&server, "GET", &resolve, "").await, (200, format!("{{\"commit\":\"{first}\"}}").into()));
        let (status, bytes) = ask(&server, "GET", &format!("/muster/v1/git/packs/{first}?repo={url}&path="), "").await;
        assert_eq!(status, 200);
        let pack = Pack::read(&bytes, &Limits::default()).expect("readable");
        assert_eq!(pack.entries["a.yaml"], Entry::File(b"a: 1".to_vec()));

        let (status, bytes) = ask(&server, "GET", &format!("/muster/v1/git/resolve?repo={url}&revision=none"), "").await;
        let said: Value = serde_json::from_slice(&bytes).expect("a Status");
        assert_eq!((status, said["reason"].as_str()), (404, Some("NotFound")));
        assert!(said["message"].as_str().is_some_and(|m| m.contains("\"none\" is not a branch, tag or commit")));
        assert_eq!(ask(&server, "GET", "/muster/v1/git/resolve?revision=main", "").await.0, 400);
        assert_eq!(ask(&server, "GET", "/muster/v1/git/packs/abc?repo=x", "").await.0, 400);
        assert_eq!(ask(&server, "DELETE", "/muster/v1/git/resolve", "").await.0, 404);

        let second = commit(&repo, "a: 2");
        assert_eq!(ask(&server, "POST", &format!("/muster/v1/git/refresh?repo={url}"), "").await.0, 202);
        let mut told = async || notices.recv().await.expect("a notice");
        let main_at = |commit: String| Notice::Revision { repo: url.clone(), revision: "main".into(), commit };
        assert_eq!((told().await, told().await), (main_at(first.clone()), main_at(second)));
        let third = commit(&repo, "a: 3");
        assert_eq!(ask(&server, "GET", &resolve, "").await.0, 200);
        assert_eq!(told().await, main_at(third), "what one agent's question finds, all hear");
        assert_eq!(
            ask(&server, "POST", "/muster/v1/git/refresh", r#"{"repository": {"clone_url": "https://elsewhere/x.git"}}"#).await.0,
            202
        );
        assert_eq!(ask(&server, "POST", "/muster/v1/git/refresh", "nonsense").await.0, 400);

        let name = api::cluster::identity::agent_user("store-1", "a");
        let agent = UserInfo { username: name, groups: vec![api::cluster::identity::cluster_group("store-1")], ..UserInfo::default() };
        let refused = async |method: &str, path: &str| ask_as(&agent, &server, method, path, "{}").await.0;
        assert_eq!(refused("POST", "/muster/v1/git/refresh").await, 403);
        assert_eq!(refused("GET", &resolve).await, 503, "nobody knows yet what is delivered");
        assert_eq!(refused("GET", &format!("/muster/v1/git/packs/{first}?repo={url}&path=")).await, 503);
    }
}
