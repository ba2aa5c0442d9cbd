//! The process that a store runs.

fn main() {}
