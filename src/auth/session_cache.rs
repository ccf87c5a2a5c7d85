//! Tells every service whether the session behind a token goes on: from memory for less than a second, else from the
//! database, where all questions that wait are one query.
//!
//! An answer counts from the moment that its query began, so whatever is committed is seen within [`LIFETIME`]. One that took
//! longer is given to those who waited, as all of them asked before that moment, and to nobody else; not even to them if what
//! it is about has ended meanwhile, as far as this node knows. Answers in use are asked for again before they end, so nobody
//! waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::revocation::Revocations;
use super::store::sessions::{self, Question};
use crate::kernel::clock::Clock;
use crate::kernel::identity::sessions::LookingUp;
use crate::kernel::identity::{Account, Caller, SessionRefusal, SessionState, Sessions};

/// How long an answer counts.
const LIFETIME: Duration = Duration::from_millis(900);
/// The age from which on an answer in use is asked for again.
const STALE: Duration = Duration::from_millis(450);
/// Answers that are remembered; beyond it all that have ended are forgotten, and if none has, all.
const MOST_REMEMBERED: usize = 100_000;
/// Questions that may wait.
const MOST_WAITING: usize = 4096;
/// Questions of one query.
const MOST_AT_ONCE: usize = 512;
/// The longest wait for the database.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Copy)]
struct Remembered {
    state: SessionState,
    asked_at: Instant,
    is_asked_again: bool,
}

struct Asked {
    question: Question,
    answer: Option<oneshot::Sender<SessionState>>,
}

/// The answers, and the queue of questions.
pub struct SessionCache {
    remembered: Arc<Mutex<HashMap<Question, Remembered>>>,
    queue: mpsc::Sender<Asked>,
    issuer: String,
    revocations: Revocations,
}

impl SessionCache {
    /// Starts the task that asks. `issuer` tells tokens of ours that have no session (exchanged keys) from those of others;
    /// with `requires_factor` a session of a user with a second factor counts once it was given. Answers from before one of
    /// the `revocations` count no more.
    pub fn start(
        pool: PgPool,
        clock: Clock,
        (issuer, requires_factor): (String, bool),
        revocations: Revocations,
        (tracker, stop): (&TaskTracker, CancellationToken),
    ) -> Self {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let remembered = Arc::default();
        let task = Task { pool, clock, requires_factor, remembered: Arc::clone(&remembered) };
        tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task.run(waiting) => {}
            }
        });
        Self { remembered, queue, issuer, revocations }
    }

    fn question(&self, caller: &Caller) -> Option<Question> {
        Question::of(caller, &self.issuer)
    }
}

impl Sessions for SessionCache {
    fn remembered(&self, caller: &Caller) -> Option<SessionState> {
        let Some(question) = self.question(caller) else { return Some(SessionState::Foreign) };
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let known = remembered.get_mut(&question)?;
        let age = known.asked_at.elapsed();
        if age >= LIFETIME || self.revocations.outdate(caller, known.asked_at) {
            return None;
        }
        if age >= STALE && !known.is_asked_again {
            // If the queue is full the answer ends, and the next request waits for a new one.
            known.is_asked_again = self.queue.try_send(Asked { question, answer: None }).is_ok();
        }
        Some(known.state)
    }

    fn look_up<'a>(&'a self, caller: &'a Caller) -> LookingUp<'a> {
        Box::pin(async {
            let Some(question) = self.question(caller) else { return Ok(SessionState::Foreign) };
            let asking = async {
                loop {
                    let (asked_at, (answer, answered)) = (Instant::now(), oneshot::channel());
                    self.queue.send(Asked { question, answer: Some(answer) }).await.ok()?;
                    let state = answered.await.ok()?;
                    // What has ended meanwhile may have gone on when the query began.
                    if !self.revocations.outdate(caller, asked_at) {
                        return Some(state);
                    }
                }
            };
            let answer = tokio::time::timeout(PATIENCE, asking).await;
            answer.ok().flatten().ok_or(SessionRefusal::Unavailable)
        })
    }

    fn watch(&self, caller: &Caller, watcher: &Arc<Notify>) {
        self.revocations.watch(caller, watcher);
    }
}

struct Task {
    pool: PgPool,
    clock: Clock,
    requires_factor: bool,
    remembered: Arc<Mutex<HashMap<Question, Remembered>>>,
}

impl Task {
    async fn run(self, mut waiting: mpsc::Receiver<Asked>) {
        let mut batch = Vec::new();
        while waiting.recv_many(&mut batch, MOST_AT_ONCE).await > 0 {
            let asked_at = Instant::now();
            let questions: Vec<Question> = batch.iter().map(|asked| asked.question).collect();
            match self.ask(&questions).await {
                Ok(states) => self.answer(batch.drain(..).zip(states), asked_at),
                Err(error) => {
                    tracing::warn!(%error, "sessions cannot be checked");
                    // Who waits is told by the end of its channel.
                    batch.clear();
                }
            }
        }
    }

    async fn ask(&self, questions: &[Question]) -> Result<Vec<SessionState>, sqlx::Error> {
        let now = chrono::DateTime::from_timestamp_millis(self.clock.unix_millis()).unwrap_or_default();
        let found = async {
            let mut connection = self.pool.acquire().await?;
            sessions::standings(&mut connection, questions, (now, self.requires_factor)).await
        };
        let found = tokio::time::timeout(PATIENCE, found).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        let mut states = vec![SessionState::Ended; questions.len()];
        for standing in found {
            let place = usize::try_from(standing.place - 1).unwrap_or(usize::MAX);
            if let Some(state) = states.get_mut(place) {
                *state = match standing {
                    _ if standing.banned => SessionState::Banned,
                    _ if !standing.live => SessionState::Ended,
                    _ if standing.owes_factor => SessionState::FactorOwed,
                    _ => SessionState::Live {
                        account: standing.verified.map(|verified| Account { verified }),
                        second_factor: standing.second_factor,
                    },
                };
            }
        }
        Ok(states)
    }

    fn answer(&self, answers: impl Iterator<Item = (Asked, SessionState)>, asked_at: Instant) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, known| known.asked_at.elapsed() < LIFETIME);
            if remembered.len() >= MOST_REMEMBERED {
                remembered.clear();
            }
        }
        for (asked, state) in answers {
            remembered.insert(asked.question, Remembered { state, asked_at, is_asked_again: false });
            if let Some(answer) = asked.answer {
                // Whoever asked may be gone.
                let _ = answer.send(state);
            }
        }
    }
}
