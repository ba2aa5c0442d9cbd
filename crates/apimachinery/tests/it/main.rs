//! One binary for the tests that need more than a module: tables, public test data, properties.

mod apply;
mod patch;
mod schema;
