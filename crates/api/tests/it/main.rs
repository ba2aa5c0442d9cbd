//! The types against objects as the field writes them.

mod crds;
mod parse;
