//! What a hub keeps in its directory.
//!
//! `store.db` (the API's objects), `records/` (reports), `pki/` (authority and token key), `admin-token`. A hub in
//! memory has the same, gone when it ends.

use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::StartError;

const CA_VALIDITY: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);
const TOKEN_ISSUER: &str = "https://kubernetes.default.svc";
const ADMIN_TOKEN_BYTES: usize = 32;

pub struct Kept {
    pub store: Arc<dyn store::Store>,
    pub records: Arc<dyn records::Records>,
    pub ca: Arc<pki::Authority>,
    pub tokens: Arc<pki::token::Signer>,
    pub admin_token: String,
    pub scratch: Option<Scratch>,
    /// Writes what is pending and gives the directory free; blocks.
    pub close: Box<dyn Fn() + Send + Sync>,
}

/// A directory that goes when nobody uses it any more.
pub struct Scratch(std::path::PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning of its temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Opens what is there and makes what is not.
pub async fn open(dir: Option<&Path>, now: Timestamp) -> Result<Kept, StartError> {
    let dir = dir.map(Path::to_owned);
    // Opening reads the whole store; nothing else should wait for it.
    let opened = tokio::task::spawn_blocking(move || match dir {
        Some(dir) => on_disk(&dir, now),
        None => in_memory(now),
    });
    opened.await.map_err(|error| StartError::Prepare(format!("opening the store failed: {error}")))?
}

fn on_disk(dir: &Path, now: Timestamp) -> Result<Kept, StartError> {
    let pki_dir = dir.join("pki");
    let records_dir = dir.join("records");
    for path in [dir, &pki_dir, &records_dir] {
        std::fs::create_dir_all(path).map_err(|source| StartError::Directory { path: path.display().to_string(), source })?;
    }
    let store = store::SqliteStore::open(dir, store::Options::default()).map_err(StartError::Store)?;
    let records = records::SqliteRecords::open(&records_dir, records::Options::default()).map_err(StartError::Records)?;
    let (certificate, key) = (pki_dir.join("ca.crt"), pki_dir.join("ca.key"));
    let ca = if key.exists() {
        pki::Authority::load(&certificate, &key).map_err(StartError::Keys)?
    } else {
        let ca = pki::Authority::create("muster", now, CA_VALIDITY).map_err(StartError::Keys)?;
        ca.save(&certificate, &key).map_err(StartError::Keys)?;
        ca
    };
    let tokens = pki::token::Signer::load_or_create(TOKEN_ISSUER, &pki_dir.join("sa.key")).map_err(StartError::Keys)?;
    let admin_token = admin_token(&dir.join("admin-token"))?;
    let (store, records) = (Arc::new(store), Arc::new(records));
    let (closing, ending) = (store.clone(), records.clone());
    let close = Box::new(move || {
        ending.close();
        closing.close();
    });
    Ok(Kept { close, store, records, ca: Arc::new(ca), tokens: Arc::new(tokens), admin_token, scratch: None })
}

fn admin_token(path: &Path) -> Result<String, StartError> {
    let unusable = |source| StartError::Directory { path: path.display().to_string(), source };
    match std::fs::read_to_string(path) {
        Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(error)),
        _ => {
            let token = pki::token::random_hex(ADMIN_TOKEN_BYTES).map_err(StartError::Keys)?;
            write_secret(path, &token).map_err(unusable)?;
            Ok(token)
        }
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write_secret(path: &Path, content: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let next = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&next, path)
}

fn in_memory(now: Timestamp) -> Result<Kept, StartError> {
    let scratch = scratch()?;
    let records = records::SqliteRecords::open(&scratch.0, records::Options::default()).map_err(StartError::Records)?;
    let key = pki::Key::generate().map_err(StartError::Keys)?;
    let records = Arc::new(records);
    let ending = records.clone();
    Ok(Kept {
        close: Box::new(move || ending.close()),
        store: Arc::new(store::MemoryStore::new(store::Retention::hub())),
        records,
        ca: Arc::new(pki::Authority::create("muster", now, CA_VALIDITY).map_err(StartError::Keys)?),
        tokens: Arc::new(pki::token::Signer::new(TOKEN_ISSUER, &key).map_err(StartError::Keys)?),
        admin_token: pki::token::random_hex(ADMIN_TOKEN_BYTES).map_err(StartError::Keys)?,
        scratch: Some(scratch),
    })
}

fn scratch() -> Result<Scratch, StartError> {
    let name = pki::token::random_hex(8).map_err(StartError::Keys)?;
    let path = std::env::temp_dir().join(format!("muster-{name}"));
    std::fs::create_dir_all(&path).map_err(|source| StartError::Directory { path: path.display().to_string(), source })?;
    Ok(Scratch(path))
}
