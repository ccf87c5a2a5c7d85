//! `goforward channels` and `goforward realtime`: definitions of channels and published tables, without a server. The database
//! may be one that running servers use; they notice within two seconds.

use std::fmt::Write as _;

use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use crate::app::policy_commands::owner_of;
use crate::app::reach;
use crate::catalog::model::QualifiedName;
use crate::cli::{ActionError, RealtimeTask};
use crate::kernel::config::Loaded;
use crate::realtime::definitions::{Definition, Pattern};
use crate::realtime::store::deeds;
use crate::realtime::store::definitions::{self, StoreError};
use crate::realtime::store::publication::{self, PublicationError};

/// SQLSTATE of a table that is not there.
const UNDEFINED_TABLE: &str = "42P01";

/// Does what the command line asks; gives the text to print.
pub(super) async fn carry_out(loaded: &Loaded, task: RealtimeTask) -> Result<String, ActionError> {
    let (place, owner) = owner_of(&loaded.config)?;
    let mut connection = reach::connect(&owner, &place).await?;
    let done = run(&mut connection, task).await;
    let _ = connection.close().await;
    done.map_err(explained)
}

async fn run(connection: &mut PgConnection, task: RealtimeTask) -> Result<String, ActionError> {
    match task {
        RealtimeTask::ListDefinitions { json } => {
            let stored = definitions::list(connection).await?;
            if json {
                return Ok(format!("{:#}\n", json!(stored)));
            }
            Ok(stored.iter().fold(String::new(), |text, stored| text + &line(&stored.definition) + "\n"))
        }
        RealtimeTask::Define(fields) => {
            let definition = Definition::parse(fields)?;
            let mut transaction = connection.begin().await?;
            let stored = definitions::put(&mut *transaction, &definition).await?;
            deeds::define(json!({ "pattern": stored.definition.pattern.as_str() }))
                .write_command(&mut *transaction)
                .await?;
            transaction.commit().await?;
            Ok(line(&stored.definition) + "\n")
        }
        RealtimeTask::RemoveDefinition { pattern } => {
            let pattern = Pattern::parse(&pattern)?;
            let mut transaction = connection.begin().await?;
            match definitions::remove_pattern(&mut *transaction, pattern.as_str()).await {
                Err(StoreError::Absent) => return Err(format!("there is no definition of {pattern}").into()),
                removed => removed?,
            }
            deeds::undefine(json!({ "pattern": pattern.as_str() })).write_command(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(format!("{pattern}: removed\n"))
        }
        RealtimeTask::ListTables { json } => {
            let published = publication::list(connection).await?;
            if json {
                return Ok(format!("{:#}\n", json!(published)));
            }
            let lines = published.iter().fold(String::new(), |mut text, table| {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{}.{}{}", table.schema, table.table, waiting(table.is_captured));
                text
            });
            Ok(lines)
        }
        RealtimeTask::Publish { table } => {
            let name = named(&table)?;
            let mut transaction = connection.begin().await?;
            let done = publication::publish(&mut transaction, &name).await?;
            deeds::publish(&name).write_command(&mut *transaction).await?;
            transaction.commit().await?;
            let already = if done.is_new { "" } else { " already" };
            Ok(format!("{name}: published{already}{}\n", waiting(done.table.is_captured)))
        }
        RealtimeTask::Withdraw { table } => {
            let name = named(&table)?;
            let mut transaction = connection.begin().await?;
            publication::withdraw(&mut transaction, &name).await?;
            deeds::withdraw(&name).write_command(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(format!("{name}: withdrawn\n"))
        }
    }
}

fn named(table: &str) -> Result<QualifiedName, ActionError> {
    publication::table_name(table)
        .ok_or_else(|| "name the table as schema.table, such as public.orders".into())
}

/// What is said of a table that is in use, so that its triggers are still to be made.
fn waiting(is_captured: bool) -> &'static str {
    if is_captured { "" } else { " (followed as soon as nobody has it locked)" }
}

/// A definition in one line.
fn line(definition: &Definition) -> String {
    let mut parts = Vec::new();
    if definition.private_only {
        parts.push("private only".to_owned());
    }
    if let Some(roles) = &definition.roles {
        let roles: Vec<&str> = roles.iter().map(AsRef::as_ref).collect();
        parts.push(format!("for {}", roles.join(", ")));
    }
    let limits = [
        (definition.max_members, "members"),
        (definition.max_payload_bytes, "bytes a message"),
        (definition.messages_per_second, "messages a second"),
    ];
    parts.extend(
        limits.iter().filter_map(|(count, of)| Some(format!("at most {} {of}", count.as_ref()?.get()))),
    );
    if definition.replay {
        parts.push("kept for replay".to_owned());
    }
    if parts.is_empty() {
        parts.push("as the configuration says".to_owned());
    }
    format!("{}: {}", definition.pattern, parts.join("; "))
}

/// An error with what to do about it.
fn explained(error: ActionError) -> ActionError {
    if let Some(hint) = error.downcast_ref::<PublicationError>().and_then(PublicationError::hint) {
        return format!("{error}. {hint}").into();
    }
    let database =
        std::iter::successors(Some(&*error as &(dyn std::error::Error + 'static)), |error| error.source())
            .find_map(|error| error.downcast_ref::<sqlx::Error>()?.as_database_error()?.code());
    if database.as_deref() == Some(UNDEFINED_TABLE) {
        return "the database is not prepared: run `goforward serve` on it once, without --only rest".into();
    }
    error
}
