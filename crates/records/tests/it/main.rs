//! One suite for every implementation of `Records`, and what only a file can show.

mod file;
mod suite;
mod support;
