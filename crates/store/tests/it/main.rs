//! One suite for every implementation of `Store`, and what only a disk can show.

mod model;
mod suite;
mod support;
