//! Simulated store clusters.
