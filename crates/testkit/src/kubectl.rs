//! The real kubectl: `$KUBECTL`, or the one in PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A kubectl that talks to one cluster.
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

/// What a run of it gave.
#[derive(Debug)]
pub struct Output {
    pub is_success: bool,
    pub stdout: String,
    pub stderr: String,
}

impl Kubectl {
    /// Returns none, and says so, where there is no kubectl.
    pub fn find(kubeconfig: &Path) -> Option<Self> {
        let program = PathBuf::from(std::env::var("KUBECTL").unwrap_or_else(|_| "kubectl".into()));
        if Command::new(&program).args(["version", "--client"]).output().is_err() {
            println!("skipped: kubectl not present");
            return None;
        }
        Some(Self { program, kubeconfig: kubeconfig.to_owned() })
    }

    /// Runs it with arguments separated by spaces; on a thread of its own, so that servers of this process go on.
    pub async fn try_run(&self, arguments: &str) -> Output {
        let mut command = Command::new(&self.program);
        // A cache of its own beside the kubeconfig, so that tests do not see each other.
        let home = self.kubeconfig.parent().unwrap_or(Path::new(".")).to_owned();
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", home).args(arguments.split_whitespace());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("kubectl runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output { is_success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// Runs it; panics if it fails. Returns what it printed.
    pub async fn run(&self, arguments: &str) -> String {
        let output = self.try_run(arguments).await;
        assert!(output.is_success, "kubectl {arguments}: {}", output.stderr);
        output.stdout
    }
}
