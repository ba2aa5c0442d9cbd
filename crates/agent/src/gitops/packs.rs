//! Packs the agent holds, so that it needs neither hub nor Git for what it runs: on disk, or in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use git::{CommitId, PackCache};
use parking_lot::Mutex;

/// In memory there is room for what runs and little more.
const MEMORY_BYTES_MAX: usize = 4 << 20;

type Place = (String, CommitId, String);

/// Held packs; cheap to clone.
#[derive(Clone)]
pub(super) enum Packs {
    Disk(PackCache),
    Memory(Arc<Mutex<VecDeque<(Place, Bytes)>>>),
}

impl Packs {
    pub async fn get(&self, repo: &str, commit: &CommitId, path: &str) -> Option<Bytes> {
        match self {
            Self::Disk(cache) => {
                let (cache, repo, commit, path) = (cache.clone(), repo.to_owned(), commit.clone(), path.to_owned());
                tokio::task::spawn_blocking(move || cache.get(&repo, &commit, &path)).await.ok().flatten()
            }
            Self::Memory(packs) => {
                let packs = packs.lock();
                packs.iter().find(|((r, c, p), _)| r == repo && c == commit && p == path).map(|(_, bytes)| bytes.clone())
            }
        }
    }

    pub async fn put(&self, repo: &str, commit: &CommitId, path: &str, bytes: Bytes) {
        match self {
            Self::Disk(cache) => {
                let (cache, repo, commit, path) = (cache.clone(), repo.to_owned(), commit.clone(), path.to_owned());
                let kept = tokio::task::spawn_blocking(move || cache.put(&repo, &commit, &path, &bytes)).await;
                if let Ok(Err(error)) = kept {
                    tracing::warn!(%error, "pack not kept on disk: without hub and Git it is lost at the next start; free some space");
                }
            }
            Self::Memory(packs) => {
                let mut packs = packs.lock();
                packs.push_back(((repo.to_owned(), commit.clone(), path.to_owned()), bytes));
                while packs.len() > 1 && packs.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > MEMORY_BYTES_MAX {
                    packs.pop_front();
                }
            }
        }
    }
}
