//! Scenarios: a hub and its stores, as their users see them.

mod anywhere;
mod gitops;
mod joining;
mod orders;
mod wall;
mod works;
