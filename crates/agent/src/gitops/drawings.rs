//! What agents of one process have rendered, shared: thousands of simulated clusters follow a handful of paths.
//!
//! The agent of a real cluster is alone in its process, renders what it needs once, and keeps nothing here.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use api::argo::Application;
use parking_lot::Mutex;

use super::desired::{self, Drawn};

/// Renderings kept; the oldest goes.
const KEPT_MAX: usize = 64;

/// By a hash of the pack, and what of an Application it was rendered for.
type Kept = VecDeque<((u64, String), Arc<Drawn>)>;

/// Renderings that may be shared; cheap to clone.
#[derive(Clone, Default)]
pub struct Drawings(Option<Arc<Mutex<Kept>>>);

impl Drawings {
    /// Returns renderings that all who hold a clone share.
    pub fn shared() -> Self {
        Self(Some(Arc::default()))
    }

    /// Renders a pack for an Application whose source and destination are `of`, unless that was done.
    pub(super) fn draw(&self, bytes: &[u8], of: &str, app: &Application) -> Result<Arc<Drawn>, String> {
        let Some(kept) = &self.0 else { return desired::draw(bytes, app).map(Arc::new) };
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let hash = hasher.finish();
        let known =
            |kept: &Kept| kept.iter().find(|((of_pack, of_app), _)| *of_pack == hash && of_app == of).map(|(_, drawn)| drawn.clone());
        if let Some(drawn) = known(&kept.lock()) {
            return Ok(drawn);
        }
        let drawn = Arc::new(desired::draw(bytes, app)?);
        let mut kept = kept.lock();
        if known(&kept).is_none() {
            if kept.len() >= KEPT_MAX {
                kept.pop_front();
            }
            kept.push_back(((hash, of.to_owned()), drawn.clone()));
        }
        Ok(drawn)
    }
}

#[cfg(test)]
mod tests {
    use git::{Entry, Pack};
    use serde_json::json;

    use super::*;

    fn pack(name: &str) -> Vec<u8> {
        let file = format!("{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}}}}}");
        let entries = [("app/a.yaml".to_owned(), Entry::File(file.into_bytes()))].into();
        let commit = "0123456789012345678901234567890123456789".parse().expect("a commit");
        Pack { repo: "https://git.example.com/r".into(), commit, path: "app".into(), entries }.write().to_vec()
    }

    #[test]
    fn what_one_agent_rendered_another_need_not_and_alone_nothing_is_kept() {
        let app: Application = serde_json::from_value(json!({
            "metadata": {"name": "a"}, "spec": {"source": {"repoURL": "https://git.example.com/r", "path": "app"}, "destination": {}}
        }))
        .expect("an Application");
        let of = |drawings: &Drawings, pack: &[u8], of: &str| drawings.draw(pack, of, &app).expect("it renders");
        let shared = Drawings::shared();
        let first = of(&shared, &pack("a"), "prod");
        assert!(Arc::ptr_eq(&first, &of(&shared.clone(), &pack("a"), "prod")));
        assert!(!Arc::ptr_eq(&first, &of(&shared, &pack("b"), "prod")), "another commit");
        assert!(!Arc::ptr_eq(&first, &of(&shared, &pack("a"), "dev")), "another source");
        assert!(shared.draw(b"no pack", "prod", &app).is_err());
        for n in 0..2 * KEPT_MAX {
            of(&shared, &pack("a"), &n.to_string());
        }
        assert!(!Arc::ptr_eq(&first, &of(&shared, &pack("a"), "prod")), "the oldest went");
        let alone = Drawings::default();
        assert!(!Arc::ptr_eq(&of(&alone, &pack("a"), "prod"), &of(&alone, &pack("a"), "prod")));
    }
}
