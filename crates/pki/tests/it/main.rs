//! The authority against rustls, and tokens against forgery and time.

mod certificates;
mod tls;
mod tokens;

use jiff::{SignedDuration, Timestamp};

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn now() -> Timestamp {
    Timestamp::now()
}

fn authority() -> pki::Authority {
    pki::Authority::create("muster-ca", now(), SignedDuration::from_hours(24)).unwrap()
}
