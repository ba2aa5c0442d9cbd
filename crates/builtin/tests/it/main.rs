//! Schemas, rows and encodings against public data, where it is present.

mod kinds;
mod oracle;
mod overlays;
mod support;
