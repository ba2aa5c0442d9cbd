//! ManifestWorks on disk: what a restart without the hub goes on holding.
//!
//! One file a work, in `works/<hash of the hub>/`; readable by us alone, since works may hold Secrets. A work is kept
//! before it is applied, so the disk never has an older one than the cluster; one that cannot be kept is not kept at
//! all. Kept is what the hub wanted, not what it was told: no status. The hub that comes back is listed anew, and what
//! it has no more is removed here by [`Shelf::retain`], and on the cluster by the usual ways.
//!
//! What another hub or another cluster wrote (a new bootstrap kubeconfig, a cloned disk) is never read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::work::Settings;
use api::conditions;
use api::work::{ManifestWork, ManifestWorkSpec, condition, finalizer};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::state::{StateDir, write_atomically};

/// The directory in the agent's own.
const DIRECTORY: &str = "works";
/// All works together; a hub refuses a work of more than half a megabyte or so.
const BYTES_MAX: u64 = 64 << 20;
const EXTENSION: &str = "json";

/// A work as it lies on disk.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<S> {
    cluster_uid: String,
    metadata: ObjectMeta,
    spec: S,
}

/// What is known of a file: enough to see that nothing changed.
#[derive(Default)]
struct Known {
    bytes: u64,
    /// Of the metadata, generation and UID included; none until the file was compared or written.
    mark: Option<[u8; 32]>,
}

/// Where the works of one hub are kept; cheap to clone.
#[derive(Clone)]
pub struct Shelf(Option<Arc<Inner>>);

struct Inner {
    /// Of all hubs.
    root: PathBuf,
    /// Of this hub.
    dir: PathBuf,
    cluster_uid: String,
    bytes_max: u64,
    files: Mutex<HashMap<String, Known>>,
}

impl Shelf {
    /// Opens the shelf of a hub; without a directory of the agent's own nothing is kept.
    pub async fn open(state_dir: &StateDir, settings: &Settings) -> Self {
        let Some(root) = state_dir.file(DIRECTORY) else { return Self(None) };
        Self::open_bounded(root, settings, BYTES_MAX).await
    }

    async fn open_bounded(root: PathBuf, settings: &Settings, bytes_max: u64) -> Self {
        let (dir, cluster_uid) = (root.join(&settings.hub_hash), settings.agent_id.clone());
        let opened = tokio::task::spawn_blocking(move || {
            let files = Mutex::new(scan(&dir));
            Inner { root, dir, cluster_uid, bytes_max, files }
        });
        Self(opened.await.ok().map(Arc::new))
    }

    /// Keeps a work as it is now, unless it is kept already or holds nothing here.
    pub async fn keep(&self, work: &Arc<ManifestWork>) {
        let name = work.name_any();
        // Before the finalizer nothing is applied, and a complete work is never applied again.
        let is_held = work.finalizers().iter().any(|f| f == finalizer::MANIFEST_WORK);
        if !is_held || conditions::is_true(work.conditions(), condition::COMPLETE) {
            return self.forget(&name).await;
        }
        let work = work.clone();
        self.blocking(move |inner| inner.keep(&work)).await;
    }

    pub async fn forget(&self, name: &str) {
        let file = file_name(name);
        self.blocking(move |inner| inner.remove(&file)).await;
    }

    /// Removes what the hub no longer has, and what other hubs had.
    pub async fn retain(&self, names: impl IntoIterator<Item = String>) {
        let wanted: BTreeSet<String> = names.into_iter().map(|name| file_name(&name)).collect();
        self.blocking(move |inner| {
            let gone: Vec<String> = inner.files.lock().keys().filter(|file| !wanted.contains(*file)).cloned().collect();
            gone.iter().for_each(|file| inner.remove(file));
            for other in children(&inner.root).filter(|path| *path != inner.dir) {
                let removed = if other.is_dir() { std::fs::remove_dir_all(&other) } else { std::fs::remove_file(&other) };
                if let Err(error) = removed {
                    tracing::warn!(path = %other.display(), %error, "what another hub had could not be removed from disk");
                }
            }
        })
        .await;
    }

    /// Reads all works, by name; one that cannot be read does not stop the others.
    pub async fn read(&self) -> BTreeMap<String, Arc<ManifestWork>> {
        let (Some(inner), mut works) = (self.0.clone(), BTreeMap::new()) else { return BTreeMap::new() };
        let read = tokio::task::spawn_blocking(move || {
            let files: Vec<String> = inner.files.lock().keys().cloned().collect();
            for file in files {
                match inner.read(&file) {
                    Ok(Some(work)) => drop(works.insert(work.name_any(), Arc::new(work))),
                    Ok(None) => {}
                    Err(error) => tracing::warn!(file, %error, "a work that was kept on disk is unreadable and not held"),
                }
            }
            works
        });
        read.await.unwrap_or_default()
    }

    async fn blocking(&self, task: impl FnOnce(&Inner) + Send + 'static) {
        let Some(inner) = self.0.clone() else { return };
        if tokio::task::spawn_blocking(move || task(&inner)).await.is_err() {
            tracing::error!("keeping works panicked: a defect, please report it");
        }
    }
}

impl Inner {
    fn keep(&self, work: &ManifestWork) {
        let (name, file) = (work.name_any(), file_name(&work.name_any()));
        let metadata = ObjectMeta { managed_fields: None, resource_version: None, ..work.metadata.clone() };
        let mark = serde_json::to_vec(&metadata).map(|bytes| <[u8; 32]>::from(Sha256::digest(bytes))).ok();
        if mark.is_some() && self.files.lock().get(&file).is_some_and(|known| known.mark == mark) {
            return;
        }
        if let Err(error) = self.write(&file, File { cluster_uid: self.cluster_uid.clone(), metadata, spec: &work.spec }) {
            // An older one must not come back in its place.
            self.remove(&file);
            tracing::warn!(work = name, %error, "work not kept on disk: without the hub it is not held after the next start");
            return;
        }
        self.files.lock().entry(file).or_default().mark = mark;
    }

    fn write(&self, file: &str, content: File<&ManifestWorkSpec>) -> io::Result<()> {
        let content = serde_json::to_vec(&content)?;
        let path = self.dir.join(file);
        let others: u64 = self.files.lock().iter().filter(|(other, _)| *other != file).map(|(_, known)| known.bytes).sum();
        if others + content.len() as u64 > self.bytes_max {
            let text = format!("the works of this cluster exceed {} bytes: use fewer or smaller ones", self.bytes_max);
            return Err(io::Error::other(text));
        }
        let is_there = self.files.lock().contains_key(file) && std::fs::read(&path).is_ok_and(|found| found == content);
        if !is_there {
            StateDir::open(&self.root)?;
            StateDir::open(&self.dir)?;
            write_atomically(&path, &content)?;
        }
        self.files.lock().entry(file.to_owned()).or_default().bytes = content.len() as u64;
        Ok(())
    }

    fn remove(&self, file: &str) {
        if self.files.lock().remove(file).is_none() {
            return;
        }
        match std::fs::remove_file(self.dir.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file, %error, "a work could not be removed from disk");
            }
            _ => {}
        }
    }

    /// Returns the work of a file, unless another cluster wrote it.
    fn read(&self, file: &str) -> io::Result<Option<ManifestWork>> {
        let content: File<ManifestWorkSpec> = serde_json::from_slice(&std::fs::read(self.dir.join(file))?)?;
        if content.cluster_uid != self.cluster_uid {
            tracing::warn!(
                file,
                cluster_uid = content.cluster_uid,
                "a work on disk is another cluster's and not held: was the disk cloned?"
            );
            return Ok(None);
        }
        Ok(Some(ManifestWork { metadata: content.metadata, spec: content.spec, status: None }))
    }
}

/// Names of works are longer than file systems allow for what we add.
fn file_name(work: &str) -> String {
    let digest: String = Sha256::digest(work).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{digest}.{EXTENSION}")
}

/// Lists the files of a hub; what a crash left half-written is removed.
fn scan(dir: &Path) -> HashMap<String, Known> {
    let mut files = HashMap::new();
    for path in children(dir) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            let bytes = path.metadata().map_or(0, |metadata| metadata.len());
            files.insert(name.to_owned(), Known { bytes, mark: None });
        } else {
            // It is tried again at the next start.
            let _ = std::fs::remove_file(&path);
        }
    }
    files
}

fn children(dir: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(hub: &str, cluster: &str) -> Settings {
        Settings { agent_id: cluster.into(), hub_hash: hub.into(), is_strict: false }
    }

    fn work(name: &str, generation: i64) -> Arc<ManifestWork> {
        let work = json!({"metadata": {"name": name, "generation": generation, "resourceVersion": "7", "finalizers": [finalizer::MANIFEST_WORK]},
            "spec": {"workload": {"manifests": [{"kind": "Secret", "data": {"generation": generation}}]}},
            "status": {"conditions": []}});
        Arc::new(serde_json::from_value(work).unwrap())
    }

    async fn held(root: &Path, hub: &str, cluster: &str) -> Vec<String> {
        let works = Shelf::open_bounded(root.to_owned(), &settings(hub, cluster), BYTES_MAX).await.read().await;
        works.values().map(|work| format!("{}@{}", work.name_any(), work.metadata.generation.unwrap())).collect()
    }

    #[tokio::test]
    async fn works_are_kept_for_us_alone_and_read_by_the_same_cluster_of_the_same_hub() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(DIRECTORY);
        let shelf = Shelf::open_bounded(root.clone(), &settings("hub", "store"), BYTES_MAX).await;
        shelf.keep(&work("a", 1)).await;
        shelf.keep(&work("a", 2)).await;
        shelf.keep(&work(&"long".repeat(60), 1)).await;
        shelf.forget(&"long".repeat(60)).await;
        let mut unheld = (*work("b", 1)).clone();
        unheld.metadata.finalizers = None;
        shelf.keep(&Arc::new(unheld)).await;
        assert_eq!(held(&root, "hub", "store").await, ["a@2"]);
        assert_eq!(held(&root, "hub", "clone").await, [""; 0]);
        assert_eq!(held(&root, "other", "store").await, [""; 0]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&root), mode(&root.join("hub"))), (0o700, 0o700));
            assert_eq!(mode(&root.join("hub").join(file_name("a"))), 0o600);
        }
        // The hub that answers is another one: what the first had is not ours to hold.
        Shelf::open_bounded(root.clone(), &settings("other", "store"), BYTES_MAX).await.retain([]).await;
        assert_eq!(held(&root, "hub", "store").await, [""; 0]);
    }

    #[tokio::test]
    async fn what_the_hub_has_no_more_goes_and_an_unreadable_file_stops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(DIRECTORY);
        let shelf = Shelf::open_bounded(root.clone(), &settings("hub", "store"), BYTES_MAX).await;
        for name in ["a", "b", "c"] {
            shelf.keep(&work(name, 1)).await;
        }
        std::fs::write(root.join("hub").join(file_name("a")), "{\"cluster").unwrap();
        std::fs::write(root.join("hub").join("half.new"), "{").unwrap();
        assert_eq!(held(&root, "hub", "store").await, ["b@1", "c@1"]);
        let again = Shelf::open_bounded(root.clone(), &settings("hub", "store"), BYTES_MAX).await;
        // What is there already is compared, what is broken is replaced.
        again.keep(&work("a", 1)).await;
        again.retain(["a".to_owned(), "b".to_owned()]).await;
        assert_eq!(held(&root, "hub", "store").await, ["a@1", "b@1"]);
        assert_eq!(children(&root.join("hub")).count(), 2);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_not_kept_and_leaves_no_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join(DIRECTORY);
        let shelf = Shelf::open_bounded(root.clone(), &settings("hub", "store"), 700).await;
        shelf.keep(&work("a", 1)).await;
        shelf.keep(&work("b", 1)).await;
        assert_eq!(held(&root, "hub", "store").await, ["a@1", "b@1"]);
        let mut large = (*work("b", 2)).clone();
        large.spec.workload.manifests.push(api::work::Manifest(json!({"data": "x".repeat(700)})));
        shelf.keep(&Arc::new(large)).await;
        assert_eq!(held(&root, "hub", "store").await, ["a@1"]);
    }
}
