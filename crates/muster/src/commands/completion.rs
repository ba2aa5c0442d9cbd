//! `muster completion`: what a shell needs to complete command lines.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

#[derive(Args)]
pub struct Completion {
    /// `source <(muster completion bash)` takes it into a running shell.
    shell: Shell,
}

impl Completion {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut command = super::Arguments::command();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "muster", &mut script);
        say!("{}", String::from_utf8(script)?.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}
