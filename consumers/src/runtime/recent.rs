//! The ids that a lane has just handled.
//!
//! Most duplicates come shortly after the first and by the same partition. To
//! look every id up would cost a tenth of the batch; to look none up would let
//! the claim find each duplicate, and roll the batch back. So ids that were
//! seen lately are looked up, and the claim finds the rest.

use std::collections::HashSet;

use mypay_schemas::identity::IdHash;
use uuid::Uuid;

/// How many ids a generation holds.
const GENERATION: usize = 50_000;

/// The last one to two generations of ids.
///
/// Only half of each id is kept: one that is taken for another is looked up in
/// vain, and nothing else.
#[derive(Debug, Default)]
pub struct Recent {
    younger: HashSet<u64, IdHash>,
    older: HashSet<u64, IdHash>,
}

impl Recent {
    /// Whether the id was seen lately.
    pub fn contains(&self, id: &Uuid) -> bool {
        let id = half(*id);
        self.younger.contains(&id) || self.older.contains(&id)
    }

    /// Remembers an id; the oldest generation is forgotten for it when needed.
    pub fn insert(&mut self, id: Uuid) {
        if self.younger.len() >= GENERATION {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(half(id));
    }
}

/// The random half; the other begins with the time.
fn half(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_a_generation_is_remembered_and_no_more_than_two() {
        let mut recent = Recent::default();
        for number in 0..(3 * GENERATION as u128) {
            recent.insert(Uuid::from_u128(number));
        }
        assert!(recent.contains(&Uuid::from_u128(3 * GENERATION as u128 - 1)));
        assert!(recent.contains(&Uuid::from_u128(2 * GENERATION as u128)));
        assert!(!recent.contains(&Uuid::from_u128(GENERATION as u128 - 1)));
        assert!(recent.younger.len() + recent.older.len() <= 2 * GENERATION);
    }
}
