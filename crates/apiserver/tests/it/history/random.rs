//! Choices that repeat with their seed (splitmix64).

use super::space::{Filter, HOLD, KINDS, Key, NAMES, NAMESPACES, Selector, Texts};

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x9e37_79b9)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// Returns true in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    pub fn key(&mut self) -> Key {
        Key { kind: self.pick(&KINDS), namespace: self.pick(&NAMESPACES).into(), name: self.pick(&NAMES).into() }
    }

    /// Returns some of the contested labels, and one that is always the same: who owns an empty map is not modelled.
    pub fn labels(&mut self) -> Texts {
        let mut labels = Texts::from([("app".into(), "history".into())]);
        if self.chance(80) {
            labels.insert("color".into(), self.pick(&["red", "green", "blue"]).into());
        }
        if self.chance(50) {
            labels.insert("tier".into(), self.pick(&["front", "back"]).into());
        }
        labels
    }

    /// Returns some of the contested values, and one that is always the same.
    pub fn values(&mut self) -> Texts {
        let mut values = Texts::from([("base".into(), "1".into())]);
        for name in ["k0", "k1", "k2"] {
            if self.chance(50) {
                values.insert(name.into(), self.below(3).to_string());
            }
        }
        values
    }

    pub fn finalizers(&mut self, percent: u64) -> Vec<String> {
        if self.chance(percent) { vec![HOLD.into()] } else { Vec::new() }
    }

    pub fn selector(&mut self) -> Selector {
        match self.below(6) {
            0 | 1 => Selector::Is("color", self.pick(&["red", "green", "blue"])),
            2 => Selector::IsNot("color", "red"),
            3 => Selector::In("color", vec!["red", "blue"]),
            4 => Selector::Exists("tier"),
            _ => Selector::Both(Selector::Exists("color").into(), Selector::Is("tier", "back").into()),
        }
    }

    pub fn filter(&mut self) -> Filter {
        Filter {
            namespace: self.chance(50).then(|| self.pick(&NAMESPACES).into()),
            name: self.chance(20).then(|| self.pick(&NAMES).into()),
            selector: self.chance(50).then(|| self.selector()),
        }
    }
}
