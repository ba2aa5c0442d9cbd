//! Scenarios: a hub and its stores, as their users see them.

mod joining;
mod works;
