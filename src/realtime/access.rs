//! Who may hear and say what on a private topic: PostgreSQL decides, by the policies of `realtime.messages` (contract
//! section 7).
//!
//! The policies that apply to the caller's role are put over rows that are only thought of, so nothing is written and one
//! round trip is enough. They run as any statement of the caller does: under its role and claims, read-only, with a limit of
//! time. What fails is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::PgPool;

use super::caller_query::{CallerQueries, is_outage, said};
use super::channel::Topic;
use super::hub::Rights;
use super::store::row_policies::{self, Deed, RowPolicies};
use crate::kernel::db::wire::DbError;
use crate::kernel::identity::Caller;

/// How long policies are remembered: what is changed holds within a second.
const REMEMBERED: Duration = Duration::from_millis(900);
/// Roles that are remembered.
const MOST_ROLES: usize = 1000;
/// The longest that policies may take to decide.
const TIME_LIMIT: &str = "3s";

/// The extensions that rows of `realtime.messages` are of.
const BROADCAST: &str = "broadcast";
const PRESENCE: &str = "presence";

/// Why it could not be decided: nobody may do anything then.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccessError {
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
            Self::Policies(_) => true,
            Self::Undecided(error) => is_outage(error),
        }
    }
}

/// The policies of a role, and when they were asked for.
type Remembered = (Instant, Arc<RowPolicies>);

/// Decides about private topics.
pub(super) struct TopicAccess {
    pool: PgPool,
    queries: CallerQueries,
    remembered: Mutex<HashMap<Arc<str>, Remembered>>,
}

impl TopicAccess {
    /// Decides by the policies that `pool` reads.
    pub(super) fn new(pool: PgPool, queries: CallerQueries) -> Self {
        Self { pool, queries, remembered: Mutex::default() }
    }

    /// What the caller may hear on a private topic, and the policies that say so.
    pub(super) async fn may_hear(
        &self,
        caller: &Caller,
        topic: &Topic,
    ) -> Result<(Rights, Arc<RowPolicies>), AccessError> {
        let policies = self.policies(&caller.role).await?;
        Ok((self.rights(&policies, caller, topic, Deed::Select).await?, policies))
    }

    /// What the caller may say on a private topic.
    pub(super) async fn may_say(&self, caller: &Caller, topic: &Topic) -> Result<Rights, AccessError> {
        let policies = self.policies(&caller.role).await?;
        self.rights(&policies, caller, topic, Deed::Insert).await
    }

    async fn rights(
        &self,
        policies: &RowPolicies,
        caller: &Caller,
        topic: &Topic,
        deed: Deed,
    ) -> Result<Rights, AccessError> {
        let row = |extension| json!({"topic": topic.name(), "extension": extension, "private": true});
        let rows = json!([row(BROADCAST), row(PRESENCE)]).to_string();
        let sql = policies.visible_extensions(deed, &rows);
        let found = self.queries.ask((caller, Some(topic)), sql, TIME_LIMIT).await?;
        let found = String::from_utf8_lossy(&found);
        let has = |extension| found.split(',').any(|word| word == extension);
        Ok(Rights { broadcast: has(BROADCAST), presence: has(PRESENCE) })
    }

    /// The policies that apply to a role, as of less than a second ago.
    pub(super) async fn policies(&self, role: &Arc<str>) -> Result<Arc<RowPolicies>, AccessError> {
        if let Some((at, known)) = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(role)
            && at.elapsed() < REMEMBERED
        {
            return Ok(Arc::clone(known));
        }
        let asked_at = Instant::now();
        let policies = Arc::new(row_policies::of_messages(&self.pool, role).await?);
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_ROLES {
            remembered.clear();
        }
        remembered.insert(Arc::clone(role), (asked_at, Arc::clone(&policies)));
        Ok(policies)
    }
}
