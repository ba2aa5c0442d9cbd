//! Deletes what has grown old: bootstrap tokens, Events, CertificateSigningRequests.
//!
//! Events live an hour after they were last seen, as kube-apiserver's --event-ttl; requests as kubernetes
//! pkg/controller/certificates/cleaner: an hour after an answer, a day without one.

use std::time::Duration;

use controller::Next;
use jiff::{SignedDuration, Timestamp};
use kube::api::PropagationPolicy;
use serde_json::Value;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::api;
use super::stored::Metadata;
use super::{Error, Machine};
use crate::auth::bootstrap_token::{self, BootstrapToken};

const EVERY: Duration = Duration::from_secs(300);
/// Deletions in one run; more follow after a pause, so that a flood of Events does not starve other work.
const DELETIONS_MAX: usize = 500;
const PAUSE: Duration = Duration::from_millis(100);

const EVENT_TTL: SignedDuration = SignedDuration::from_hours(1);
const ANSWERED_TTL: SignedDuration = SignedDuration::from_hours(1);
const PENDING_TTL: SignedDuration = SignedDuration::from_hours(24);

type Rule = fn(&Value, Timestamp) -> bool;

/// Group, resource, what to look at, and whether an object is too old.
const RULES: [(&str, &str, &str, Rule); 3] = [
    ("", "secrets", "/core/secrets/kube-system/bootstrap-token-", is_expired_token),
    ("", "events", "/core/events/", is_old_event),
    ("certificates.k8s.io", "certificatesigningrequests", "/certificates.k8s.io/certificatesigningrequests/", is_old_request),
];

impl Machine {
    pub async fn expire(&self) -> Result<Next, Error> {
        let now = self.now();
        let mut left = DELETIONS_MAX;
        let table = self.server.inner.registry.snapshot();
        for (group, resource, prefix, is_too_old) in RULES {
            let Some(resource) = table.get(group, "v1", resource) else { continue };
            for entry in self.entries(prefix)? {
                let object: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
                if !is_too_old(&object, now) {
                    continue;
                }
                if left == 0 {
                    return Ok(Next::After(PAUSE));
                }
                left -= 1;
                let Some(metadata) = Metadata::of(&entry.value) else { continue };
                tracing::debug!(object = %entry.key, "deleting an expired object");
                api::delete(&api::of(&self.client, resource, &metadata.namespace), &metadata, PropagationPolicy::Background).await?;
            }
        }
        Ok(Next::After(EVERY))
    }
}

fn is_expired_token(secret: &Value, now: Timestamp) -> bool {
    let name = secret["metadata"]["name"].as_str().unwrap_or_default();
    let id = name.strip_prefix(bootstrap_token::NAME_PREFIX).unwrap_or_default();
    BootstrapToken::parse(id, secret).is_ok_and(|token| token.expires_at().is_some_and(|at| at <= now))
}

fn is_old_event(event: &Value, now: Timestamp) -> bool {
    let times = [&event["metadata"]["creationTimestamp"], &event["lastTimestamp"], &event["series"]["lastObservedTime"]];
    let last = times.into_iter().filter_map(time).max();
    last.is_some_and(|last| last + EVENT_TTL <= now)
}

fn is_old_request(csr: &Value, now: Timestamp) -> bool {
    let conditions = || csr["status"]["conditions"].as_array().into_iter().flatten();
    let since = |ty: &str| conditions().find(|c| c["type"] == ty).and_then(|c| time(&c["lastUpdateTime"]));
    let created = time(&csr["metadata"]["creationTimestamp"]);
    let certificate = csr["status"]["certificate"].as_str().and_then(|text| STANDARD.decode(text).ok());
    // 1. Issued: an hour, or as long as the certificate.
    if let Some(certificate) = certificate {
        let identity = pki::Identity::from_pem(&String::from_utf8_lossy(&certificate));
        let is_over = identity.is_ok_and(|i| i.not_after <= now);
        return is_over || since("Approved").or(created).is_some_and(|at| at + ANSWERED_TTL <= now);
    }
    // 2. Refused: an hour.
    if let Some(at) = since("Denied").or(since("Failed")) {
        return at + ANSWERED_TTL <= now;
    }
    // 3. Waiting: a day.
    created.is_some_and(|at| at + PENDING_TTL <= now)
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-01-02T{text}Z").parse().expect("a time")
    }

    #[test]
    fn the_prefixes_are_those_of_the_store() {
        assert!(RULES.iter().all(|(group, resource, prefix, _)| prefix.starts_with(&crate::keys::resource_prefix(group, resource))));
    }

    #[test]
    fn an_event_lives_an_hour_after_it_was_last_seen() {
        let mut event = json!({"metadata": {"creationTimestamp": "2026-01-02T10:00:00Z"}});
        assert!(!is_old_event(&event, at("10:59:59")));
        assert!(is_old_event(&event, at("11:00:00")));
        event["series"] = json!({"lastObservedTime": "2026-01-02T10:30:00.000000Z"});
        assert!(!is_old_event(&event, at("11:00:00")));
        assert!(is_old_event(&event, at("11:30:00")));
    }

    #[test]
    fn a_request_lives_an_hour_after_its_answer_and_a_day_without() {
        let with = |status: Value| json!({"metadata": {"creationTimestamp": "2026-01-01T09:00:00Z"}, "status": status});
        let condition = |ty: &str| json!({"conditions": [{"type": ty, "lastUpdateTime": "2026-01-02T08:30:00Z"}]});
        assert!(!is_old_request(&with(json!({})), at("08:59:59")));
        assert!(is_old_request(&with(json!({})), at("09:00:00")));
        assert!(!is_old_request(&with(condition("Denied")), at("09:29:59")));
        assert!(is_old_request(&with(condition("Denied")), at("09:30:00")));
        assert!(is_old_request(&with(condition("Failed")), at("09:30:00")));
        // Approved but not signed yet counts as waiting.
        assert!(is_old_request(&with(condition("Approved")), at("09:00:00")));
        let mut signed = condition("Approved");
        signed["certificate"] = json!("eA==");
        assert!(!is_old_request(&with(signed.clone()), at("09:29:59")));
        assert!(is_old_request(&with(signed), at("09:30:00")));
    }
}
