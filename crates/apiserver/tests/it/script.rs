//! Scripts of commands run against a control plane: what people type, and what they must read.
//!
//! A script is YAML: a list of steps, run in order. `{ns}` stands for the script's own namespace,
//! `{dir}` for its directory (where `nobody` is a kubeconfig without credentials), `{version}` for the
//! tool's minor version, `{user}` for who runs it, `{csr}` for a signing request. What not every
//! control plane has, or leaves alone, a step says with `needs`.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use serde::Deserialize;
use serde_json::Value;
use testkit::control_plane::ControlPlane;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// How long one command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Arguments as a shell would split them.
    run: Option<String>,
    /// Starts a command that goes on; `seen` reads what it writes.
    start: Option<String>,
    /// Waits until the started command has written this.
    seen: Option<String>,
    /// Waits until the started command ends well.
    #[serde(default)]
    ended: bool,
    /// Repeats `run` until it says what it should.
    #[serde(default)]
    until: bool,
    /// What the command reads: text, or a value that is sent as JSON.
    stdin: Option<Value>,
    /// A file to write first: name in `{dir}` and text.
    file: Option<(String, String)>,
    #[serde(default)]
    env: Vec<(String, String)>,
    /// The exit code.
    #[serde(default)]
    code: i32,
    /// Texts in what it writes, errors included.
    #[serde(default)]
    says: Vec<String>,
    #[serde(default)]
    never: Vec<String>,
    /// The oldest and newest minor version of the tool that has this step.
    since: Option<u32>,
    before: Option<u32>,
    /// The step is left out on a control plane without this.
    needs: Option<Need>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Need {
    /// Somebody removes namespaces and orphans, makes service accounts and signs certificates.
    Controllers,
    /// Nobody acts on Deployments and Pods, so that their status is what the script makes it.
    Idle,
    /// The administrator is in `system:masters`.
    Masters,
}

/// A tool to run scripts with.
#[derive(Clone, Debug)]
pub struct Tool {
    pub path: PathBuf,
    /// The minor version, as 31 of v1.31.
    pub minor: u32,
}

/// Where scripts run: a control plane, and a directory with its kubeconfig.
pub struct Plane {
    directory: tempfile::TempDir,
    user: String,
    is_idle: bool,
    control: ControlPlane,
}

impl Plane {
    pub async fn new() -> Self {
        let control = ControlPlane::start().await;
        let directory = tempfile::tempdir().expect("a directory");
        write_private(&directory.path().join("kubeconfig"), &control.kubeconfig_text());
        write_private(&directory.path().join("nobody"), &control.kubeconfig_of_nobody());
        Self { directory, user: control.user().await, is_idle: !control.runs_workloads().await, control }
    }

    fn has(&self, need: Need) -> bool {
        match need {
            Need::Controllers => self.control.has_controllers(),
            Need::Idle => self.is_idle,
            Need::Masters => !self.control.is_given(),
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn command(&self, tool: &Tool, arguments: &str, env: &[(String, String)]) -> Command {
        let mut command = Command::new(&tool.path);
        command.args(split(arguments)).current_dir(self.path()).kill_on_drop(true);
        // Nothing of the caller's reaches the tool: neither its clusters nor its plugins and caches.
        command.env_clear().env("HOME", self.path()).env("KUBECONFIG", self.path().join("kubeconfig")).env("TZ", "UTC");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).envs(env.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn output(&self, tool: &Tool, arguments: &str, stdin: &str, env: &[(String, String)]) -> Output {
        let mut child = self.command(tool, arguments, env).spawn().unwrap_or_else(|e| panic!("{} cannot be run: {e}", tool.path.display()));
        let mut input = child.stdin.take().expect("a pipe");
        // A command that reads nothing may have ended already.
        let _ = input.write_all(stdin.as_bytes()).await;
        drop(input);
        let outcome = tokio::time::timeout(COMMAND_TIMEOUT, child.wait_with_output()).await;
        outcome.unwrap_or_else(|_| panic!("{arguments:?} took longer than {COMMAND_TIMEOUT:?}")).expect("an outcome")
    }

    /// Runs every step of a script; panics with all steps that went wrong.
    pub async fn run(&self, tool: &Tool, name: &str, script: &str) {
        let namespace = format!("{name}-{}", tool.minor);
        let directory = self.path().display().to_string();
        let replaced = script.replace("{ns}", &namespace).replace("{dir}", &directory).replace("{version}", &tool.minor.to_string());
        let replaced = replaced.replace("{user}", &self.user).replace("{csr}", &signing_request());
        let value = apimachinery::yaml::from_str(&replaced, apimachinery::yaml::DuplicateKeys::Refuse).expect("a script is YAML");
        let steps: Vec<Step> = serde_json::from_value(value).expect("a script is a list of steps");
        let mut failures = Vec::new();
        let mut started: Option<Started> = None;
        let is_meant = |step: &&Step| {
            let is_version = step.since.is_none_or(|v| tool.minor >= v) && step.before.is_none_or(|v| tool.minor < v);
            is_version && step.needs.is_none_or(|need| self.has(need))
        };
        for step in steps.iter().filter(is_meant) {
            if let Some((file, text)) = &step.file {
                std::fs::write(self.path().join(file), text).expect("a file");
            }
            if let Some(arguments) = &step.start {
                started = Some(Started::new(self.command(tool, arguments, &step.env)));
            }
            if let Some(text) = &step.seen
                && let Err(failure) = started.as_ref().expect("`seen` needs a started command").wait(text).await
            {
                failures.push(failure);
            }
            if step.ended
                && let Err(failure) = started.as_mut().expect("`ended` needs a started command").end().await
            {
                failures.push(failure);
            }
            if let Some(arguments) = &step.run
                && let Err(failure) = self.run_step(tool, arguments, step).await
            {
                failures.push(failure);
            }
        }
        assert!(failures.is_empty(), "{} of 1.{} in {name}:\n{}", tool.path.display(), tool.minor, failures.join("\n"));
    }

    async fn run_step(&self, tool: &Tool, arguments: &str, step: &Step) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + COMMAND_TIMEOUT;
        let stdin = match &step.stdin {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        loop {
            let output = self.output(tool, arguments, &stdin, &step.env).await;
            let outcome = check(arguments, step, &output);
            if outcome.is_ok() || !step.until || tokio::time::Instant::now() > deadline {
                return outcome;
            }
        }
    }
}

fn check(arguments: &str, step: &Step, output: &Output) -> Result<(), String> {
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let code = output.status.code().unwrap_or(-1);
    let mut wrong = Vec::new();
    if code != step.code {
        wrong.push(format!("exit code {code}, not {}", step.code));
    }
    wrong.extend(step.says.iter().filter(|want| !squeeze(&text).contains(&squeeze(want))).map(|want| format!("does not say {want:?}")));
    wrong.extend(step.never.iter().filter(|not| squeeze(&text).contains(&squeeze(not))).map(|not| format!("says {not:?}")));
    if wrong.is_empty() {
        return Ok(());
    }
    let shown: String = text.chars().take(700).collect();
    Err(format!("  {arguments}\n    {}\n    | {}", wrong.join("; "), shown.trim_end().replace('\n', "\n    | ")))
}

/// Columns are as wide as their longest value: spaces in a row count as one.
fn squeeze(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n")
        .collect::<String>()
        .trim_end()
        .to_owned()
}

/// A command that goes on.
struct Started {
    child: Child,
    text: Arc<Mutex<String>>,
}

impl Started {
    fn new(mut command: Command) -> Self {
        let mut child = command.spawn().expect("a command");
        let mut out = child.stdout.take().expect("a pipe");
        let text = Arc::new(Mutex::new(String::new()));
        let written = text.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut buffer).await {
                written.lock().expect("nobody panics here").push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        });
        Self { child, text }
    }

    async fn end(&mut self) -> Result<(), String> {
        match tokio::time::timeout(COMMAND_TIMEOUT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            other => Err(format!("  the started command did not end well: {other:?}")),
        }
    }

    async fn wait(&self, want: &str) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + COMMAND_TIMEOUT;
        loop {
            let text = self.text.lock().expect("nobody panics here").clone();
            if squeeze(&text).contains(&squeeze(want)) {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(format!("  the started command never wrote {want:?} but\n    | {text}"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Returns a new request for a certificate of `jane` in `devs`, as objects carry it.
fn signing_request() -> String {
    let pem = pki::Key::generate().and_then(|key| key.csr("jane", &["devs"])).expect("a request");
    base64::engine::general_purpose::STANDARD.encode(pem)
}

/// Splits as a shell does: by spaces, outside of quotes.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (c, Some(q)) if c == q => quote = None,
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Helm warns of a kubeconfig that others can read.
fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("permissions");
}
