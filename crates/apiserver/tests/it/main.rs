//! The server as its clients see it: in process, over TLS, and with tools people use.

mod basics;
mod helm;
mod kube_rs;
mod kubectl;
mod requests;
mod script;
mod history;
mod support;
