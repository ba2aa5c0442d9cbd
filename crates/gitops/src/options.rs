//! Sync options: words on the Application and, stronger, in an annotation of one resource.

use api::argo::annotation::{COMPARE_OPTIONS, SYNC_OPTIONS};
use serde_json::Value;

const HELM_POLICY: &str = "helm.sh/resource-policy";

/// The words in effect for one resource, or for the Application as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncOptions {
    /// `Key=value`, weakest first.
    words: Vec<String>,
}

impl SyncOptions {
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self { words: words.into_iter().map(|w| w.trim().to_owned()).filter(|w| !w.is_empty()).collect() }
    }

    /// Returns these with a resource's own after them.
    pub fn with_annotations(&self, annotations: &Value) -> Self {
        let own = annotations[SYNC_OPTIONS].as_str().unwrap_or_default();
        // Helm's word for the same, as Argo CD heeds it.
        let is_kept = annotations[HELM_POLICY].as_str().is_some_and(|word| word.trim() == "keep");
        let kept: &[&str] = if is_kept { &["Prune=false", "Delete=false"] } else { &[] };
        let words = self.words.iter().map(String::as_str).chain(kept.iter().copied()).chain(own.split(','));
        Self::new(words)
    }

    /// Returns the value last given to an option.
    pub fn get(&self, option: &str) -> Option<&str> {
        self.words.iter().rev().find_map(|word| word.split_once('=').filter(|(key, _)| key.trim() == option).map(|(_, value)| value.trim()))
    }

    pub fn is(&self, option: &str, value: &str) -> bool {
        self.get(option) == Some(value)
    }
}

/// Returns whether a resource's `compare-options` have a word.
pub(crate) fn has_compare_option(annotations: &Value, word: &str) -> bool {
    annotations[COMPARE_OPTIONS].as_str().unwrap_or_default().split(',').any(|w| w.trim() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_resources_own_word_is_stronger() {
        let app = SyncOptions::new(["PruneLast=true", "Replace=false"]);
        let own = app.with_annotations(&json!({SYNC_OPTIONS: " Replace=true , Prune=false"}));
        assert_eq!(
            (own.get("Replace"), own.get("Prune"), own.get("PruneLast"), own.get("Force")),
            (Some("true"), Some("false"), Some("true"), None)
        );
        assert!(app.is("Replace", "false"));
        assert!(app.with_annotations(&json!({HELM_POLICY: "keep"})).is("Delete", "false"));
    }
}
