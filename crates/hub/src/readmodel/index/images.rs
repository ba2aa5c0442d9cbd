//! Lists of images, each kept once: a thousand stores run the same.

use std::collections::HashSet;
use std::sync::Arc;

use api::hub::ImageRow;

/// Lists that nobody uses any more are looked for when there are twice as many as after the last look, and this.
const SWEEP_MIN: usize = 1_024;

#[derive(Default)]
pub struct Images {
    known: HashSet<Arc<[ImageRow]>>,
    sweep_at: usize,
}

impl Images {
    pub fn share(&mut self, list: Vec<ImageRow>) -> Arc<[ImageRow]> {
        if let Some(known) = self.known.get(list.as_slice()) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at.max(SWEEP_MIN) {
            self.known.retain(|list| Arc::strong_count(list) > 1);
            self.sweep_at = self.known.len() * 2;
        }
        let list: Arc<[ImageRow]> = list.into();
        self.known.insert(list.clone());
        list
    }
}
