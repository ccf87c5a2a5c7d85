//! Keeps PostgreSQL at what the rules of tables ask for: after every change of the schema or of the rules, and again
//! after a pause where something was in the way.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Connection as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::model::{Catalog, QualifiedName, TableSecurityRows};
use crate::catalog::reload::CatalogHandle;
use crate::kernel::db::bootstrap::ensure_service_role_policies;
use crate::kernel::db::login::Login;
use crate::kernel::pauses::Pauses;
use crate::kernel::random::Random;
use crate::policy::store::{RuleStore, StoreError};

/// The pauses before a failed run is repeated; they double from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// The task that follows the catalog.
pub(super) struct PolicyKeeper {
    store: RuleStore,
    owner: Login,
    catalog: CatalogHandle,
    /// The schemas in which `service_role` needs policies of its own to see all rows.
    service_role_schemas: Option<Vec<String>>,
    /// Whether rules left traces, so that their end is work too. Not known before the first look.
    has_traces: bool,
    /// Before failed runs are repeated.
    pauses: Pauses,
    /// What is known to be wrong, so that the log says it once.
    told: HashMap<Subject, String>,
}

/// What a failure is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Subject {
    Table(QualifiedName),
    AllTables,
    ServiceRole,
}

impl PolicyKeeper {
    pub(super) fn new(
        store: RuleStore,
        owner: Login,
        catalog: CatalogHandle,
        service_role_schemas: Option<Vec<String>>,
        random: &Random,
    ) -> Self {
        let pauses = Pauses::new(BACK_OFF.0, BACK_OFF.1, random);
        Self { store, owner, catalog, service_role_schemas, has_traces: true, pauses, told: HashMap::new() }
    }

    /// Works until `stop`.
    pub(super) fn start(mut self, tracker: &TaskTracker, stop: CancellationToken) {
        tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.run() => {}
            }
        });
    }

    async fn run(&mut self) {
        let mut snapshots = self.catalog.changes();
        // The snapshot that is there already has not been looked at.
        snapshots.mark_changed();
        let mut repeats = false;
        loop {
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                () = self.pauses.sit_out(), if repeats => {}
            }
            let catalog = self.catalog.current();
            let rules_hold = self.keep_rules(&catalog).await;
            let service_role_sees = self.keep_service_role_policies().await;
            repeats = !(rules_hold && service_role_sees);
            if !repeats {
                self.pauses.end();
            }
        }
    }

    /// `false` if something is not as the rules ask.
    async fn keep_rules(&mut self, catalog: &Catalog) -> bool {
        let has_rules = match &*catalog.table_security {
            TableSecurityRows::Absent => false,
            TableSecurityRows::Read(rows) => !rows.is_empty(),
            TableSecurityRows::Unreadable(_) => true,
        };
        if catalog.version == 0 || !(has_rules || self.has_traces) {
            return true;
        }
        let applied = match self.store.apply(catalog, None).await {
            Ok(applied) => applied,
            Err(error) => {
                self.tell(Subject::AllTables, &error);
                return false;
            }
        };
        self.has_traces = has_rules || !applied.failures.is_empty();
        for change in &applied.changes {
            tracing::info!("changed because of the rules of tables: {change}");
        }
        let failed = |subject: &Subject| {
            applied.failures.iter().any(|(table, _)| *subject == Subject::Table(table.clone()))
        };
        self.told.retain(|subject, _| *subject == Subject::ServiceRole || failed(subject));
        for (table, error) in &applied.failures {
            self.tell(Subject::Table(table.clone()), error);
        }
        applied.failures.is_empty()
    }

    /// Says what is wrong, unless that was the last that was said of it.
    fn tell(&mut self, subject: Subject, error: &StoreError) {
        let problem = error.to_string();
        if self.told.get(&subject) != Some(&problem) {
            if let Subject::Table(table) = &subject {
                tracing::error!(%table, "rules are not in force: {problem}");
            } else {
                tracing::error!("the rules of tables are not in force: {problem}");
            }
            self.told.insert(subject, problem);
        }
    }

    /// Where `service_role` has no BYPASSRLS of its own, gives it a policy on each protected table.
    async fn keep_service_role_policies(&mut self) -> bool {
        let Some(schemas) = &self.service_role_schemas else { return true };
        let made = async {
            let mut connection = self.owner.connect().await?;
            let made = ensure_service_role_policies(&mut connection, schemas).await;
            let _ = connection.close().await;
            made
        };
        match made.await {
            Ok(count) => {
                self.told.remove(&Subject::ServiceRole);
                if count > 0 {
                    tracing::info!(count, "made policies for service_role");
                }
                true
            }
            Err(error) => {
                let problem = error.to_string();
                if self.told.insert(Subject::ServiceRole, problem.clone()).as_ref() != Some(&problem) {
                    tracing::error!("cannot make policies for service_role: {problem}");
                }
                false
            }
        }
    }
}
