//! The server as its clients see it, in process.

mod apply;
mod basics;
mod faults;
mod history;
mod support;
