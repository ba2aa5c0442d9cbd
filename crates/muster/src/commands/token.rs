//! `muster token`: credentials.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::client::Target;

#[derive(Args)]
pub struct Token {
    #[command(subcommand)]
    which: Which,
}

#[derive(Subcommand)]
enum Which {
    /// Print the bearer token of the hub's administrator.
    Admin {
        #[command(flatten)]
        target: Target,
    },
}

impl Token {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let Which::Admin { target } = self.which;
        let layout = target.layout();
        layout.existing()?;
        let path = layout.hub().join("admin-token");
        let token = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}: was the hub started?", path.display()))?;
        println!("{}", token.trim());
        Ok(ExitCode::SUCCESS)
    }
}
