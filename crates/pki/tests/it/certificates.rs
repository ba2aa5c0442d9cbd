use jiff::SignedDuration;
use pki::{Authority, Error, Identity, Key, Request, Usage};

use crate::{HOUR, authority, now};

#[test]
fn a_client_certificate_names_user_and_groups_and_is_valid_from_five_minutes_ago() {
    let ca = authority();
    let now = now();
    let issued = ca.sign_client("admin", &["system:masters", "ops"], now, HOUR).unwrap();
    let identity = Identity::from_pem(&issued.certificate_pem).unwrap();
    assert_eq!((identity.cn.as_str(), identity.orgs.as_slice()), ("admin", &["system:masters".to_owned(), "ops".to_owned()][..]));
    assert_eq!(identity.not_before.as_second(), now.as_second() - 300);
    assert_eq!(identity.not_after.as_second(), now.as_second() + 3600);
    assert_eq!(identity.serial.len(), 32);
    assert!(issued.key.matches(&issued.certificate_pem));
    assert!(!Key::generate().unwrap().matches(&issued.certificate_pem));
}

#[test]
fn a_request_is_signed_with_all_its_organizations() {
    let ca = authority();
    let key = Key::generate().unwrap();
    let csr = key.csr("system:open-cluster-management:store-1:agent", &["system:open-cluster-management:store-1", "fleet"]).unwrap();
    let request = Request::from_pem(csr.as_bytes()).unwrap();
    assert_eq!(request.cn, "system:open-cluster-management:store-1:agent");
    assert_eq!(request.orgs, ["system:open-cluster-management:store-1", "fleet"]);
    assert!(!request.has_alternative_names());
    let certificate = ca.sign_request(&request, Usage::Client, now(), HOUR).unwrap();
    let der = pem_der(&certificate);
    let identity = ca.verify_client(&der, &[], now()).unwrap();
    assert_eq!((identity.cn, identity.orgs), (request.cn, request.orgs));
    assert!(key.matches(&certificate));
}

/// Go puts all organizations of a name into one set; so does this request, made with openssl.
#[test]
fn several_organizations_in_one_set_are_read() {
    let csr = include_str!("go-style.csr");
    let request = Request::from_pem(csr.as_bytes()).unwrap();
    assert_eq!(request.cn, "system:open-cluster-management:c1:a1");
    assert_eq!(request.orgs, ["system:open-cluster-management:c1", "system:open-cluster-management:managed-clusters"]);
    assert_eq!(request.dns_names, ["c1.example"]);
    assert_eq!(request.ip_addresses, ["10.1.2.3"]);
    let certificate = authority().sign_request(&request, Usage::Client, now(), HOUR).unwrap();
    assert_eq!(Identity::from_pem(&certificate).unwrap().orgs, request.orgs);
}

#[test]
fn a_tampered_request_is_refused() {
    let csr = Key::generate().unwrap().csr("a", &["b"]).unwrap();
    let other = Key::generate().unwrap().csr("a", &["system:masters"]).unwrap();
    // The signature of one under the contents of the other.
    let (one, two) = (pem_der(&csr), pem_der(&other));
    let mut forged = two.clone();
    let tail = 60;
    let at = forged.len() - tail;
    forged[at..].copy_from_slice(&one[one.len() - tail..]);
    let text = format!("-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n", base64(&forged));
    assert!(Request::from_pem(text.as_bytes()).is_err());
    assert!(matches!(Request::from_pem(b"hello"), Err(Error::Malformed { .. })));
}

#[test]
fn a_client_is_verified_at_the_given_time_and_by_this_authority_only() {
    let (ca, other) = (authority(), authority());
    let now = now();
    let issued = ca.sign_client("a", &["b"], now, HOUR).unwrap();
    let der = pem_der(&issued.certificate_pem);
    ca.verify_client(&der, &[], now).unwrap();
    assert!(matches!(ca.verify_client(&der, &[], now + 2 * HOUR), Err(Error::Expired { .. })));
    assert!(matches!(ca.verify_client(&der, &[], now - HOUR), Err(Error::NotYetValid { .. })));
    // Same name, other key.
    assert!(matches!(other.verify_client(&der, &[], now), Err(Error::Untrusted(_))));
    let server = ca.sign_server(&["localhost".into()], now, HOUR).unwrap();
    assert!(matches!(ca.verify_client(&pem_der(&server.certificate_pem), &[], now), Err(Error::Untrusted(_))));
}

#[test]
fn a_certificate_never_outlives_its_authority() {
    let ca = authority();
    let issued = ca.sign_client("a", &["b"], now(), SignedDuration::from_hours(1000)).unwrap();
    assert_eq!(Identity::from_pem(&issued.certificate_pem).unwrap().not_after, ca.identity().not_after);
}

#[test]
fn an_authority_is_saved_with_a_private_key_file_and_loaded_again() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (crt, key) = (directory.path().join("pki/ca.crt"), directory.path().join("pki/ca.key"));
    let ca = authority();
    ca.save(&crt, &key).unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    let loaded = Authority::load(&crt, &key).unwrap();
    let issued = loaded.sign_client("a", &["b"], now(), HOUR).unwrap();
    ca.verify_client(&pem_der(&issued.certificate_pem), &[], now()).unwrap();
    authority().save(&directory.path().join("other.crt"), &key).unwrap();
    assert!(matches!(Authority::load(&crt, &key), Err(Error::Mismatch)));
    let missing = Authority::load(&directory.path().join("no.crt"), &key).unwrap_err();
    assert!(missing.to_string().contains("no.crt"), "{missing}");
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub fn pem_der(pem: &str) -> Vec<u8> {
    use base64::Engine;
    let body: String = pem.lines().filter(|l| !l.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}
