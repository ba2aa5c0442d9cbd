//! Where a fleet's directory keeps what.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The directory that `muster up` makes.
#[derive(Clone, Debug)]
pub struct Layout {
    pub dir: PathBuf,
}

/// What a fleet was started with; kept so that `muster up` on an existing directory resumes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    /// The hub's API; Git is served on the next port, the stores' APIs on those after.
    pub port: u16,
    pub stores: u32,
}

/// The processes of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Git,
    Hub,
    Sim,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Git, Self::Hub, Self::Sim];

    pub fn name(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Hub => "hub",
            Self::Sim => "sim",
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

    fn fleet_file(&self) -> PathBuf {
        self.dir.join("fleet.json")
    }

    /// Returns what the fleet was started with, if it was.
    pub fn fleet(&self) -> anyhow::Result<Option<Fleet>> {
        let path = self.fleet_file();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// Returns what the fleet was started with, or says how to start one.
    pub fn existing(&self) -> anyhow::Result<Fleet> {
        self.fleet()?.with_context(|| format!("there is no fleet in {}; start one with `muster up --dir {}`", self.dir.display(), self.dir.display()))
    }

    /// Makes the directory and remembers the fleet.
    pub fn create(&self, fleet: &Fleet) -> anyhow::Result<()> {
        for dir in [self.dir.clone(), self.dir.join("logs"), self.hub(), self.repos(), self.stores()] {
            std::fs::create_dir_all(&dir).with_context(|| format!("failed to make {}", dir.display()))?;
        }
        write_whole(&self.fleet_file(), &serde_json::to_vec_pretty(fleet)?, 0o644)
    }
}

/// Replaces a file as a whole.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> anyhow::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let next = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&next)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&next, path)
    };
    write().with_context(|| format!("failed to write {}", path.display()))
}
