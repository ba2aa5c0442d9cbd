//! Schemas, rows and encodings against public data, where it is present.

mod defaults;
mod kinds;
mod oracle;
mod overlays;
mod protobuf;
mod roundtrip;
mod support;
mod validation;
