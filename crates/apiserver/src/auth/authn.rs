//! Who a request is from.
//!
//! In this order: a client certificate our authority signed; a bearer token (an operator's, a bootstrap
//! token, a service account's); nobody. Credentials that are shown but not good are refused with
//! the reason, never taken for nobody. Then `Impersonate-*` headers may put somebody else in the place.
//!
//! Signatures are verified once per credential; that the service account or bootstrap secret still exists,
//! and the time, are checked with each request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use apimachinery::status::Status;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use pki::token::{Claims, Refusal, Signer};
use pki::{Authority, Identity};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};

use super::bootstrap_token::{self, BootstrapToken};
use super::impersonation;
use super::objects::{Memo, Objects};
use super::rbac::Rbac;
use crate::user::{SYSTEM_AUTHENTICATED, UserInfo};

// One entry is about 300 bytes: room for some thousands of agents with several credentials each.
const CREDENTIALS_MAX: usize = 16_384;
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

type Hash = [u8; 32];

/// What an authenticator reads and trusts.
pub struct Config {
    pub objects: Arc<dyn Objects>,
    /// Client certificates it signed are trusted.
    pub ca: Arc<Authority>,
    /// Service-account tokens it signed are trusted.
    pub tokens: Arc<Signer>,
    /// Tokens of operators, as `muster token admin` prints, and whose they are.
    pub static_tokens: Vec<(String, UserInfo)>,
}

/// Turns credentials into users.
pub struct Authenticator {
    ca: Arc<Authority>,
    signer: Arc<Signer>,
    audiences: Vec<String>,
    static_tokens: HashMap<Hash, UserInfo>,
    objects: Arc<dyn Objects>,
    certificates: Memo<Hash, Arc<(Identity, UserInfo)>>,
    tokens: Memo<Hash, Arc<Claims>>,
    /// Uid by namespace and name.
    service_accounts: Memo<(String, String), Arc<str>>,
    bootstrap_tokens: Memo<String, Arc<BootstrapToken>>,
    overflows: Counter,
}

/// A bearer token that was recognised.
pub(super) struct Recognised {
    pub user: UserInfo,
    /// The audiences for which the token is good.
    pub audiences: Vec<String>,
}

impl Authenticator {
    pub fn new(config: Config) -> Self {
        let overflows = Counter::default();
        Self {
            audiences: vec![config.tokens.issuer().to_owned()],
            ca: config.ca,
            signer: config.tokens,
            static_tokens: config.static_tokens.into_iter().map(|(token, user)| (hash(token.as_bytes()), user)).collect(),
            objects: config.objects,
            certificates: Memo::new(CREDENTIALS_MAX, &overflows),
            tokens: Memo::new(CREDENTIALS_MAX, &overflows),
            service_accounts: Memo::new(CREDENTIALS_MAX, &overflows),
            bootstrap_tokens: Memo::new(CREDENTIALS_MAX, &overflows),
            overflows,
        }
    }

    /// Exposes how often a cache of credentials was full.
    pub fn register(&self, metrics: &mut Registry) {
        metrics.register("muster_authentication_cache_overflows", "Times a cache of credentials was full", self.overflows.clone());
    }

    /// Returns who a request is from. `peer` is the certificate (DER) whose key the client proved to hold.
    /// Whom they ask to be is for [`Authenticator::impersonate`].
    pub fn authenticate(&self, headers: &HeaderMap, peer: Option<&[u8]>, now: Timestamp) -> Result<UserInfo, Status> {
        // 1. A certificate. A bad one still lets a good token through.
        let refusal = match peer.map(|der| self.by_certificate(der, now)) {
            Some(Ok(user)) => return Ok(user),
            Some(Err(refusal)) => Some(refusal),
            None => None,
        };
        // 2. A bearer token.
        if let Some(token) = bearer(headers)? {
            return Ok(self.by_token(token, &self.audiences, now)?.user);
        }
        // 3. Nobody, if nothing was shown.
        refusal.map_or(Ok(UserInfo::anonymous()), Err)
    }

    /// Returns the user whom a user asks to be (`Impersonate-*`), if they may; without such headers the user.
    pub fn impersonate(&self, headers: &HeaderMap, user: UserInfo, rbac: &Rbac) -> Result<UserInfo, Status> {
        impersonation::resolve(user, headers, rbac)
    }

    /// Takes in that an object was written or deleted; resources other than
    /// service accounts and secrets are ignored.
    pub fn changed(&self, group: &str, resource: &str, namespace: &str, name: &str) {
        match (group, resource) {
            ("", "serviceaccounts") => self.service_accounts.forget(&(namespace.to_owned(), name.to_owned())),
            ("", "secrets") if namespace == bootstrap_token::NAMESPACE => {
                if let Some(id) = name.strip_prefix(bootstrap_token::NAME_PREFIX) {
                    self.bootstrap_tokens.forget(&id.to_owned());
                }
            }
            _ => {}
        }
    }

    pub fn signer(&self) -> &Signer {
        &self.signer
    }

    fn by_certificate(&self, der: &[u8], now: Timestamp) -> Result<UserInfo, Status> {
        let fingerprint = hash(der);
        let verified = self.certificates.get_or(fingerprint, || {
            let identity = self.ca.verify_client(der, &[], now)?;
            if identity.cn.is_empty() {
                return Err(pki::Error::Untrusted("its subject has no common name".into()));
            }
            let mut user = UserInfo { username: identity.cn.clone(), groups: identity.orgs.clone(), ..UserInfo::default() };
            user.groups.push(SYSTEM_AUTHENTICATED.into());
            let hex: String = fingerprint.iter().map(|b| format!("{b:02x}")).collect();
            user.extra.insert(CREDENTIAL_ID.into(), vec![format!("X509SHA256={hex}")]);
            Ok(Arc::new((identity, user)))
        });
        let verified = verified.map_err(|e| unauthorized(&e))?;
        verified.0.check_time(now).map_err(|e| unauthorized(&e))?;
        Ok(verified.1.clone())
    }

    /// Recognises a bearer token that is good for one of `audiences`.
    pub(super) fn by_token(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<Recognised, Status> {
        let fingerprint = hash(token.as_bytes());
        if let Some(user) = self.static_tokens.get(&fingerprint) {
            return Ok(Recognised { user: user.clone(), audiences: self.audiences.clone() });
        }
        if let Some((id, secret)) = bootstrap_token::split(token) {
            let user = self.by_bootstrap_token(id, secret, now)?;
            return Ok(Recognised { user, audiences: self.audiences.clone() });
        }
        let claims = self.tokens.get_or(fingerprint, || self.signer.verify(token, &[], now).map(Arc::new));
        let claims = claims.map_err(|e| unauthorized(&e))?;
        claims.check(audiences, now).map_err(|e| unauthorized(&e))?;
        let user = self.by_service_account(&claims)?;
        let audiences = claims.aud.iter().filter(|a| audiences.contains(a)).cloned().collect();
        Ok(Recognised { user, audiences })
    }

    /// Returns why a token is refused for some audiences, or whose it is: for TokenReview.
    pub(super) fn review(&self, token: &str, audiences: &[String], now: Timestamp) -> Result<Recognised, Status> {
        let audiences = if audiences.is_empty() { &self.audiences } else { audiences };
        let recognised = self.by_token(token, audiences, now)?;
        let common: Vec<String> = recognised.audiences.iter().filter(|a| audiences.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(unauthorized(&Refusal::Audience(recognised.audiences)));
        }
        Ok(Recognised { audiences: common, ..recognised })
    }

    fn by_bootstrap_token(&self, id: &str, secret: &str, now: Timestamp) -> Result<UserInfo, Status> {
        let found = self.bootstrap_tokens.get_or(id.to_owned(), || {
            let name = format!("{}{id}", bootstrap_token::NAME_PREFIX);
            let object = self.objects.get("", "secrets", bootstrap_token::NAMESPACE, &name).ok_or(())?;
            BootstrapToken::parse(id, &object).map(Arc::new).map_err(|_| ())
        });
        // One answer whether the token exists or its secret is wrong: ids are not secret, existence is.
        let token = found.ok().filter(|t| t.has_secret(secret));
        let token = token.ok_or_else(|| unauthorized(&format!("the bootstrap token {id:?} is not known, or its secret is wrong")))?;
        token.user(now).map_err(|e| unauthorized(&e))
    }

    fn by_service_account(&self, claims: &Claims) -> Result<UserInfo, Status> {
        let bound = &claims.kubernetes;
        let (namespace, account) = (&bound.namespace, &bound.serviceaccount);
        let uid = self.service_accounts.get_or((namespace.clone(), account.name.clone()), || {
            self.uid("serviceaccounts", namespace, &account.name).map(Arc::from).ok_or(())
        });
        if uid.ok().as_deref() != Some(account.uid.as_str()) {
            return Err(unauthorized(&format!("the service account {namespace}/{} of the token no longer exists", account.name)));
        }
        let mut extra = BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![format!("JTI={}", claims.jti)])]);
        for (resource, reference) in [("pods", &bound.pod), ("secrets", &bound.secret)] {
            let Some(reference) = reference else { continue };
            if self.uid(resource, namespace, &reference.name).as_deref() != Some(reference.uid.as_str()) {
                let object = format!("{resource} {namespace}/{}", reference.name);
                return Err(unauthorized(&format!("the token is bound to {object}, which no longer exists")));
            }
            if resource == "pods" {
                extra.insert("authentication.kubernetes.io/pod-name".into(), vec![reference.name.clone()]);
                extra.insert("authentication.kubernetes.io/pod-uid".into(), vec![reference.uid.clone()]);
            }
        }
        Ok(UserInfo { extra, ..service_account_user(namespace, &account.name, &account.uid) })
    }

    fn uid(&self, resource: &str, namespace: &str, name: &str) -> Option<String> {
        let object = self.objects.get("", resource, namespace, name)?;
        object["metadata"]["uid"].as_str().map(str::to_owned)
    }
}

/// Returns the user that a service account is.
pub fn service_account_user(namespace: &str, name: &str, uid: &str) -> UserInfo {
    let namespace_group = format!("system:serviceaccounts:{namespace}");
    let mut user = UserInfo::new(super::rbac::service_account_user(namespace, name), &["system:serviceaccounts", &namespace_group]);
    user.uid = uid.to_owned();
    user
}

/// Returns the token of an `Authorization` header, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(Some(token.trim())),
        _ => Err(unauthorized(&"the Authorization header is not of the form \"Bearer <token>\"")),
    }
}

fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Returns a 401 with a reason that helps its owner and tells a stranger nothing.
pub(super) fn unauthorized(why: &dyn std::fmt::Display) -> Status {
    Status::new(401, "Unauthorized", format!("Unauthorized: {why}"))
}
