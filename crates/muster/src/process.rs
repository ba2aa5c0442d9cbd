//! The processes of a fleet: started in the background, known by a pid file, ended by a signal.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::layout::{Layout, Part};

/// How long a process may take to end by itself before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Starts a part of the fleet, unless it runs already; returns whether it was started.
pub fn start(layout: &Layout, part: Part, log: &str) -> anyhow::Result<bool> {
    if running(layout, part).is_some() {
        return Ok(false);
    }
    let program = std::env::current_exe().context("failed to find this program's own file")?;
    let path = layout.log(part);
    let output = File::options().create(true).append(true).open(&path).with_context(|| format!("failed to open {}", path.display()))?;
    let child = Command::new(program)
        .args(["--log", log, "part", part.name(), "--dir"])
        .arg(&layout.dir)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // A group of its own, so that Ctrl-C reaches the starter alone, which ends the parts in order.
        .process_group(0)
        .spawn()
        .with_context(|| format!("failed to start the {} process", part.name()))?;
    crate::layout::write_whole(&layout.pid(part), child.id().to_string().as_bytes(), 0o644)?;
    // The child outlives a detached starter on purpose; a waiting one reaps it here.
    std::thread::spawn(move || {
        let mut child = child;
        child.wait()
    });
    Ok(true)
}

/// Returns the pid of a part that runs.
pub fn running(layout: &Layout, part: Part) -> Option<i32> {
    let pid: i32 = std::fs::read_to_string(layout.pid(part)).ok()?.trim().parse().ok()?;
    is_ours(pid, &layout.dir).then_some(pid)
}

/// Whether a process is there and is one of this fleet's: pids are used again.
fn is_ours(pid: i32, dir: &Path) -> bool {
    let Ok(arguments) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let is_zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| s.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')));
    let dir = dir.as_os_str().as_encoded_bytes();
    !is_zombie && arguments.split(|b| *b == 0).any(|argument| argument == dir)
}

/// Ends a part: SIGTERM, then SIGKILL.
pub fn stop(layout: &Layout, part: Part) -> anyhow::Result<bool> {
    let Some(pid) = running(layout, part) else {
        let _ = std::fs::remove_file(layout.pid(part));
        return Ok(false);
    };
    signal(pid, "TERM")?;
    let asked = Instant::now();
    while running(layout, part).is_some() {
        if asked.elapsed() > STOP_TIMEOUT {
            eprintln!("the {} process did not end within {} s and is killed", part.name(), STOP_TIMEOUT.as_secs());
            signal(pid, "KILL")?;
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = std::fs::remove_file(layout.pid(part));
    Ok(true)
}

fn signal(pid: i32, name: &str) -> anyhow::Result<()> {
    let number = match name {
        "KILL" => rustix::process::Signal::KILL,
        _ => rustix::process::Signal::TERM,
    };
    let pid = rustix::process::Pid::from_raw(pid).context("the pid file holds no pid")?;
    match rustix::process::kill_process(pid, number) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => bail!("failed to send SIG{name} to process {}: {error}", pid.as_raw_nonzero()),
    }
}

/// Returns the last lines of a part's log, for a complaint that says why.
pub fn last_words(layout: &Layout, part: Part) -> String {
    let text = std::fs::read_to_string(layout.log(part)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}
