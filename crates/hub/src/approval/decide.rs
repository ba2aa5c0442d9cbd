//! Whether a request is approved, and what its cluster should show.

use api::cluster::{ManagedCluster, annotation, claim_name, condition, identity, reason};
use api::conditions::{FALSE, Said, TRUE, is_false};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

use super::observe::Observed;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
const USAGES: [&str; 3] = ["digital signature", "key encipherment", "client auth"];

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Approve {
        why: &'static str,
    },
    /// An administrator may still approve it.
    Leave {
        why: String,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub verdict: Verdict,
    /// Sets `hubAcceptsClient` and the annotation that this happened.
    pub accept_cluster_on: Option<Timestamp>,
    /// Records who has this name from now on.
    pub record_uid: Option<String>,
    pub identity: Option<Said>,
}

impl Plan {
    fn leave(why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Leave { why: why.into() }, accept_cluster_on: None, record_uid: None, identity: None }
    }
}

pub fn decide(seen: &Observed, now: Timestamp) -> Plan {
    // 1. What is asked for is one agent's client certificate and nothing else.
    if let Err(why) = check_request(&seen.request, &seen.cluster_name) {
        return Plan::leave(why);
    }
    let Some(cluster) = seen.cluster.as_deref() else {
        return Plan::leave(format!("there is no ManagedCluster {}", seen.cluster_name));
    };
    if let Some(why) = going(cluster) {
        return Plan::leave(why);
    }
    // 2. A renewal: the sender holds a certificate of this very identity, and the right to renew it.
    let claimed = claimed_uid(&seen.request);
    if is_renewal(&seen.request) {
        return if seen.may_renew {
            let plan = Plan { verdict: Verdict::Approve { why: "renewal" }, ..Plan::leave("") };
            Plan { record_uid: uid_to_record(cluster, claimed), ..plan }
        } else {
            Plan::leave("the sender may not renew: managedclusters/clientcertificates is not granted")
        };
    }
    // 3. A first request under a name that another cluster has is shown and left.
    if let Some(text) = second_claimant(cluster, claimed) {
        let said = Said::new(condition::IDENTITY_UNIQUE, FALSE, reason::SECOND_CLAIMANT, text.clone());
        return Plan { identity: Some(said), ..Plan::leave(text) };
    }
    // 4. A first request of someone who may bring clusters in; it accepts the cluster, but only once:
    //    what an administrator took back stays back.
    if !seen.may_bring_in {
        return Plan::leave("the sender is not on the list of those who may bring clusters in");
    }
    let was_accepted_once = cluster.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(annotation::AUTOMATICALLY_ACCEPTED_ON));
    if !cluster.spec.hub_accepts_client && was_accepted_once {
        return Plan::leave("the cluster was accepted automatically once and is not accepted now");
    }
    Plan {
        verdict: Verdict::Approve { why: "first request of an auto-accepted user" },
        accept_cluster_on: (!cluster.spec.hub_accepts_client).then_some(now),
        record_uid: uid_to_record(cluster, claimed),
        identity: is_false(cluster.conditions(), condition::IDENTITY_UNIQUE).then(|| {
            Said::new(condition::IDENTITY_UNIQUE, TRUE, reason::ONE_CLAIMANT, "the cluster recorded under this name joined again")
        }),
    }
}

/// Returns why not even an administrator should approve a request: it asks for more than an agent of the cluster needs,
/// or another cluster has the name.
pub fn refuse_request(request: &CertificateSigningRequest, cluster: &ManagedCluster) -> Option<String> {
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    if let Err(why) = check_request(request, name) {
        return Some(why);
    }
    if let Some(why) = going(cluster) {
        return Some(why.to_owned());
    }
    if is_renewal(request) { None } else { second_claimant(cluster, claimed_uid(request)) }
}

fn going(cluster: &ManagedCluster) -> Option<&'static str> {
    cluster.metadata.deletion_timestamp.as_ref().map(|_| "the ManagedCluster is being deleted")
}

/// Returns whether the sender holds a certificate of the very identity that is asked for.
fn is_renewal(request: &CertificateSigningRequest) -> bool {
    let wanted = pki::Request::from_pem(&request.spec.request.0).map(|r| r.cn).unwrap_or_default();
    request.spec.username.as_deref().unwrap_or_default() == wanted
}

/// Returns what is wrong with a claim to a name that another cluster has.
fn second_claimant(cluster: &ManagedCluster, claimed: Option<&str>) -> Option<String> {
    let recorded = recorded_uid(cluster).filter(|recorded| claimed != Some(recorded))?;
    let other = claimed.map_or("a cluster that does not tell its UID".to_owned(), |uid| format!("cluster {uid}"));
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    Some(format!(
        "{other} asks to join as {name}, which is cluster {recorded}: a reused name or a cloned disk; \
         join it under another name, or delete this ManagedCluster first"
    ))
}

/// Returns the UID the hub knows a cluster by: the one recorded, else the one its agent told.
pub fn recorded_uid(cluster: &ManagedCluster) -> Option<&str> {
    let recorded = cluster.metadata.annotations.as_ref().and_then(|a| a.get(annotation::CLUSTER_UID)).map(String::as_str);
    recorded.or_else(|| cluster.claim(claim_name::ID)).filter(|uid| !uid.is_empty())
}

fn uid_to_record(cluster: &ManagedCluster, claimed: Option<&str>) -> Option<String> {
    let is_recorded = cluster.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(annotation::CLUSTER_UID));
    if is_recorded { None } else { recorded_uid(cluster).or(claimed).map(str::to_owned) }
}

/// Returns the UID of the cluster that a request says it is from.
pub fn claimed_uid(request: &CertificateSigningRequest) -> Option<&str> {
    let annotations = request.metadata.annotations.as_ref()?;
    annotations.get(annotation::REQUESTER_CLUSTER_UID).map(String::as_str).filter(|uid| !uid.is_empty())
}

/// Returns whether a user name is one of the cluster's agents.
pub fn is_agent_of(user: &str, cluster: &str) -> bool {
    identity::parse_agent_user(user).is_some_and(|(found, _)| found == cluster)
}

// As ocm register/csr/approve_reconciler.go, and stricter: no alternative names, no other usage.
fn check_request(request: &CertificateSigningRequest, cluster: &str) -> Result<(), String> {
    if request.spec.signer_name != SIGNER {
        return Err(format!("spec.signerName is {:?}, not {SIGNER}", request.spec.signer_name));
    }
    let usages = request.spec.usages.as_deref().unwrap_or_default();
    if let Some(other) = usages.iter().find(|u| !USAGES.contains(&u.as_str())) {
        return Err(format!("spec.usages has {other:?}, which an agent does not need"));
    }
    if !usages.iter().any(|u| u == "client auth") {
        return Err("spec.usages lacks \"client auth\"".to_owned());
    }
    let asked = pki::Request::from_pem(&request.spec.request.0).map_err(|e| format!("spec.request is not usable: {e}"))?;
    if asked.has_alternative_names() {
        return Err("spec.request has alternative names; an agent has none".to_owned());
    }
    if !is_agent_of(&asked.cn, cluster) {
        return Err(format!("the common name {:?} is not of an agent of {cluster}", asked.cn));
    }
    let mut orgs: Vec<&str> = asked.orgs.iter().map(String::as_str).filter(|o| *o != identity::ALL_CLUSTERS_GROUP).collect();
    orgs.dedup();
    if orgs != [identity::cluster_group(cluster)] {
        return Err(format!("the organizations {:?} are not those of {cluster}", asked.orgs));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::ByteString;
    use k8s_openapi::api::certificates::v1::CertificateSigningRequestSpec;

    use super::*;

    const CN: &str = "system:open-cluster-management:store-1:agent-x";

    struct Case {
        cn: &'static str,
        orgs: Vec<&'static str>,
        usages: Vec<&'static str>,
        sender: &'static str,
        uid: Option<&'static str>,
        recorded: Option<&'static str>,
        accepts: bool,
        accepted_once: bool,
        may_renew: bool,
        may_bring_in: bool,
    }

    impl Default for Case {
        fn default() -> Self {
            Self {
                cn: CN,
                orgs: vec!["system:open-cluster-management:store-1", "system:open-cluster-management:managed-clusters"],
                usages: vec!["digital signature", "key encipherment", "client auth"],
                sender: "system:bootstrap:abcdef",
                uid: Some("u-1"),
                recorded: None,
                accepts: false,
                accepted_once: false,
                may_renew: false,
                may_bring_in: true,
            }
        }
    }

    fn plan(case: Case) -> Plan {
        decide(&observed(&case), Timestamp::UNIX_EPOCH)
    }

    fn observed(case: &Case) -> Observed {
        let key = pki::Key::generate().expect("a key");
        let pem = key.csr(case.cn, &case.orgs).expect("a request");
        let mut request = CertificateSigningRequest {
            spec: CertificateSigningRequestSpec {
                request: ByteString(pem.into_bytes()),
                signer_name: SIGNER.into(),
                usages: Some(case.usages.iter().map(|u| (*u).to_owned()).collect()),
                username: Some(case.sender.into()),
                ..Default::default()
            },
            ..Default::default()
        };
        request.metadata.annotations = case.uid.map(|uid| [(annotation::REQUESTER_CLUSTER_UID.to_owned(), uid.to_owned())].into());
        let mut cluster =
            ManagedCluster::new("store-1", api::cluster::ManagedClusterSpec { hub_accepts_client: case.accepts, ..Default::default() });
        let annotations = cluster.metadata.annotations.get_or_insert_default();
        if let Some(uid) = case.recorded {
            annotations.insert(annotation::CLUSTER_UID.into(), uid.into());
        }
        if case.accepted_once {
            annotations.insert(annotation::AUTOMATICALLY_ACCEPTED_ON.into(), "2026-01-01T00:00:00Z".into());
        }
        Observed {
            request: Arc::new(request),
            cluster_name: "store-1".into(),
            cluster: Some(Arc::new(cluster)),
            may_renew: case.may_renew,
            may_bring_in: case.may_bring_in,
        }
    }

    fn is_approved(case: Case) -> bool {
        matches!(plan(case).verdict, Verdict::Approve { .. })
    }

    #[test]
    fn a_first_request_of_a_listed_user_is_approved_and_accepts_the_cluster() {
        let plan = plan(Case::default());
        assert!(matches!(plan.verdict, Verdict::Approve { .. }));
        assert_eq!(plan.accept_cluster_on, Some(Timestamp::UNIX_EPOCH));
        assert_eq!(plan.record_uid.as_deref(), Some("u-1"));
        assert!(!is_approved(Case { may_bring_in: false, ..Case::default() }));
    }

    #[test]
    fn what_an_administrator_took_back_stays_back() {
        assert!(!is_approved(Case { accepted_once: true, ..Case::default() }));
        assert!(is_approved(Case { accepted_once: true, accepts: true, ..Case::default() }));
    }

    #[test]
    fn a_renewal_needs_the_right_to_renew() {
        let renewal = || Case { sender: CN, accepts: true, may_bring_in: false, ..Case::default() };
        assert!(is_approved(Case { may_renew: true, ..renewal() }));
        assert!(!is_approved(renewal()));
        assert!(!is_approved(Case { sender: "system:open-cluster-management:store-1:other", may_renew: true, ..renewal() }));
    }

    #[test]
    fn a_request_for_more_than_an_agent_needs_is_left() {
        assert!(!is_approved(Case { cn: "system:open-cluster-management:store-2:agent-x", ..Case::default() }));
        assert!(!is_approved(Case { cn: "system:open-cluster-management:store-1", ..Case::default() }));
        assert!(!is_approved(Case { cn: "system:open-cluster-management:store-1:a:b", ..Case::default() }));
        assert!(!is_approved(Case { orgs: vec!["system:masters"], ..Case::default() }));
        assert!(!is_approved(Case { orgs: vec!["system:open-cluster-management:store-1", "system:masters"], ..Case::default() }));
        assert!(!is_approved(Case { usages: vec!["client auth", "server auth"], ..Case::default() }));
        assert!(!is_approved(Case { usages: vec!["digital signature"], ..Case::default() }));
    }

    #[test]
    fn a_second_claimant_is_left_and_shown() {
        for uid in [Some("u-2"), None] {
            let plan = plan(Case { recorded: Some("u-1"), uid, accepts: true, ..Case::default() });
            assert!(matches!(plan.verdict, Verdict::Leave { .. }), "{uid:?}");
            assert_eq!(plan.identity.map(|s| (s.status, s.reason)), Some((FALSE, reason::SECOND_CLAIMANT)));
        }
        assert!(is_approved(Case { recorded: Some("u-1"), accepts: true, ..Case::default() }));
    }

    #[test]
    fn an_administrator_is_told_what_not_to_approve() {
        let refused = |case: Case| {
            let seen = observed(&case);
            refuse_request(&seen.request, seen.cluster.as_deref().expect("a cluster"))
        };
        // Neither the allow-list nor the right to renew is asked for: the administrator has the say.
        assert_eq!(refused(Case { may_bring_in: false, ..Case::default() }), None);
        assert_eq!(refused(Case { sender: CN, recorded: Some("u-2"), ..Case::default() }), None, "a renewal");
        let foreign = Case { cn: "system:open-cluster-management:store-2:agent-x", ..Case::default() };
        assert!(refused(foreign).is_some_and(|why| why.contains("store-2") && why.contains("not of an agent of store-1")));
        assert!(refused(Case { cn: "system:admin", orgs: vec!["system:masters"], ..Case::default() }).is_some());
        assert!(refused(Case { recorded: Some("u-2"), ..Case::default() }).is_some_and(|why| why.contains("which is cluster u-2")));
    }
}
