//! Bootstrap tokens: `<id>.<secret>`, kept in Secrets `bootstrap-token-<id>` of kube-system.
//!
//! As kubernetes plugin/pkg/auth/authenticator/token/bootstrap: the user is `system:bootstrap:<id>`, the groups
//! `system:bootstrappers` and those of `auth-extra-groups`.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::Value;

use crate::user::UserInfo;

pub const NAMESPACE: &str = "kube-system";
pub const NAME_PREFIX: &str = "bootstrap-token-";
pub const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

/// A parsed bootstrap token Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrapToken {
    id: String,
    secret: String,
    is_for_authentication: bool,
    is_going: bool,
    expires_at: Option<Timestamp>,
    extra_groups: Vec<String>,
}

/// Why a Secret is no usable token, or a token not good for authentication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the Secret's {0} is missing or malformed")]
    Field(&'static str),
    #[error("the bootstrap token {id:?} expired at {at}: create a new one")]
    Expired { id: String, at: Timestamp },
    #[error("the bootstrap token {0:?} is not for authentication (usage-bootstrap-authentication)")]
    Usage(String),
}

/// Splits a token into id and secret, if it has that form.
pub fn split(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let is_well_formed = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (is_well_formed(id, 6) && is_well_formed(secret, 16)).then_some((id, secret))
}

impl BootstrapToken {
    pub fn parse(id: &str, secret: &Value) -> Result<Self, Unusable> {
        let data = |key: &str| {
            let bytes = STANDARD.decode(secret["data"][key].as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        };
        if secret["type"] != SECRET_TYPE {
            return Err(Unusable::Field("type"));
        }
        if data("token-id").as_deref() != Some(id) {
            return Err(Unusable::Field("data.token-id"));
        }
        let expires_at = data("expiration").map(|text| text.parse()).transpose().map_err(|_| Unusable::Field("data.expiration"))?;
        let extra_groups = data("auth-extra-groups").unwrap_or_default();
        let extra_groups: Vec<String> = extra_groups.split(',').filter(|g| !g.is_empty()).map(str::to_owned).collect();
        if !extra_groups.iter().all(|g| g.starts_with("system:bootstrappers:")) {
            return Err(Unusable::Field("data.auth-extra-groups"));
        }
        Ok(Self {
            id: id.to_owned(),
            secret: data("token-secret").filter(|s| !s.is_empty()).ok_or(Unusable::Field("data.token-secret"))?,
            is_for_authentication: data("usage-bootstrap-authentication").as_deref() == Some("true"),
            is_going: !secret["metadata"]["deletionTimestamp"].is_null(),
            expires_at,
            extra_groups,
        })
    }

    pub fn has_secret(&self, secret: &str) -> bool {
        !self.is_going && verify_slices_are_equal(self.secret.as_bytes(), secret.as_bytes()).is_ok()
    }

    /// Returns the user the token stands for.
    pub fn user(&self, now: Timestamp) -> Result<UserInfo, Unusable> {
        if let Some(at) = self.expires_at.filter(|at| now >= *at) {
            return Err(Unusable::Expired { id: self.id.clone(), at });
        }
        if !self.is_for_authentication {
            return Err(Unusable::Usage(self.id.clone()));
        }
        let groups: Vec<&str> = std::iter::once(GROUP).chain(self.extra_groups.iter().map(String::as_str)).collect();
        Ok(UserInfo::new(format!("system:bootstrap:{}", self.id), &groups))
    }

    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }
}
