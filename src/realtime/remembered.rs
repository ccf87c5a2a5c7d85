//! What the database said a moment ago. Those who ask the same meanwhile are answered by it, or wait for the one answer.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

/// How long an answer counts, from before it was asked for. Sockets look once a second whether what they rest on has
/// changed, so a change holds within two.
const LIFETIME: Duration = Duration::from_millis(700);

/// Answers by what was asked.
#[derive(Debug)]
pub(super) struct Remembered<K, V> {
    most: usize,
    answers: Mutex<HashMap<K, Arc<Answer<V>>>>,
}

#[derive(Debug)]
struct Answer<V> {
    asked_at: Instant,
    value: OnceCell<V>,
}

impl<V> Answer<V> {
    fn counts(&self) -> bool {
        self.asked_at.elapsed() < LIFETIME
    }
}

impl<K: Eq + Hash + Clone, V: Clone> Remembered<K, V> {
    /// Remembers at most so many answers.
    pub(super) fn new(most: usize) -> Self {
        Self { most, answers: Mutex::default() }
    }

    /// The answer that counts now; by `ask` where there is none. A failure is nobody's but the asker's.
    pub(super) async fn get<E, F>(&self, key: &K, ask: impl FnOnce() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let place = self.place(key);
        place.value.get_or_try_init(ask).await.cloned()
    }

    fn place(&self, key: &K) -> Arc<Answer<V>> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers.get(key).filter(|known| known.counts()) {
            return Arc::clone(known);
        }
        if answers.len() >= self.most {
            answers.retain(|_, known| known.counts());
            if answers.len() >= self.most {
                answers.clear();
            }
        }
        let new = Arc::new(Answer { asked_at: Instant::now(), value: OnceCell::new() });
        answers.insert(key.clone(), Arc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_asks_the_same_at_once_gets_one_answer_and_a_failure_is_not_kept() {
        let (remembered, asked) = (Remembered::new(2), AtomicUsize::new(0));
        let ask = |outcome: Result<u8, ()>| {
            let asked = &asked;
            move || async move {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::Relaxed);
                outcome
            }
        };
        assert_eq!(remembered.get(&"a", ask(Err(()))).await, Err(()));
        let (first, second) =
            tokio::join!(remembered.get(&"a", ask(Ok(1))), remembered.get(&"a", ask(Ok(2))));
        assert_eq!((first, second, asked.load(Ordering::Relaxed)), (Ok(1), Ok(1), 2));
        assert_eq!(remembered.get(&"b", ask(Ok(3))).await, Ok(3));
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let remembered = Remembered::new(2);
        for key in 0..5 {
            assert_eq!(remembered.get(&key, || async { Ok::<_, ()>(key) }).await, Ok(key));
            assert!(remembered.answers.lock().unwrap().len() <= 2);
        }
    }
}
