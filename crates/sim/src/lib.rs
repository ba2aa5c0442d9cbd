//! Simulated store clusters.
//!
//! A simulated store is the embedded API server on a store in memory, controllers that behave as a
//! cluster's own would ([`workloads`]: pure decisions; [`driver`]: one task a cluster that feeds and
//! obeys them), and the real agent, which sees nothing but an API.

pub mod cluster;
pub mod control;
mod cron;
pub mod driver;
pub mod example;
pub mod faults;
pub mod fleet;
pub mod kind;
mod kubelet;
pub mod link;
pub mod logs;
pub mod model;
pub mod snapshot;
pub mod spec;
pub mod workloads;

pub use cluster::{HubAccess, Store};
pub use example::Example;
pub use fleet::{Fleet, FleetOptions};
pub use spec::{FleetSpec, StoreSpec};
