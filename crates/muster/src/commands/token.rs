//! `muster token`: credentials.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};

use super::status::duration;
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
    /// Make a token with which clusters may ask to join, and print it.
    Join {
        #[command(flatten)]
        target: Target,
        /// How long it is valid, as 24h.
        #[arg(long, default_value = "24h", value_parser = duration)]
        ttl: Duration,
    },
}

impl Token {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let token = match self.which {
            Which::Admin { target } => {
                let layout = target.layout();
                layout.existing()?;
                let path = layout.hub().join("admin-token");
                std::fs::read_to_string(&path).with_context(|| format!("failed to read {}: was the hub started?", path.display()))?
            }
            Which::Join { target, ttl } => {
                let client = target.connect()?.client();
                let made = hub::bootstrap_token(&client, Timestamp::now(), SignedDuration::try_from(ttl)?).await;
                made.map_err(|error| anyhow::anyhow!("{}", error.full()))?
            }
        };
        say!("{}", token.trim());
        Ok(ExitCode::SUCCESS)
    }
}
