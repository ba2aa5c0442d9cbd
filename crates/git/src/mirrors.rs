//! The mirrors of all repositories somebody asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::{Error, Limits, Logins, Mirror, PackCache, References, has_password, normal_url, without_password};

/// What mirrors share.
#[derive(Clone)]
pub struct Options {
    /// Mirrors and packs live below; everything there can be made again.
    pub dir: PathBuf,
    pub logins: Logins,
    pub limits: Limits,
    /// What packs hold beside the files below their path.
    pub references: References,
    /// Repositories mirrored at once.
    pub repositories_max: usize,
    /// Bytes of packs kept on disk.
    pub packs_bytes_max: u64,
    /// Threads that may work on repositories at once.
    pub concurrency: usize,
    /// Whether `file://` is allowed: whoever can write an Application could otherwise read local repositories.
    pub is_file_allowed: bool,
}

impl Options {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            logins: Arc::new(|_| None),
            limits: Limits::default(),
            references: Arc::new(|_, _, _| BTreeSet::new()),
            repositories_max: 256,
            packs_bytes_max: 1 << 30,
            concurrency: 8,
            is_file_allowed: false,
        }
    }
}

/// Mirrors by repository, made on demand; cheap to clone.
#[derive(Clone)]
pub struct Mirrors(Arc<Inner>);

struct Inner {
    options: Options,
    cache: PackCache,
    permits: Arc<Semaphore>,
    mirrors: Mutex<BTreeMap<String, Mirror>>,
}

impl Mirrors {
    pub fn new(options: Options) -> Self {
        let cache = PackCache::new(options.dir.join("packs"), options.packs_bytes_max);
        let permits = Arc::new(Semaphore::new(options.concurrency.max(1)));
        Self(Arc::new(Inner { options, cache, permits, mirrors: Mutex::default() }))
    }

    /// Returns the mirror of a repository; spellings of one URL share it.
    pub fn get(&self, url: &str) -> Result<Mirror, Error> {
        let Inner { options, cache, permits, mirrors } = &*self.0;
        let is_known_scheme =
            ["https://", "http://"].iter().any(|s| url.starts_with(s)) || (options.is_file_allowed && url.starts_with("file://"));
        if !is_known_scheme {
            return Err(Error::Scheme { repo: without_password(url) });
        }
        if has_password(url) {
            return Err(Error::PasswordInUrl { repo: without_password(url) });
        }
        let key = normal_url(url);
        let mut mirrors = mirrors.lock();
        if let Some(mirror) = mirrors.get(&key) {
            return Ok(mirror.clone());
        }
        if mirrors.len() >= options.repositories_max {
            mirrors.retain(|_, mirror| mirror.is_wanted());
        }
        if mirrors.len() >= options.repositories_max {
            return Err(Error::TooMany { limit: options.repositories_max });
        }
        let dir = mirror_dir(&options.dir, &key);
        let mirror = Mirror::new(url.to_owned(), dir, options, cache.clone(), permits.clone());
        mirrors.insert(key, mirror.clone());
        Ok(mirror)
    }

    /// Returns the mirrors there are.
    pub fn list(&self) -> Vec<Mirror> {
        self.0.mirrors.lock().values().cloned().collect()
    }
}

fn mirror_dir(dir: &Path, key: &str) -> PathBuf {
    let hash: String = Sha256::digest(key.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    dir.join("mirrors").join(format!("{hash}.git"))
}
