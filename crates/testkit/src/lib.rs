//! A whole hub with spokes in one process, for tests.
//!
//! [`Fleet::start`] is a hub ([`Hub`]: embedded API server, reconcilers, bootstrap token) and simulated stores
//! with real agents, connected in memory. On tokio's paused clock (`#[tokio::test(start_paused = true)]`)
//! hours pass in seconds, and the same seed gives the same run. [`git`] serves repositories, [`kubectl`]
//! runs the real one. [`control_plane`] is for tests that are true of any Kubernetes.

pub mod control_plane;
mod fleet;
pub mod git;
mod hub;
pub mod kubectl;
mod wait;

pub use fleet::{Fleet, apply, delete, get, list};
pub use hub::Hub;
pub use wait::{eventually, eventually_within};

/// Shows logs of a failing test when `RUST_LOG` asks for them.
pub fn init_logs() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Another test of the process may have done it.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}

/// When virtual time begins: a Monday morning.
pub fn epoch() -> jiff::Timestamp {
    "2026-11-23T07:00:00Z".parse().expect("a time")
}
