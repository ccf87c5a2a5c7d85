//! A subscription: a bounded queue of what other nodes said about one subject.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::{Delivery, Message};

/// Most messages that wait in one subscription.
const MOST_MESSAGES: usize = 8_192;

/// About how much waits in one subscription.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The messages of other nodes about one subject. Ends with the bus.
#[derive(Debug)]
pub struct Subscription {
    inbox: Arc<Inbox>,
}

impl Subscription {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// The next message or gap; none once the bus has stopped. Nothing is lost where the future is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.inbox.take() {
                Taken::Delivery(delivery) => return Some(delivery),
                Taken::Closed => return None,
                Taken::Nothing => self.inbox.filled.notified().await,
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// The queue behind a subscription.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    bytes: usize,
    closed: bool,
}

enum Taken {
    Delivery(Delivery),
    Nothing,
    Closed,
}

impl Inbox {
    /// Adds a message, or a gap where it does not fit; says whether it fitted.
    pub(super) fn put(&self, message: Message) -> bool {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.closed {
            return true;
        }
        let bytes = queue.bytes.saturating_add(message.payload.len());
        let fits = queue.waiting.len() < MOST_MESSAGES && (bytes <= MOST_BYTES || queue.waiting.is_empty());
        if fits {
            queue.bytes = bytes;
            queue.waiting.push_back(Delivery::Message(message));
        } else {
            queue.gap();
        }
        drop(queue);
        self.filled.notify_one();
        fits
    }

    /// Says that something was missed.
    pub(super) fn gap(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).gap();
        self.filled.notify_one();
    }

    /// Ends the subscription once what waits is read.
    pub(super) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.filled.notify_one();
    }

    /// Whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closed
    }

    fn take(&self) -> Taken {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        match queue.waiting.pop_front() {
            Some(delivery) => {
                if let Delivery::Message(message) = &delivery {
                    queue.bytes -= message.payload.len();
                }
                Taken::Delivery(delivery)
            }
            None if queue.closed => Taken::Closed,
            None => Taken::Nothing,
        }
    }
}

impl Queue {
    fn gap(&mut self) {
        if self.waiting.back() != Some(&Delivery::Gap) {
            self.waiting.push_back(Delivery::Gap);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::kernel::bus::NodeId;

    fn message(payload: Bytes) -> Message {
        Message { from: NodeId::new(1).unwrap(), payload }
    }

    #[tokio::test]
    async fn a_subscription_that_is_not_read_is_bounded_and_says_where_it_missed_something() {
        let inbox = Arc::new(Inbox::default());
        let mut subscription = Subscription::new(Arc::clone(&inbox));
        for number in 0..MOST_MESSAGES + 100 {
            assert_eq!(inbox.put(message(number.to_string().into())), number < MOST_MESSAGES);
        }
        for number in 0..MOST_MESSAGES {
            let expected = Delivery::Message(message(number.to_string().into()));
            assert_eq!(subscription.next().await, Some(expected));
        }
        assert!(inbox.put(message("after".into())));
        inbox.close();
        assert_eq!(subscription.next().await, Some(Delivery::Gap));
        assert_eq!(subscription.next().await, Some(Delivery::Message(message("after".into()))));
        assert_eq!(subscription.next().await, None);
    }

    #[test]
    fn large_messages_are_bounded_by_their_bytes() {
        let inbox = Arc::new(Inbox::default());
        let _subscription = Subscription::new(Arc::clone(&inbox));
        let large = Bytes::from(vec![0; MOST_BYTES / 4 + 1]);
        let fitted = (0..8).filter(|_| inbox.put(message(large.clone()))).count();
        assert_eq!(fitted, 3);
    }
}
