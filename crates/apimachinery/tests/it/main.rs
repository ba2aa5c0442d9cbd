//! One binary for the tests that need more than a module: tables, public test data, properties.

#![allow(clippy::disallowed_methods, reason = "tests read files and measure time")]

mod apply;
mod patch;
mod schema;
