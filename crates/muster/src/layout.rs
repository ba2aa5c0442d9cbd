//! Where a fleet's directory keeps what.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

const FLEET_LOCK: &str = "fleet.lock";
/// What is there before the fleet is: the turn, and the description while it is written.
const BEFORE_FLEET: [&str; 2] = [FLEET_LOCK, "fleet.new"];

/// The directory that `muster up` makes.
#[derive(Clone, Debug)]
pub struct Layout {
    pub dir: PathBuf,
}

/// What a fleet was started with; kept so that `muster up` on an existing directory resumes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// The hub's API; Git is served on the next port, the console on the one after, the stores' APIs from ten above.
    pub port: u16,
    pub stores: u32,
    /// What it runs: one of the examples.
    #[serde(default = "first")]
    pub example: String,
}

/// Fleets made before there was another.
fn first() -> String {
    "first".into()
}

/// How far above the hub's port the stores' begin.
pub const FIRST_STORE: u16 = 10;

impl Fleet {
    pub fn git_port(&self) -> u16 {
        self.port.saturating_add(1)
    }

    pub fn console_port(&self) -> u16 {
        self.port.saturating_add(2)
    }

    pub fn first_store_port(&self) -> u16 {
        self.port.saturating_add(FIRST_STORE)
    }

    /// One below the first for a fleet without clusters.
    pub fn last_store_port(&self) -> u16 {
        let clusters = u16::try_from(self.clusters()).unwrap_or(u16::MAX);
        (self.first_store_port() - 1).saturating_add(clusters)
    }

    /// How many clusters there are: the stores, and what the example has beside them.
    pub fn clusters(&self) -> u32 {
        let beside = sim::Example::named(&self.example).and_then(sim::Example::generator).map_or(0, |g| g.clusters_beside());
        self.stores.saturating_add(beside)
    }

    /// Where the repositories are served.
    pub fn git_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.git_port())
    }
}

/// The processes of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Git,
    Hub,
    Sim,
    Console,
}

impl Part {
    pub const ALL: [Self; 4] = [Self::Git, Self::Hub, Self::Sim, Self::Console];

    pub fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Hub => "hub",
            Self::Sim => "sim",
            Self::Console => "console",
        }
    }

    /// As people call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Git => "Git",
            Self::Hub => "the hub",
            Self::Sim => "the stores",
            Self::Console => "the console",
        }
    }
}

impl Layout {
    pub fn new(dir: &Path) -> Self {
        Self { dir: std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()) }
    }

    /// Kubeconfig of the hub's administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// Kubeconfig with which clusters ask to join.
    pub fn bootstrap(&self) -> PathBuf {
        self.dir.join("bootstrap.kubeconfig")
    }

    pub fn pid(&self, part: Part) -> PathBuf {
        self.dir.join(format!("{}.pid", part.name()))
    }

    /// Held by the process of a part for as long as it lives.
    pub fn lock(&self, part: Part) -> PathBuf {
        self.dir.join(format!("{}.lock", part.name()))
    }

    /// Held by a command that starts or ends processes.
    pub fn fleet_lock(&self) -> PathBuf {
        self.dir.join(FLEET_LOCK)
    }

    pub fn log(&self, part: Part) -> PathBuf {
        self.dir.join("logs").join(format!("{}.log", part.name()))
    }

    /// Objects, records and keys of the hub.
    pub fn hub(&self) -> PathBuf {
        self.dir.join("hub")
    }

    pub fn mirrors(&self) -> PathBuf {
        self.dir.join("hub").join("git")
    }

    /// Bare repositories that are served.
    pub fn repos(&self) -> PathBuf {
        self.dir.join("repos")
    }

    /// One directory a simulated store.
    pub fn stores(&self) -> PathBuf {
        self.dir.join("stores")
    }

    /// Where the stores take orders.
    pub fn orders(&self) -> PathBuf {
        self.dir.join("sim.sock")
    }

    fn fleet_file(&self) -> PathBuf {
        self.dir.join("fleet.json")
    }

    /// Returns what the fleet was started with, if it was.
    pub fn fleet(&self) -> anyhow::Result<Option<Fleet>> {
        let path = self.fleet_file();
        match std::fs::read(&path) {
            Ok(bytes) => {
                let damaged = || {
                    format!(
                        "{} is damaged: write it anew as {{\"port\": 7443, \"stores\": 5}}, or remove the fleet with `muster down --dir {}`",
                        path.display(),
                        self.dir.display()
                    )
                };
                Ok(Some(serde_json::from_slice(&bytes).with_context(damaged)?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// Returns what the fleet was started with, or says how to start one.
    pub fn existing(&self) -> anyhow::Result<Fleet> {
        self.fleet()?.with_context(|| {
            format!("there is no fleet in {}; start one with `muster up --dir {}`", self.dir.display(), self.dir.display())
        })
    }

    /// Whether a fleet is or was here, readable or not.
    pub fn is_used(&self) -> bool {
        self.fleet_file().exists()
    }

    /// Makes the directory; refuses one with something else in it, since `muster down` removes all of it.
    pub fn claim(&self) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.dir).with_context(|| format!("failed to make {}", self.dir.display()))?;
        let entries = std::fs::read_dir(&self.dir).with_context(|| format!("failed to read {}", self.dir.display()))?;
        let foreign =
            entries.filter_map(Result::ok).map(|entry| entry.file_name()).find(|name| !BEFORE_FLEET.iter().any(|ours| name == ours));
        match foreign {
            Some(name) if !self.is_used() => {
                bail!(
                    "--dir: {} holds no fleet but other things, such as {}: name a directory that is new or empty",
                    self.dir.display(),
                    name.display()
                )
            }
            _ => Ok(()),
        }
    }

    /// Remembers the fleet and makes the directories of its parts.
    pub fn create(&self, fleet: &Fleet) -> anyhow::Result<()> {
        self.claim()?;
        write_whole(&self.fleet_file(), &serde_json::to_vec_pretty(fleet)?, 0o644)?;
        for dir in [self.dir.join("logs"), self.hub(), self.repos(), self.stores()] {
            std::fs::create_dir_all(&dir).with_context(|| format!("failed to make {}", dir.display()))?;
        }
        Ok(())
    }
}

/// Replaces a file as a whole.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let next = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&next)?;
        // One that was left behind has the mode it was made with.
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&next, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}
