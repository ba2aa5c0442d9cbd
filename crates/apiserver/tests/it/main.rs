//! The server as its clients see it: in process, over TLS, and with tools people use.

mod apply;
mod basics;
mod faults;
mod helm;
mod history;
mod kube_rs;
mod kubectl;
mod requests;
mod script;
mod support;
