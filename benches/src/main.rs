//! Measurements that feed SPECIFICATION.md.

fn main() {}
