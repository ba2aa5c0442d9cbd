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
    async fn handle(&self, request: Request<Body>, _user: &UserInfo) -> Response<Body> {
        self.answer(request).await.unwrap_or_else(|status| refuse(&status))
    }
}

impl GitServer {
    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let method = request.method().clone();
        let asked = request.uri().path().to_owned();
        let query = RequestInfo::parse(&method, &asked, request.uri().query().unwrap_or_default()).query;
        if asked == path::GIT_RESOLVE && method == Method::GET {
            return self.resolve(&query).await;
        }
        if let Some(commit) = asked.strip_prefix(path::GIT_PACKS).and_then(|rest| rest.strip_prefix('/'))
            && method == Method::GET
        {
            return self.pack(commit, &query).await;
        }
        if asked == format!("{}/refresh", path::GIT) && method == Method::POST {
            return self.webhook(request.into_body(), &query).await;
        }
        Err(Status::no_such_path())
    }

    async fn resolve(&self, query: &Query) -> Result<Response<Body>, Status> {
        let mirror = self.mirrors.get(required(query, "repo")?).map_err(|e| status(&e))?;
        // As old as the publisher lets it become, and no older.
        let found = mirror.resolve(query.get("revision").unwrap_or_default(), self.poll * 2).await.map_err(|e| status(&e))?;
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
