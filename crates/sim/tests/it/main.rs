//! Simulated clusters as their clients see them: real API server, real clients, paused clock.

mod lives;
mod stories;
mod support;
mod workloads;
