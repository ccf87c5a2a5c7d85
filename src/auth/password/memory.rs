//! Working memory of Argon2 that is used again: taken fresh for each hash, its page faults cost about a fifth of the hash.
//!
//! As much is kept as hashes run or wait, and that of one hash when none does. What it holds until the next hash was computed
//! from a password at full cost, like the stored hash itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Block;

use super::stored::ComputationFailed;

/// Memory for hashes, of which each borrows a part. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct WorkingMemory(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// What one new hash takes; no other amount is kept.
    blocks: usize,
    kept: Mutex<Vec<Vec<Block>>>,
    /// Hashes that run or wait.
    wanted: AtomicUsize,
}

/// Somebody who waits for a hash, and has its memory while it runs.
#[derive(Debug)]
pub(super) struct Share {
    shared: Arc<Shared>,
    memory: Vec<Block>,
}

impl WorkingMemory {
    /// Memory for hashes that take `blocks` of 1 KiB each, and for others that come by.
    pub(super) fn new(blocks: usize) -> Self {
        Self(Arc::new(Shared { blocks, kept: Mutex::default(), wanted: AtomicUsize::new(0) }))
    }

    /// Says that a hash is going to be computed. It has no memory before [`Share::blocks`].
    pub(super) fn share(&self) -> Share {
        self.0.wanted.fetch_add(1, Ordering::Relaxed);
        Share { shared: Arc::clone(&self.0), memory: Vec::new() }
    }

    /// How much is kept, in blocks of 1 KiB.
    #[cfg(test)]
    pub(super) fn kept_kib(&self) -> usize {
        self.0.kept().iter().map(Vec::len).sum()
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// So many blocks of any content. Fails where the system has no memory.
    pub(super) fn blocks(&mut self, count: usize) -> Result<&mut [Block], ComputationFailed> {
        if self.memory.len() != count {
            let kept = (count == self.shared.blocks).then(|| self.shared.kept().pop()).flatten();
            self.memory = match kept {
                Some(kept) => kept,
                None => fresh(count)?,
            };
        }
        Ok(&mut self.memory)
    }
}

fn fresh(count: usize) -> Result<Vec<Block>, ComputationFailed> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(count).map_err(|_| ComputationFailed)?;
    memory.resize(count, Block::default());
    Ok(memory)
}

impl Drop for Share {
    fn drop(&mut self) {
        let others = self.shared.wanted.fetch_sub(1, Ordering::Relaxed).saturating_sub(1);
        let memory = std::mem::take(&mut self.memory);
        let mut kept = self.shared.kept();
        if memory.len() == self.shared.blocks && !memory.is_empty() {
            kept.push(memory);
        }
        let most = others.max(1);
        if kept.len() > most {
            // Given back after the lock is.
            let _surplus = kept.split_off(most);
            drop(kept);
        }
    }
}
