//! The server as its clients see it, in process.

mod basics;
mod history;
mod support;
