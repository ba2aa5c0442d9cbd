//! Mirrors and packs against real Git: repositories made by the `git` program, served over loopback HTTP.

mod mirror;
mod serve;
mod server;
