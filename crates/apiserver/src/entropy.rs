//! Where uids and name suffixes come from.

use std::sync::Arc;

use parking_lot::Mutex;

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

/// A source of random bytes; cheap to clone.
#[derive(Clone)]
pub struct Entropy(Arc<Fill>);

impl Entropy {
    /// Returns the operating system's source.
    pub fn system() -> Self {
        Self(Arc::new(|bytes| getrandom::fill(bytes).expect("the operating system gives random bytes")))
    }

    /// Returns a source that gives the same bytes for the same seed, for simulations that must repeat.
    pub fn seeded(seed: u64) -> Self {
        let state = Mutex::new(seed);
        Self(Arc::new(move |bytes| {
            let mut state = state.lock();
            for chunk in bytes.chunks_mut(8) {
                // splitmix64
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                let word = (z ^ (z >> 31)).to_le_bytes();
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
        }))
    }

    pub fn fill(&self, bytes: &mut [u8]) {
        (self.0)(bytes);
    }

    /// Returns a version 4 UUID in its usual form.
    pub fn uid(&self) -> String {
        let mut b = [0u8; 16];
        self.fill(&mut b);
        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// Returns the suffix that generateName gets.
    pub fn name_suffix(&self) -> String {
        // Five of 27 letters that spell no word, as apimachinery `util/rand`.
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut bytes = [0u8; 5];
        self.fill(&mut bytes);
        bytes.iter().map(|b| LETTERS[*b as usize % LETTERS.len()] as char).collect()
    }
}
