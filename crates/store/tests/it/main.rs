//! One suite for every implementation of `Store`, and what only a disk can show.

mod crash;
mod disk;
mod full;
mod lazy;
mod limits;
mod model;
mod suite;
mod support;
