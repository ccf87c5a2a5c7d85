//! What stands before the file of a form: held in memory until it is read, and so bounded in bytes and time. Whoever sends it
//! has not been asked who they are yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::body::Body;
use futures_util::StreamExt;

use crate::storage::error::StorageError;

/// How much of a body may come before its file.
pub(in crate::storage) struct FormHead {
    left: Arc<AtomicUsize>,
    deadline: Instant,
}

impl FormHead {
    /// A body of which at most so many bytes come until [`FormHead::is_over`], and the head of its form.
    pub(in crate::storage) fn of(body: Body, most: usize, deadline: Instant) -> (Body, Self) {
        let left = Arc::new(AtomicUsize::new(most));
        let counted = Arc::clone(&left);
        let pieces = body.into_data_stream().map(move |piece| {
            let piece = piece?;
            let taken = counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| match left {
                usize::MAX => Some(left),
                left => left.checked_sub(piece.len()),
            });
            taken.map(|_| piece).map_err(|_| axum::Error::new(StorageError::EntityTooLarge))
        });
        (Body::from_stream(pieces), Self { left, deadline })
    }

    /// The next thing of the head, if it comes in time.
    pub(in crate::storage) async fn next<T>(
        &self,
        coming: impl Future<Output = T>,
    ) -> Result<T, StorageError> {
        tokio::time::timeout_at(self.deadline.into(), coming).await.map_err(|_| StorageError::Aborted)
    }

    /// The file begins: from here on the bytes are a stream.
    pub(in crate::storage) fn is_over(&self) {
        self.left.store(usize::MAX, Ordering::Relaxed);
    }
}
