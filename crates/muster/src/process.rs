//! The processes of a fleet: started in the background, known by a lock they hold, ended by a signal.
//!
//! A part gets its locked file `<part>.lock` as standard input, and nobody else keeps it open: the system gives the lock
//! back when the process ends, however it ends. The pid file beside it says who it is, and is believed only while the
//! lock is held, since pids are used again. `fleet.lock` lets one command at a time start or end processes.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::layout::{Layout, Part};

/// How long a process may take to end by itself before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Each simulated store writes down what it has before it ends.
const STOP_FOR_EACH_STORE: Duration = Duration::from_millis(10);
/// How long another command may take to start or end the fleet.
const TURN_TIMEOUT: Duration = Duration::from_secs(120);
/// How long whoever only looks whether a part runs may be in the way of its start.
const LOOKER_TIMEOUT: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Where the allocator reads its options. What thousands of simulated clusters keep lies scattered over gigabytes: with huge pages
/// they take a tenth less processor time, and a twentieth more memory.
const ALLOCATOR_OPTIONS: &str = "_RJEM_MALLOC_CONF";
/// A log that is longer at a start is put aside; one such is kept.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// The right to start and end the processes of a fleet; ends when dropped.
pub struct Turn(#[expect(dead_code, reason = "holds the lock for as long as it is open")] File);

/// Waits until no other command starts or ends processes of this fleet.
pub fn turn(layout: &Layout) -> anyhow::Result<Turn> {
    let path = layout.fleet_lock();
    let begun = Instant::now();
    let mut has_said = false;
    loop {
        let file = open(&path)?;
        if let Some(turn) = take_turn(file, &path)? {
            return Ok(turn);
        }
        if begun.elapsed() > TURN_TIMEOUT {
            bail!(
                "another muster command has been starting or ending the fleet in {} for {} s",
                layout.dir.display(),
                TURN_TIMEOUT.as_secs()
            );
        }
        if !has_said && begun.elapsed() > LOOKER_TIMEOUT {
            eprintln!("waiting for another muster command that starts or ends the fleet in {}", layout.dir.display());
            has_said = true;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Takes the turn if nobody else has it and the fleet is still there.
pub fn try_turn(layout: &Layout) -> anyhow::Result<Option<Turn>> {
    let path = layout.fleet_lock();
    // Not made anew: that would be in the way of whoever removes the directory.
    match File::options().read(true).write(true).open(&path) {
        Ok(file) => take_turn(file, &path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("failed to open {}", path.display())),
    }
}

fn take_turn(file: File, path: &Path) -> anyhow::Result<Option<Turn>> {
    // Whoever ended the fleet meanwhile took the file with it: a lock on a file without a name excludes nobody.
    Ok((try_lock(&file, path)? && is_named(&file, path)).then_some(Turn(file)))
}

/// Starts a part of the fleet, unless it runs already; returns whether it was started.
pub fn start(_turn: &Turn, layout: &Layout, part: Part, log: &str) -> anyhow::Result<bool> {
    let Some(lock) = hold(&layout.lock(part))? else { return Ok(false) };
    // What an earlier process left says nothing about this one.
    let _ = std::fs::remove_file(layout.pid(part));
    let program = std::env::current_exe().context("failed to find this program's own file")?;
    let path = layout.log(part);
    if std::fs::metadata(&path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        let _ = std::fs::rename(&path, path.with_extension("log.old"));
    }
    let output = File::options().create(true).append(true).open(&path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut command = Command::new(program);
    if part == Part::Sim && std::env::var_os(ALLOCATOR_OPTIONS).is_none() {
        command.env(ALLOCATOR_OPTIONS, "thp:always");
    }
    let mut child = command
        .args(["--log", log, "part", part.name(), "--dir"])
        .arg(&layout.dir)
        .stdin(Stdio::from(lock))
        .stdout(output.try_clone()?)
        .stderr(output)
        // A group of its own, so that Ctrl-C reaches the starter alone, which ends the parts in order.
        .process_group(0)
        .spawn()
        .with_context(|| format!("failed to start the {} process", part.name()))?;
    if let Err(error) = crate::layout::write_whole(&layout.pid(part), child.id().to_string().as_bytes(), 0o644) {
        // Nobody would find it again.
        child.kill().and_then(|()| child.wait()).with_context(|| format!("failed to end the {} process", part.name()))?;
        return Err(error);
    }
    // The child outlives a detached starter on purpose; a waiting one reaps it here.
    std::thread::spawn(move || child.wait());
    Ok(true)
}

/// Whether a part of the fleet runs.
pub fn is_running(layout: &Layout, part: Part) -> bool {
    let Ok(file) = File::open(layout.lock(part)) else { return false };
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// Ends a part: SIGTERM, then SIGKILL. Returns whether it ran.
pub fn stop(_turn: &Turn, layout: &Layout, part: Part) -> anyhow::Result<bool> {
    let was_running = is_running(layout, part);
    if was_running {
        let pid = pid(layout, part)?;
        signal(pid, rustix::process::Signal::TERM)?;
        let patience = stop_timeout(layout, part);
        if !is_over_within(layout, part, patience) {
            eprintln!("the {} process did not end within {} s and is killed", part.name(), patience.as_secs());
            signal(pid, rustix::process::Signal::KILL)?;
            if !is_over_within(layout, part, STOP_TIMEOUT) {
                bail!("the {} process {} cannot be killed", part.name(), pid.as_raw_nonzero());
            }
        }
    }
    let _ = std::fs::remove_file(layout.pid(part));
    Ok(was_running)
}

fn stop_timeout(layout: &Layout, part: Part) -> Duration {
    let stores = if part == Part::Sim { layout.fleet().ok().flatten().map_or(0, |fleet| fleet.stores) } else { 0 };
    STOP_TIMEOUT + STOP_FOR_EACH_STORE * stores
}

fn is_over_within(layout: &Layout, part: Part, patience: Duration) -> bool {
    let begun = Instant::now();
    while is_running(layout, part) {
        if begun.elapsed() > patience {
            return false;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    true
}

/// Returns the pid of a part that runs.
fn pid(layout: &Layout, part: Part) -> anyhow::Result<rustix::process::Pid> {
    let path = layout.pid(part);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("the {} process runs, and {} cannot be read", part.name(), path.display()))?;
    let number = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    number.with_context(|| format!("the {} process runs, and {} holds no pid: end it by hand", part.name(), path.display()))
}

fn signal(pid: rustix::process::Pid, signal: rustix::process::Signal) -> anyhow::Result<()> {
    match rustix::process::kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => bail!("failed to send {signal:?} to process {}: {error}", pid.as_raw_nonzero()),
    }
}

/// Locks a part's file; returns none if a process of the part holds it.
fn hold(path: &Path) -> anyhow::Result<Option<File>> {
    let file = open(path)?;
    let begun = Instant::now();
    while !try_lock(&file, path)? {
        if begun.elapsed() > LOOKER_TIMEOUT {
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(Some(file))
}

fn open(path: &Path) -> anyhow::Result<File> {
    let opened = File::options().create(true).truncate(false).read(true).write(true).open(path);
    opened.with_context(|| format!("failed to open {}", path.display()))
}

fn try_lock(file: &File, path: &Path) -> anyhow::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("failed to lock {}", path.display())),
    }
}

fn is_named(file: &File, path: &Path) -> bool {
    let number = |metadata: std::io::Result<std::fs::Metadata>| metadata.ok().map(|m| (m.dev(), m.ino()));
    number(file.metadata()) == number(std::fs::metadata(path))
}

/// Returns the last lines of a part's log, for a complaint that says why.
pub fn last_words(layout: &Layout, part: Part) -> String {
    let text = std::fs::read(layout.log(part)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(16 << 10)..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Fleet;

    fn fleet_dir() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(&dir.path().join("fleet"));
        layout.create(&Fleet { port: 7443, stores: 1, example: "first".into() }).expect("made");
        (dir, layout)
    }

    #[test]
    fn a_pid_file_whose_process_is_gone_means_nothing() {
        let (_dir, layout) = fleet_dir();
        // This test's own pid: somebody has it, and it is no hub.
        std::fs::write(layout.pid(Part::Hub), std::process::id().to_string()).expect("written");
        assert!(!is_running(&layout, Part::Hub));
        let turn = turn(&layout).expect("a turn");
        assert!(!stop(&turn, &layout, Part::Hub).expect("stopped"));
        assert!(!layout.pid(Part::Hub).exists());
    }

    #[test]
    fn thousands_of_stores_have_the_time_to_write_down_what_they_have() {
        let dir = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(&dir.path().join("fleet"));
        layout.create(&Fleet { port: 7443, stores: 3000, example: "retail".into() }).expect("made");
        assert_eq!([Part::Hub, Part::Sim].map(|part| stop_timeout(&layout, part).as_secs()), [10, 40]);
    }

    #[test]
    fn a_part_runs_as_long_as_its_lock_is_held() {
        let (_dir, layout) = fleet_dir();
        let held = hold(&layout.lock(Part::Git)).expect("opened").expect("free");
        assert!(is_running(&layout, Part::Git));
        assert!(hold(&layout.lock(Part::Git)).expect("opened").is_none());
        drop(held);
        assert!(!is_running(&layout, Part::Git));
    }

    #[test]
    fn a_turn_is_one_command_s_at_a_time_and_ends_with_its_directory() {
        let (_dir, layout) = fleet_dir();
        let first = turn(&layout).expect("a turn");
        let next = layout.clone();
        let second = std::thread::spawn(move || turn(&next).map(|_| next.fleet_lock().exists()));
        std::fs::remove_file(layout.fleet_lock()).expect("removed");
        drop(first);
        assert!(second.join().expect("no panic").expect("a turn"), "the lock it holds has a name");
    }
}
