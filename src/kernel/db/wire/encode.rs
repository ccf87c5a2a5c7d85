//! Writes a group as frames: the authorisation boundary.
//!
//! The one place where a query meets its caller's settings. All frames of a group are appended in one call or none are,
//! the settings always come before the query, and nothing but literal control statements and the group's own texts
//! becomes SQL. Only one statement fits in a Parse, so a text cannot end the transaction early and go on.

use std::error::Error;
use std::fmt::Write;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;

use super::error::{DbError, SqlError, Stage};
use super::frame::Column;
use super::group::{Finish, Group, Isolation};
use super::statements::{SettingsTicket, Statements, Use, query_name};

/// A setting added by the lane.
pub(in crate::kernel::db) type LaneSetting = (&'static str, &'static str);

/// What the server will answer to a group, statement by statement.
pub(in crate::kernel::db) struct Script {
    pub(super) steps: Vec<Step>,
    /// The columns of the query, where they are known from an earlier use.
    pub(super) columns: Option<Arc<[Column]>>,
    /// Whether a BEGIN was sent, so that a failure leaves the transaction open.
    pub(in crate::kernel::db) explicit: bool,
    /// Whether no Sync was sent yet.
    pub(in crate::kernel::db) undecided: bool,
}

/// One statement of a group and the named statement that it parses.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) stage: Stage,
    pub(super) parses: Parses,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Parses {
    Nothing,
    Settings(SettingsTicket),
    Query(u32),
}

/// How an undecided group ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kernel::db) enum Ending {
    Commit,
    Rollback,
    /// Checks deferred constraints first.
    CheckedRollback,
}

/// Appends the frames of `group`; on an error nothing is appended.
pub(in crate::kernel::db) fn group(
    group: &Group,
    added: &[LaneSetting],
    statements: &mut Statements,
    out: &mut BytesMut,
) -> Result<Script, DbError> {
    let start = out.len();
    let mut script = Script {
        steps: Vec::with_capacity(4),
        columns: None,
        explicit: group.is_explicit(),
        undecided: group.finish == Finish::Decide,
    };
    let result = write_group(group, added, statements, out, &mut script);
    if let Err(error) = result {
        out.truncate(start);
        for step in &script.steps {
            abandon(statements, step.parses);
        }
        return Err(error);
    }
    Ok(script)
}

fn write_group(
    group: &Group,
    added: &[LaneSetting],
    statements: &mut Statements,
    out: &mut BytesMut,
    script: &mut Script,
) -> Result<(), DbError> {
    if script.explicit {
        let begin = match group.isolation {
            None => "BEGIN",
            Some(Isolation::RepeatableRead) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            Some(Isolation::Serializable) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        };
        control(Stage::Begin, begin, script, out)?;
    }
    write_settings(group, added, statements, out, script)?;
    if let Some(sql) = &group.before {
        let how = statements.find(sql, group, out);
        write_statement(Stage::Before, sql, &how, &[], &[], out, script)?;
    }
    let how = statements.find(&group.query.sql, group, out);
    let formats: &[i16] = match group.query.columns {
        0 => &[],
        1 => &[1],
        many => &result_formats(many),
    };
    if let Use::Ready { columns, .. } = &how {
        script.columns.clone_from(columns);
    }
    write_statement(Stage::Query, &group.query.sql, &how, &group.query.params, formats, out, script)?;
    match group.finish {
        Finish::Decide => frontend::flush(out),
        Finish::Rollback => end(Ending::CheckedRollback, script, out)?,
        Finish::Commit if script.explicit => end(Ending::Commit, script, out)?,
        Finish::Commit => frontend::sync(out),
    }
    Ok(())
}

/// Ends an explicit transaction and the group.
pub(in crate::kernel::db) fn end(
    ending: Ending,
    script: &mut Script,
    out: &mut BytesMut,
) -> Result<(), DbError> {
    script.undecided = false;
    if ending == Ending::CheckedRollback {
        control(Stage::End, "SET CONSTRAINTS ALL IMMEDIATE", script, out)?;
    }
    control(Stage::End, if ending == Ending::Commit { "COMMIT" } else { "ROLLBACK" }, script, out)?;
    frontend::sync(out);
    Ok(())
}

/// Takes back what a step reserved but did not confirm.
pub(super) fn abandon(statements: &mut Statements, parses: Parses) {
    match parses {
        Parses::Nothing => {}
        Parses::Settings(ticket) => statements.abandon_settings(ticket),
        Parses::Query(id) => statements.abandon(id),
    }
}

fn result_formats(columns: u16) -> Vec<i16> {
    let mut formats = vec![0; usize::from(columns)];
    if let Some(last) = formats.last_mut() {
        *last = 1;
    }
    formats
}

/// A literal statement of ours without parameters.
fn control(stage: Stage, sql: &'static str, script: &mut Script, out: &mut BytesMut) -> Result<(), DbError> {
    write_statement(stage, sql, &Use::Unnamed, &[], &[], out, script)
}

fn write_settings(
    group: &Group,
    added: &[LaneSetting],
    statements: &mut Statements,
    out: &mut BytesMut,
    script: &mut Script,
) -> Result<(), DbError> {
    let count = group.settings.len() + added.len();
    if count == 0 {
        return Ok(());
    }
    let (name, ticket) = statements.settings(count, group.query.prepared);
    let parses = match ticket {
        Some(ticket) if !name.is_empty() => Parses::Settings(ticket),
        _ => Parses::Nothing,
    };
    script.steps.push(Step { stage: Stage::Settings, parses });
    if ticket.is_some() {
        frontend::parse(&name, &settings_text(count), [], out).map_err(nul)?;
    }
    let own = group.settings.iter().flat_map(|(name, value)| [name.as_bytes(), &value[..]]);
    let lane = added.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    bind(&name, [], own.chain(lane).map(Some), [], out)?;
    frontend::execute("", 0, out).map_err(nul)
}

/// `select set_config($1, $2, true), …`: local to the transaction, evaluated in order.
fn settings_text(count: usize) -> String {
    let mut text = String::from("select ");
    for at in 0..count {
        let separator = if at == 0 { "" } else { ", " };
        let _ = write!(text, "{separator}pg_catalog.set_config(${}, ${}, true)", 2 * at + 1, 2 * at + 2);
    }
    text
}

fn write_statement(
    stage: Stage,
    sql: &str,
    how: &Use,
    params: &[crate::kernel::sql::Param],
    formats: &[i16],
    out: &mut BytesMut,
    script: &mut Script,
) -> Result<(), DbError> {
    let (name, parses) = match how {
        Use::Ready { id, .. } => (query_name(*id), Parses::Nothing),
        Use::Parse(id) => (query_name(*id), Parses::Query(*id)),
        Use::Unnamed => (String::new(), Parses::Nothing),
    };
    script.steps.push(Step { stage, parses });
    if !matches!(how, Use::Ready { .. }) {
        let any_typed = params.iter().any(|param| param.oid != 0);
        let types = params.iter().take(if any_typed { params.len() } else { 0 }).map(|param| param.oid);
        frontend::parse(&name, sql, types, out).map_err(nul)?;
    }
    let any_binary = params.iter().any(|param| param.binary);
    let shown = if any_binary { params.len() } else { 0 };
    let param_formats = params.iter().take(shown).map(|param| i16::from(param.binary));
    let values = params.iter().map(|param| param.value.as_ref().map(Bytes::as_ref));
    bind(&name, param_formats, values, formats.iter().copied(), out)?;
    let known = matches!(how, Use::Ready { columns: Some(_), .. });
    if stage == Stage::Query && !known {
        frontend::describe(b'P', "", out).map_err(nul)?;
    }
    frontend::execute("", 0, out).map_err(nul)
}

fn bind<'a>(
    statement: &str,
    param_formats: impl IntoIterator<Item = i16>,
    values: impl IntoIterator<Item = Option<&'a [u8]>>,
    result_formats: impl IntoIterator<Item = i16>,
    out: &mut BytesMut,
) -> Result<(), DbError> {
    let write = |value: Option<&[u8]>, out: &mut BytesMut| -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(value) = value else { return Ok(IsNull::Yes) };
        out.put_slice(value);
        Ok(IsNull::No)
    };
    frontend::bind("", statement, param_formats, values, write, result_formats, out).map_err(|_| {
        // The counts are 16 bits wide and the frame's length 31.
        DbError::Sql(Box::new(SqlError::local("54023", "too many or too large parameters for one statement")))
    })
}

/// The only text that a frame cannot hold is one with a NUL.
fn nul(_: std::io::Error) -> DbError {
    DbError::Sql(Box::new(SqlError::local("22021", "invalid byte sequence for encoding \"UTF8\": 0x00")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::db::wire::{Access, Query};
    use crate::kernel::sql::Param;

    /// The tags of the frames in `out`.
    fn tags(mut out: &[u8]) -> String {
        let mut tags = String::new();
        while let Some(head) = out.first_chunk::<5>() {
            tags.push(char::from(head[0]));
            let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
            out = &out[length + 1..];
        }
        tags
    }

    fn read() -> Group {
        let query =
            Query { sql: "select $1".into(), params: vec![Param::text("x")], columns: 1, prepared: true };
        let mut group = Group::new(query, Access::Read { shape: 1 });
        group.set("role", "anon");
        group
    }

    #[test]
    fn a_group_is_one_run_of_frames_with_one_sync_at_its_end() {
        let mut statements = Statements::new();
        let mut out = BytesMut::new();
        group(&read(), &[], &mut statements, &mut out).unwrap();
        assert_eq!(tags(&out), "PBEPBDES");
    }

    #[test]
    fn a_deciding_group_waits_with_a_flush_and_begins_explicitly() {
        let mut statements = Statements::new();
        let mut out = BytesMut::new();
        let mut deciding = read();
        deciding.finish = Finish::Decide;
        let mut script = group(&deciding, &[], &mut statements, &mut out).unwrap();
        assert_eq!(tags(&out), "PBEPBEPBDEH");
        out.clear();
        end(Ending::Commit, &mut script, &mut out).unwrap();
        assert_eq!(tags(&out), "PBES");
    }

    #[test]
    fn a_group_that_cannot_be_written_leaves_nothing_behind() {
        let mut statements = Statements::new();
        let mut out = BytesMut::from(&b"earlier"[..]);
        let mut wrong = read();
        wrong.query.sql = "select '\0'".into();
        assert!(group(&wrong, &[], &mut statements, &mut out).is_err());
        assert_eq!(&out[..], b"earlier");
        let mut many = read();
        many.query.params = vec![Param::null(); 70_000];
        assert!(matches!(group(&many, &[], &mut statements, &mut out), Err(DbError::Sql(_))));
        assert_eq!(&out[..], b"earlier");
        out.clear();
        group(&read(), &[], &mut statements, &mut out).unwrap();
        assert_eq!(tags(&out), "PBEPBDES", "the statements of the failed groups are parsed again");
    }

    #[test]
    fn settings_are_bound_in_order_and_never_become_text() {
        assert_eq!(
            settings_text(2),
            "select pg_catalog.set_config($1, $2, true), pg_catalog.set_config($3, $4, true)"
        );
    }
}
