//! The `muster` program as people start it: processes, sockets, TLS, a real Git.
//!
//! One fleet a test, and few tests: each is a machine's work. `support` knows how to start one and leaves nothing behind.

mod comes_up;
mod ends;
mod keeps;
mod mistakes;
mod soak;
mod stories;
mod support;
mod syncs;
mod tour;
