//! Which shapes of reads have proved fast and small, and so may share a connection.
//!
//! A table of fixed size without locks: a slot holds one shape and how often in a row it was good. Two shapes that meet
//! in a slot push each other out, which costs them the shared lane for a few requests and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};

/// Slots; a power of two.
const SLOTS: usize = 4096;
/// Good runs in a row that prove a shape.
const PROOFS: u64 = 3;
/// The bits of a slot that count.
const COUNT: u64 = 0b11;

/// The table.
pub(super) struct Shapes(Box<[AtomicU64]>);

impl Shapes {
    pub(super) fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    fn slot(&self, shape: u64) -> (&AtomicU64, u64) {
        // Callers hash, but a poor hash must not make all shapes meet.
        let mixed = shape.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at = usize::try_from(mixed >> 52).unwrap_or(0) & (SLOTS - 1);
        (&self.0[at], mixed & !COUNT)
    }

    /// Whether the shape may go to the shared lane.
    pub(super) fn is_proven(&self, shape: u64) -> bool {
        let (slot, tag) = self.slot(shape);
        slot.load(Ordering::Relaxed) == tag | PROOFS
    }

    /// The shape was fast and small once more.
    pub(super) fn prove(&self, shape: u64) {
        let (slot, tag) = self.slot(shape);
        let value = slot.load(Ordering::Relaxed);
        let next = if value & !COUNT != tag {
            tag | 1
        } else if value & COUNT < PROOFS {
            value + 1
        } else {
            return;
        };
        // A lost race costs one proof.
        let _ = slot.compare_exchange(value, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The shape was slow or large: it starts again.
    pub(super) fn miss(&self, shape: u64) {
        let (slot, tag) = self.slot(shape);
        if slot.load(Ordering::Relaxed) & !COUNT == tag {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_proven_by_good_runs_in_a_row_and_lost_at_the_first_miss() {
        let shapes = Shapes::new();
        for _ in 0..PROOFS {
            assert!(!shapes.is_proven(42));
            shapes.prove(42);
        }
        assert!(shapes.is_proven(42));
        assert!(!shapes.is_proven(43));
        shapes.miss(42);
        assert!(!shapes.is_proven(42));
    }

    #[test]
    fn the_table_stays_small_whatever_comes() {
        let shapes = Shapes::new();
        for shape in 0..100_000 {
            shapes.prove(shape);
        }
        assert_eq!(shapes.0.len(), SLOTS);
    }
}
