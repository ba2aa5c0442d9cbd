//! A hub on its own API server, in process, and agents that speak the protocols by hand.

mod endpoints;
mod git_rights;
mod joining;
mod placing;
mod readmodel;
mod support;
mod unacted;
