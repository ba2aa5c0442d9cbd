//! From a request to an answer: who, what, may they, which handler.

use std::sync::Arc;
use std::time::Duration;

use apimachinery::status::Status;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, header};

use crate::admission::Ask;
use crate::handlers::{Call, store_error};
use crate::request::{RequestInfo, ResourcePath};
use crate::strategy::Scope;
use crate::user::UserInfo;
use crate::{Body, Inner, auth, discovery, http as answers, negotiate, openapi};

/// How long a request may take, unless it is a watch or another long-running one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How the transport vouches for a caller.
#[derive(Clone)]
pub enum Caller {
    /// In process: the caller is who it says.
    Known(UserInfo),
    /// From outside: the TLS certificate presented, if any; headers may carry more.
    Peer { certificate: Option<Arc<[u8]>> },
}

impl Inner {
    /// Answers one request; never fails, refusals are answers.
    pub(crate) fn handle(self: Arc<Self>, request: Request<Body>, caller: Caller) -> BoxFuture<'static, Response<Body>> {
        async move { self.respond(request, &caller).await }.boxed()
    }

    async fn respond(self: &Arc<Self>, request: Request<Body>, caller: &Caller) -> Response<Body> {
        let Ok(_permit) = self.in_flight.try_acquire() else {
            let mut busy = Status::new(429, "TooManyRequests", "the server has too many requests in flight, try again");
            busy.retry_after_seconds = Some(1);
            return answers::refuse(&busy);
        };
        let uri = request.uri();
        let info = RequestInfo::parse(request.method(), uri.path(), uri.query().unwrap_or_default());
        let verb = info.verb;
        let is_long = verb == "watch"
            || info
                .resource
                .as_ref()
                .is_some_and(|r| matches!(r.subresource.as_str(), "log" | "exec" | "attach" | "portforward" | "proxy"))
            || self.route(&info.path).is_some();
        let answer = self.answer(request, info, caller);
        let outcome = if is_long {
            answer.await
        } else {
            tokio::time::timeout(REQUEST_TIMEOUT, answer)
                .await
                .unwrap_or_else(|_| Err(Status::new(504, "Timeout", "Timeout: request did not complete within the allotted timeout")))
        };
        let response = outcome.unwrap_or_else(|status| answers::refuse(&status));
        self.metrics.count(verb, response.status().as_u16());
        response
    }

    async fn answer(self: &Arc<Self>, request: Request<Body>, info: RequestInfo, caller: &Caller) -> Result<Response<Body>, Status> {
        let (parts, body) = request.into_parts();
        let user = self.identify(&parts.headers, caller)?;
        self.authorize(&user, &info)?;
        match info.resource.clone() {
            Some(path) => {
                let call = self.call(info, path, user, parts.headers, body).await?;
                self.dispatch(call, &parts.method).await
            }
            None => self.answer_path(Request::from_parts(parts, body), info, &user).await,
        }
    }

    fn identify(&self, headers: &HeaderMap, caller: &Caller) -> Result<UserInfo, Status> {
        let user = match caller {
            Caller::Known(user) => user.clone(),
            Caller::Peer { certificate } => self.authenticator.authenticate(headers, certificate.as_deref(), self.now())?,
        };
        self.authenticator.impersonate(headers, user, &self.rbac)
    }

    fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Result<(), Status> {
        let ask = match &info.resource {
            None => Ask { verb: info.verb.into(), path: info.path.clone(), ..Ask::default() },
            Some(r) => Ask {
                verb: info.verb.into(),
                group: r.group.clone(),
                resource: r.resource.clone(),
                subresource: r.subresource.clone(),
                namespace: r.namespace.clone(),
                name: if r.name.is_empty() { name_selected(info) } else { r.name.clone() },
                path: String::new(),
            },
        };
        self.rbac.check(user, &ask)
    }

    /// Resolves the path to a row of the table and reads the body.
    async fn call(&self, info: RequestInfo, path: ResourcePath, user: UserInfo, headers: HeaderMap, body: Body) -> Result<Call, Status> {
        let snapshot = self.registry.snapshot();
        let resource = snapshot.get(&path.group, &path.version, &path.resource).cloned().ok_or_else(Status::no_such_path)?;
        if !resource.namespaced && !path.namespace.is_empty() && path.resource != "namespaces" {
            return Err(Status::no_such_path());
        }
        if !path.name.is_empty() && resource.namespaced && path.namespace.is_empty() {
            return Err(Status::no_such_path());
        }
        let accepted = negotiate::accept(headers.get(header::ACCEPT).and_then(|v| v.to_str().ok()))?;
        let body = if info.is_write() { answers::read(body).await? } else { bytes::Bytes::new() };
        Ok(Call { info, path, resource, user, headers, body, accepted, warnings: Default::default() })
    }

    async fn dispatch(self: &Arc<Self>, call: Call, method: &Method) -> Result<Response<Body>, Status> {
        let scope = match call.path.subresource.as_str() {
            "" => Scope::Main,
            "status" if call.resource.status_subresource => Scope::Status,
            "finalize" if call.path.group.is_empty() && call.path.resource == "namespaces" => Scope::Finalize,
            "approval" if call.path.group == "certificates.k8s.io" => Scope::Approval,
            _ => return self.subresource(call).await,
        };
        if let Some(response) = self.review_request(&call).await? {
            return Ok(response);
        }
        let verb = call.info.verb;
        let is_served = call.resource.verbs.is_empty() || call.resource.verbs.contains(&verb) || scope != Scope::Main;
        if !is_served || method == Method::HEAD {
            return Err(method_not_allowed());
        }
        match (verb, scope) {
            ("get", _) => self.get(&call).await,
            ("list", Scope::Main) => self.list(&call).await,
            ("watch", Scope::Main) => self.watch(&call).await,
            ("create", Scope::Main) if call.path.name.is_empty() => self.create(&call).await,
            ("update", scope) => self.update(&call, scope).await,
            ("patch", scope) => self.patch(&call, scope).await,
            ("delete", Scope::Main) => self.delete(&call).await,
            ("deletecollection", Scope::Main) => self.delete_collection(&call).await,
            _ => Err(method_not_allowed()),
        }
    }

    /// Answers a path that is no resource.
    async fn answer_path(self: &Arc<Self>, request: Request<Body>, info: RequestInfo, user: &UserInfo) -> Result<Response<Body>, Status> {
        if let Some(route) = self.route(&info.path) {
            return Ok(route.handle(request, user).await);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return Err(Status::no_such_path());
        }
        let accept = request.headers().get(header::ACCEPT).and_then(|v| v.to_str().ok());
        match info.path.trim_end_matches('/') {
            "/healthz" | "/livez" | "/readyz" => self.health(&info).await,
            "/version" => Ok(answers::json_value(200, &self.version())),
            "/metrics" => {
                Ok(answers::respond(200, "application/openmetrics-text; version=1.0.0; charset=utf-8", answers::full(self.exposition())))
            }
            path @ ("/.well-known/openid-configuration" | "/openid/v1/jwks") => {
                let found = auth::openid::document(self.authenticator.signer(), &self.options.url, path);
                Ok(answers::json_value(200, &found.ok_or_else(Status::no_such_path)?))
            }
            path => {
                if let Some(response) = openapi::answer(self, path, request.headers(), &info.query)? {
                    return Ok(response);
                }
                discovery::answer(self, path, accept)?.ok_or_else(Status::no_such_path)
            }
        }
    }

    pub(crate) fn route(&self, path: &str) -> Option<Arc<dyn crate::Route>> {
        let routes = self.options.routes.iter().filter(|(prefix, _)| path.starts_with(prefix.as_str()));
        routes.max_by_key(|(prefix, _)| prefix.len()).map(|(_, route)| route.clone())
    }

    /// Health is being able to read and, for readiness, to write.
    async fn health(&self, info: &RequestInfo) -> Result<Response<Body>, Status> {
        self.options.store.fresh().await.map_err(store_error)?;
        let is_stopping = self.options.runtime.is_stopping();
        if is_stopping && info.path.starts_with("/readyz") {
            return Ok(answers::respond(503, "text/plain; charset=utf-8", answers::full("[-]shutdown failed: the server is stopping\n")));
        }
        let text = if info.query.0.contains_key("verbose") { "[+]ping ok\n[+]store ok\nhealthz check passed\n" } else { "ok" };
        Ok(answers::respond(200, "text/plain; charset=utf-8", answers::full(text)))
    }

    fn version(&self) -> serde_json::Value {
        let version = &self.options.kubernetes_version;
        let mut numbers = version.trim_start_matches('v').split('.');
        let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
        serde_json::json!({
            "major": major, "minor": minor, "gitVersion": version, "gitCommit": env!("CARGO_PKG_VERSION"), "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "linux/amd64",
        })
    }

    fn exposition(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut out, &self.options.runtime.metrics.lock());
        out
    }
}

/// Returns the name that a field selector pins, so that a list of one is authorised like a get.
fn name_selected(info: &RequestInfo) -> String {
    let selector = info.query.get("fieldSelector").unwrap_or_default();
    let found = selector.split(',').find_map(|s| s.strip_prefix("metadata.name=")).map(|n| n.trim_start_matches('='));
    found.unwrap_or_default().to_owned()
}

pub(crate) fn method_not_allowed() -> Status {
    Status::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
}

#[cfg(test)]
mod tests {
    use controller::{Clock, Runtime};

    use super::*;
    use crate::{ApiServer, IN_FLIGHT_MAX, Options};

    #[tokio::test]
    async fn more_requests_than_allowed_are_told_when_to_come_again() {
        let options = Options::ephemeral(Runtime::new(Clock::wall())).expect("a CA");
        let server = ApiServer::new(options).await.expect("a server");
        let ask = async || {
            let request = Request::get("/version").body(answers::full("")).expect("a request");
            server.handle(request, Caller::Known(UserInfo::admin("test"))).await
        };
        let taken = server.inner.in_flight.acquire_many(IN_FLIGHT_MAX as u32).await.expect("permits");
        let refused = ask().await;
        assert_eq!((refused.status().as_u16(), refused.headers().get(header::RETRY_AFTER).map(|v| v.as_bytes())), (429, Some(&b"1"[..])));
        drop(taken);
        assert_eq!(ask().await.status(), 200);
    }
}
