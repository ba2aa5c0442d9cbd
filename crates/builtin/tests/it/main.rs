//! Schemas, rows and encodings against public data, where it is present.

#![allow(clippy::disallowed_methods, reason = "tests read files")]

mod defaults;
mod kinds;
mod oracle;
mod overlays;
mod protobuf;
mod roundtrip;
mod support;
mod validation;
