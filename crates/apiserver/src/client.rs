//! Clients in the same process: a Kubernetes client without a socket.

use std::sync::Arc;

use base64::Engine;
use http::{HeaderValue, Request, Response, header};
use http_body_util::BodyExt;
use kube::config::Kubeconfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::server::Caller;
use crate::user::UserInfo;
use crate::{ApiServer, Body, BoxError, http as answers};

impl ApiServer {
    /// Returns a client that acts as `user` through authorization and admission like everyone else.
    pub fn client(&self, user: UserInfo) -> kube::Client {
        kube::Client::new(self.service(Caller::Known(user)), "default")
    }

    /// Answers one request of a caller.
    pub async fn handle(&self, request: Request<Body>, caller: Caller) -> Response<Body> {
        self.inner.clone().handle(request, caller).await
    }

    /// Returns a way to write as `user` that costs less than a client: there is no queue to another task on the way.
    pub fn writer(&self, user: UserInfo) -> Writer {
        Writer { server: self.clone(), caller: Caller::Known(user) }
    }

    fn service(&self, caller: Caller) -> tower::util::BoxCloneSyncService<Request<kube::client::Body>, Response<Body>, BoxError> {
        let inner = self.inner.clone();
        tower::util::BoxCloneSyncService::new(tower::service_fn(move |request: Request<kube::client::Body>| {
            let (inner, caller) = (inner.clone(), caller.clone());
            async move {
                let mut request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                let program = HeaderValue::from_static(concat!("muster/", env!("CARGO_PKG_VERSION")));
                request.headers_mut().entry(header::USER_AGENT).or_insert(program);
                Ok::<_, BoxError>(inner.handle(request, caller).await)
            }
        }))
    }

    /// Returns a connector to this server in memory: certificates and tokens of a kubeconfig count
    /// as they would over TLS.
    pub fn connector(&self) -> Arc<dyn tunnel::Connector> {
        Arc::new(MemoryConnector(self.clone()))
    }
}

/// Writes of one user in this process, through authorization and admission like everyone's.
#[derive(Clone)]
pub struct Writer {
    server: ApiServer,
    caller: Caller,
}

impl Writer {
    /// Sends one request and returns the answer as text; what is refused is an error of the kind that clients have.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<String, kube::Error> {
        let request = request.map(answers::full);
        let response = self.server.handle(request, self.caller.clone()).await;
        let code = response.status();
        let bytes = response.into_body().collect().await.map_err(kube::Error::Service)?.to_bytes();
        let text = String::from_utf8(bytes.into()).map_err(kube::Error::FromUtf8)?;
        if code.is_success() {
            return Ok(text);
        }
        let refusal =
            serde_json::from_str(&text).unwrap_or_else(|_| kube::core::Status::failure(&text, "Unknown").with_code(code.as_u16()));
        Err(kube::Error::Api(Box::new(refusal)))
    }
}

struct MemoryConnector(ApiServer);

impl tunnel::Connector for MemoryConnector {
    fn connect(&self, kubeconfig: &Kubeconfig) -> Result<tunnel::Connection, tunnel::Error> {
        let credentials = Credentials::of(kubeconfig)?;
        let caller = Caller::Peer { certificate: credentials.certificate };
        let inner = self.0.inner.clone();
        let token = credentials.token;
        let service = tower::util::BoxCloneSyncService::new(tower::service_fn(move |request: Request<tunnel::Body>| {
            let (inner, caller, token) = (inner.clone(), caller.clone(), token.clone());
            async move {
                let mut request = request;
                if let Some(token) = token {
                    request.headers_mut().insert(header::AUTHORIZATION, token);
                }
                let program = HeaderValue::from_static(concat!("muster-agent/", env!("CARGO_PKG_VERSION")));
                request.headers_mut().entry(header::USER_AGENT).or_insert(program);
                let response = inner.handle(request, caller).await;
                Ok::<_, tunnel::BoxError>(response)
            }
        }));
        Ok(tunnel::Connection { client: tunnel::kube_client(service.clone(), "default"), http: service })
    }
}

struct Credentials {
    certificate: Option<Arc<[u8]>>,
    token: Option<HeaderValue>,
}

impl Credentials {
    /// Reads the current context's user; only data in the kubeconfig itself counts here.
    fn of(kubeconfig: &Kubeconfig) -> Result<Self, tunnel::Error> {
        use secrecy::ExposeSecret;
        let refuse = |why: &str| tunnel::Error::Kubeconfig(why.to_owned());
        let current = kubeconfig.current_context.as_deref();
        let context = kubeconfig.contexts.iter().find(|c| Some(c.name.as_str()) == current).and_then(|c| c.context.as_ref());
        let user = context.and_then(|c| c.user.as_deref());
        let auth = kubeconfig.auth_infos.iter().find(|a| Some(a.name.as_str()) == user).and_then(|a| a.auth_info.as_ref());
        let auth = auth.ok_or_else(|| refuse("users: the current context names no user"))?;
        let certificate = match &auth.client_certificate_data {
            None => None,
            Some(data) => {
                let pem = base64::engine::general_purpose::STANDARD
                    .decode(data)
                    .map_err(|_| refuse("users[].user.client-certificate-data: not base64"))?;
                let der =
                    CertificateDer::from_pem_slice(&pem).map_err(|e| refuse(&format!("users[].user.client-certificate-data: {e:?}")))?;
                Some(Arc::from(der.as_ref()))
            }
        };
        let token = match &auth.token {
            None => None,
            Some(token) => Some(
                HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                    .map_err(|_| refuse("users[].user.token: not a header value"))?,
            ),
        };
        Ok(Self { certificate, token })
    }
}

#[cfg(test)]
mod tests {
    use controller::{Clock, Runtime};

    use super::*;
    use crate::Options;

    #[tokio::test]
    async fn a_writer_has_the_answers_and_the_refusals_of_a_client() {
        let options = Options::ephemeral(Runtime::new(Clock::wall())).expect("a CA");
        let server = ApiServer::new(options).await.expect("a server");
        let ask = async |user: UserInfo, method: &str, path: &str, body: &str| {
            let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
            server.writer(user).send(request.body(body.into()).expect("a request")).await
        };
        let refused = |answer: Result<String, kube::Error>| match answer {
            Err(kube::Error::Api(status)) => (status.code, status.reason),
            other => panic!("{other:?}"),
        };
        let path = "/api/v1/namespaces/default/configmaps";
        let object = r#"{"metadata": {"name": "a"}}"#;
        let written = ask(UserInfo::admin("test"), "POST", path, object).await.expect("an object");
        assert!(written.contains("resourceVersion"), "{written}");
        assert_eq!(refused(ask(UserInfo::admin("test"), "POST", path, object).await), (409, "AlreadyExists".to_owned()));
        assert_eq!(refused(ask(UserInfo::admin("test"), "DELETE", &format!("{path}/b"), "{}").await), (404, "NotFound".to_owned()));
        let nobody = UserInfo { username: "nobody".into(), ..UserInfo::default() };
        assert_eq!(refused(ask(nobody, "POST", path, object).await), (403, "Forbidden".to_owned()));
    }
}
