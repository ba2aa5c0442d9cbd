//! Scenarios: a hub and its stores, as their users see them.

mod anywhere;
mod gitops;
mod joining;
mod wall;
mod works;
