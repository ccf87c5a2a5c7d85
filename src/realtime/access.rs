//! Who may hear and say what on a topic. On a public one everybody may do everything; on a private one PostgreSQL decides, by
//! the policies of `realtime.messages` (contract section 7).
//!
//! The policies that apply to the caller's role are put over rows that are only thought of, so nothing is written and one
//! round trip is enough. They run as any statement of the caller does: under its role and claims, read-only, with a limit of
//! time. What fails is refused.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use sqlx::PgPool;

use super::caller_query::{CallerQueries, is_outage, said};
use super::hub::Rights;
use super::remembered::Remembered;
use super::request::Topic;
use super::store::row_policies::{self, Deed, RowPolicies};
use crate::kernel::db::wire::DbError;
use crate::kernel::identity::Caller;

/// Roles whose policies are remembered.
const MOST_ROLES: usize = 1000;
/// Answers about topics that are remembered.
const MOST_ANSWERS: usize = 10_000;
/// The longest that policies may take to decide.
const TIME_LIMIT: &str = "3s";

/// The extensions that rows of `realtime.messages` are of.
const BROADCAST: &str = "broadcast";
const PRESENCE: &str = "presence";

/// Why nobody may do anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccessError {
    /// By the policies.
    #[error("the policies of realtime.messages let nothing be heard")]
    Refused,
    /// The policies could not be read.
    #[error("the policies of realtime.messages cannot be read: {0}")]
    Policies(#[from] sqlx::Error),
    /// The database did not answer, or a policy failed.
    #[error("the policies of realtime.messages cannot be decided: {}", said(.0))]
    Undecided(#[from] DbError),
}

impl AccessError {
    /// Whether the database is the reason, rather than a policy.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Refused => false,
            Self::Policies(_) => true,
            Self::Undecided(error) => is_outage(error),
        }
    }

    /// What fails is logged: nobody else is told why.
    fn logged(self) -> Self {
        tracing::warn!(kind = "app", "a private topic is closed: {self}");
        self
    }
}

/// What a channel may hear, which is something.
#[derive(Clone, Debug)]
pub(super) struct Hearing {
    /// What it is.
    pub(super) rights: Rights,
    /// The policies that say so; none on public topics.
    by: Option<Arc<RowPolicies>>,
}

/// All that an answer depends on, but for what policies read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    policies: Arc<RowPolicies>,
    deed: Deed,
    role: Arc<str>,
    claims: Bytes,
    topic: Topic,
}

impl Question {
    fn new(policies: Arc<RowPolicies>, caller: &Caller, topic: &Topic, deed: Deed) -> Self {
        let (role, claims) = (Arc::clone(&caller.role), caller.claims_json.clone());
        Self { policies, deed, role, claims, topic: topic.clone() }
    }
}

/// Decides about topics.
pub(super) struct TopicAccess {
    pool: PgPool,
    queries: CallerQueries,
    policies: Remembered<Arc<str>, Arc<RowPolicies>>,
    answers: Remembered<Question, Rights>,
}

impl TopicAccess {
    /// Decides by the policies that `pool` reads.
    pub(super) fn new(pool: PgPool, queries: CallerQueries) -> Self {
        let (policies, answers) = (Remembered::new(MOST_ROLES), Remembered::new(MOST_ANSWERS));
        Self { pool, queries, policies, answers }
    }

    /// What somebody who comes to a topic may hear. What it was just given it has.
    pub(super) async fn may_hear(&self, caller: &Caller, topic: &Topic) -> Result<Hearing, AccessError> {
        self.hearing(caller, topic, async |policies| {
            self.ask(&policies, caller, topic, Deed::Select).await.map_err(AccessError::from)
        })
        .await
    }

    /// What somebody who is on a topic may hear, if that may be other than it was.
    pub(super) async fn may_hear_now(
        &self,
        caller: &Caller,
        topic: &Topic,
        before: &Hearing,
    ) -> Result<Option<Hearing>, AccessError> {
        let Some(by) = &before.by else { return Ok(None) };
        // Those that cannot be read are asked for again in a second.
        let Ok(policies) = self.policies(&caller.role).await else { return Ok(None) };
        if policies == *by && !policies.read_tables() {
            return Ok(None);
        }
        let shared = async |policies| self.shared(policies, caller, topic, Deed::Select).await;
        self.hearing(caller, topic, shared).await.map(Some)
    }

    /// What somebody may say.
    pub(super) async fn may_say(&self, caller: &Caller, topic: &Topic) -> Result<Rights, AccessError> {
        if !topic.is_private() {
            return Ok(Rights::ALL);
        }
        let said = async {
            let policies = self.policies(&caller.role).await?;
            self.shared(policies, caller, topic, Deed::Insert).await
        };
        said.await.map_err(AccessError::logged)
    }

    async fn hearing(
        &self,
        caller: &Caller,
        topic: &Topic,
        ask: impl AsyncFnOnce(Arc<RowPolicies>) -> Result<Rights, AccessError>,
    ) -> Result<Hearing, AccessError> {
        if !topic.is_private() {
            return Ok(Hearing { rights: Rights::ALL, by: None });
        }
        let heard = async {
            let policies = self.policies(&caller.role).await?;
            Ok((ask(Arc::clone(&policies)).await?, policies))
        };
        match heard.await.map_err(AccessError::logged)? {
            (Rights { broadcast: false, presence: false }, _) => Err(AccessError::Refused),
            (rights, policies) => Ok(Hearing { rights, by: Some(policies) }),
        }
    }

    /// The answer that others who are the same to policies got a moment ago, or get now.
    async fn shared(
        &self,
        policies: Arc<RowPolicies>,
        caller: &Caller,
        topic: &Topic,
        deed: Deed,
    ) -> Result<Rights, AccessError> {
        let question = Question::new(policies, caller, topic, deed);
        let ask = || self.ask(&question.policies, caller, topic, deed);
        Ok(self.answers.get(&question, ask).await?)
    }

    async fn ask(
        &self,
        policies: &RowPolicies,
        caller: &Caller,
        topic: &Topic,
        deed: Deed,
    ) -> Result<Rights, DbError> {
        let row = |extension| json!({"topic": topic.name(), "extension": extension, "private": true});
        let rows = json!([row(BROADCAST), row(PRESENCE)]).to_string();
        let sql = policies.visible_extensions(deed, &rows);
        let found = self.queries.ask((caller, Some(topic)), sql, TIME_LIMIT).await?;
        let found = String::from_utf8_lossy(&found);
        let has = |extension| found.split(',').any(|word| word == extension);
        Ok(Rights { broadcast: has(BROADCAST), presence: has(PRESENCE) })
    }

    /// The policies that apply to a role, as of less than a second ago.
    async fn policies(&self, role: &Arc<str>) -> Result<Arc<RowPolicies>, sqlx::Error> {
        let read = || async { row_policies::of_messages(&self.pool, role).await.map(Arc::new) };
        self.policies.get(role, read).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::kernel::identity::Via;

    fn question(role: &str, claims: &'static str, (topic, deed): (&str, Deed)) -> Question {
        let caller = Caller::for_role(role, false, Via::Token, None);
        let caller = Caller { claims_json: Bytes::from_static(claims.as_bytes()), ..caller };
        let topic = Topic::named(topic, true).unwrap();
        Question::new(Arc::new(RowPolicies::nothing()), &caller, &topic, deed)
    }

    #[tokio::test]
    async fn those_who_are_the_same_to_policies_share_one_answer() {
        let (answers, asked) = (Remembered::new(MOST_ANSWERS), AtomicUsize::new(0));
        let who = ["user", "user", "user"].map(|role| question(role, r#"{"sub":"1"}"#, ("a", Deed::Insert)));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok::<_, ()>(Rights::ALL)
        };
        let got = join_all(who.iter().map(|question| answers.get(question, ask))).await;
        assert_eq!((got, asked.load(Ordering::Relaxed)), (vec![Ok(Rights::ALL); 3], 1));
    }

    #[test]
    fn who_or_what_is_another_to_policies_is_another_question() {
        let claims = r#"{"sub":"1"}"#;
        let different = [
            question("user", claims, ("a", Deed::Insert)),
            question("admin", claims, ("a", Deed::Insert)),
            question("user", r#"{"sub":"2"}"#, ("a", Deed::Insert)),
            question("user", claims, ("b", Deed::Insert)),
            question("user", claims, ("a", Deed::Select)),
        ];
        assert_eq!(HashSet::from(different).len(), 5);
    }
}
