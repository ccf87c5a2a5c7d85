//! The memory that the bodies of all requests may take together: every body has its own limit, but many at once could
//! still be more than there is.
//!
//! A body takes its share as it arrives, never on the word of its client, and gives it back when its last copy is gone.
//! Who holds nothing yet waits for a place; who holds something and needs more is refused at once where there is none,
//! so that bodies never wait for each other.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted at a time, in bytes; a share is rounded up to it.
const UNIT: usize = 1024;

/// The memory that bodies may take together. Clones are the same.
#[derive(Clone, Debug)]
pub struct BodyBudget {
    units: Arc<Semaphore>,
}

/// There is no memory for more of a body at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// What one body has taken of the budget.
pub(super) struct Share {
    budget: BodyBudget,
    units: usize,
    permit: Option<OwnedSemaphorePermit>,
}

/// A body that gives its share back when it is dropped.
struct Held {
    body: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

impl BodyBudget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(units)) }
    }

    /// The share of a body that will hold `bytes` at first; waits until they are free.
    pub(super) async fn share(&self, bytes: usize) -> Result<Share, Full> {
        let units = bytes.div_ceil(UNIT);
        let permits = Arc::clone(&self.units).acquire_many_owned(count(units)?);
        let permit = permits.await.map_err(|_| Full)?;
        Ok(Share { budget: self.clone(), units, permit: Some(permit) })
    }
}

impl Share {
    /// Makes it hold `bytes` in all, if there is room for what is missing.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let missing = bytes.div_ceil(UNIT).saturating_sub(self.units);
        if missing == 0 {
            return Ok(());
        }
        let more =
            Arc::clone(&self.budget.units).try_acquire_many_owned(count(missing)?).map_err(|_| Full)?;
        self.units += missing;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }

    /// The whole body, which keeps what it needs of the share until its last copy is gone.
    pub(super) fn keep(mut self, body: Bytes) -> Bytes {
        let spare = self.units.saturating_sub(body.len().div_ceil(UNIT));
        if let Some(permit) = &mut self.permit {
            drop(permit.split(spare));
        }
        Bytes::from_owner(Held { body, _share: self })
    }
}

fn count(units: usize) -> Result<u32, Full> {
    u32::try_from(units).map_err(|_| Full)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn free(budget: &BodyBudget) -> usize {
        budget.units.available_permits() * UNIT
    }

    #[test]
    fn a_share_is_given_back_with_the_last_copy_of_its_body() {
        let budget = BodyBudget::new(8 * UNIT);
        let mut share = budget.share(4 * UNIT).now_or_never().unwrap().unwrap();
        share.grow(5 * UNIT).unwrap();
        share.grow(UNIT).unwrap();
        assert_eq!(free(&budget), 3 * UNIT);

        let body = share.keep(Bytes::from(vec![7; UNIT + 1]));
        assert_eq!(free(&budget), 6 * UNIT, "what was not needed is free again");
        let part = body.slice(..1);
        drop(body);
        assert_eq!(free(&budget), 6 * UNIT);
        drop(part);
        assert_eq!(free(&budget), 8 * UNIT);
    }

    #[test]
    fn who_holds_nothing_waits_and_who_holds_something_is_refused() {
        let budget = BodyBudget::new(4 * UNIT);
        let mut first = budget.share(3 * UNIT).now_or_never().unwrap().unwrap();
        let second = budget.share(2 * UNIT);
        let mut second = std::pin::pin!(second);

        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(first.grow(5 * UNIT), Err(Full));
        drop(first);

        assert!(second.now_or_never().unwrap().is_ok());
        assert_eq!(free(&budget), 4 * UNIT);
    }
}
