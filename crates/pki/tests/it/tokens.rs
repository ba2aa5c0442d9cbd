use jiff::Timestamp;
use pki::Key;
use pki::token::{Bound, Claims, Reference, Refusal, Signer, random_bootstrap, random_uuid};

fn claims(now: Timestamp) -> Claims {
    let reference = Reference { name: "agent".into(), uid: "u-1".into() };
    Claims {
        iss: "https://hub".into(),
        sub: "system:serviceaccount:ocm:agent".into(),
        aud: vec!["https://hub".into()],
        exp: now.as_second() + 3600,
        iat: now.as_second(),
        nbf: now.as_second(),
        jti: "j".into(),
        kubernetes: Bound { namespace: "ocm".into(), serviceaccount: reference, pod: None, secret: None },
    }
}

#[test]
fn a_token_says_what_was_signed_until_it_expires() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let signer = Signer::new("https://hub", &Key::generate().unwrap()).unwrap();
    let token = signer.sign(&claims(now)).unwrap();
    assert_eq!(signer.verify(&token, &[], now).unwrap(), claims(now));
    let later = now + crate::HOUR;
    assert_eq!(signer.verify(&token, &[], later), Err(Refusal::Expired(later)));
    assert_eq!(signer.verify(&token, &[], now - crate::HOUR), Err(Refusal::NotYetValid(now)));
    assert_eq!(signer.verify(&token, &["other".into()], now), Err(Refusal::Audience(vec!["https://hub".into()])));
    signer.verify(&token, &["x".into(), "https://hub".into()], now).unwrap();
}

#[test]
fn a_forged_or_foreign_token_is_refused() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let signer = Signer::new("https://hub", &Key::generate().unwrap()).unwrap();
    let forger = Signer::new("https://hub", &Key::generate().unwrap()).unwrap();
    assert_eq!(signer.verify(&forger.sign(&claims(now)).unwrap(), &[], now), Err(Refusal::Signature));
    let stranger = Signer::new("https://elsewhere", &Key::generate().unwrap()).unwrap();
    let token = stranger.sign(&Claims { iss: "https://elsewhere".into(), ..claims(now) }).unwrap();
    assert_eq!(signer.verify(&token, &[], now), Err(Refusal::Foreign));
    for token in ["", "abcdef.0123456789abcdef", "a.b.c", "..."] {
        assert_eq!(signer.verify(token, &[], now), Err(Refusal::Foreign), "{token}");
    }
}

#[test]
fn the_key_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sa.key");
    let now = crate::now();
    let token = Signer::load_or_create("i", &path).unwrap().sign(&Claims { iss: "i".into(), ..claims(now) }).unwrap();
    let again = Signer::load_or_create("i", &path).unwrap();
    again.verify(&token, &[], now).unwrap();
    assert_eq!(again.jwks()["keys"][0]["x"].as_str().unwrap().len(), 43);
}

#[test]
fn random_names_have_the_form_kubernetes_expects() {
    let (id, secret) = random_bootstrap().unwrap();
    assert!(id.len() == 6 && secret.len() == 16);
    assert!((id + &secret).chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()));
    let uuid = random_uuid().unwrap();
    assert_eq!(uuid.len(), 36);
    assert_eq!(&uuid[14..15], "4");
}
