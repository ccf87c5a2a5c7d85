//! What is prepared on one connection: a bounded table keyed by SQL, role and search path.
//!
//! Role and search path belong to the key because PostgreSQL plans a statement again whenever they change under it. A
//! statement counts as there only after its ParseComplete: a group that fails before it leaves nothing behind, and other
//! groups in flight use the unnamed statement meanwhile.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use postgres_protocol::message::frontend;

use super::frame::Column;
use super::group::Group;

/// Statements kept on a connection.
const LIMIT: usize = 256;
/// Text that the statements of a connection may have together, in bytes. PostgreSQL keeps parse trees and plans of many
/// times the text, so this bounds what its process grows to.
const TEXT_BUDGET: usize = 256 * 1024;
/// Longer text is not kept.
const MAX_TEXT: usize = 4 * 1024;
/// Statements remembered as seen once.
const SEEN: usize = 1024;
/// More settings than this in one group are never prepared.
const MAX_SETTINGS: usize = 64;

/// How the query of a group is to be sent.
#[derive(Debug)]
pub(super) enum Use {
    /// It is there.
    Ready { id: u32, columns: Option<Arc<[Column]>> },
    /// It is to be parsed under this name.
    Parse(u32),
    /// It is to be parsed without a name.
    Unnamed,
}

struct Entry {
    id: u32,
    sql: Arc<str>,
    role: Bytes,
    search_path: Bytes,
    ready: bool,
    columns: Option<Arc<[Column]>>,
    used: u64,
}

/// The table.
pub(in crate::kernel::db) struct Statements {
    hasher: RandomState,
    entries: HashMap<u64, Entry>,
    /// The text of all entries, in bytes.
    text: usize,
    /// Keys of statements that came once, by their place: only what comes again is kept, so that a client whose every
    /// request is another statement fills nothing.
    seen: Box<[u64]>,
    /// Whether the settings statement for so many settings is there.
    settings: [Settings; MAX_SETTINGS],
    next: u32,
    clock: u64,
    /// What the last `forget` of the lanes was.
    generation: u64,
    /// Added to the names of settings statements so that a name is never used twice.
    epoch: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Settings {
    Absent,
    Pending,
    Ready,
}

impl Statements {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            entries: HashMap::new(),
            text: 0,
            seen: vec![0; SEEN].into_boxed_slice(),
            settings: [Settings::Absent; MAX_SETTINGS],
            next: 0,
            clock: 0,
            generation: 0,
            epoch: 0,
        }
    }

    /// Finds or reserves a statement for the caller of `group`, closing the least recently used one where the table is
    /// full.
    pub(super) fn find(&mut self, sql: &Arc<str>, group: &Group, out: &mut BytesMut) -> Use {
        if !group.query.prepared || sql.len() > MAX_TEXT {
            return Use::Unnamed;
        }
        self.clock += 1;
        let role = group.setting("role");
        let search_path = group.setting("search_path");
        let key = self.hasher.hash_one((sql.as_bytes(), role, search_path));
        if let Some(entry) = self.entries.get_mut(&key) {
            let same = (Arc::ptr_eq(&entry.sql, sql) || entry.sql == *sql)
                && entry.role == role
                && entry.search_path == search_path;
            if same && entry.ready {
                entry.used = self.clock;
                return Use::Ready { id: entry.id, columns: entry.columns.clone() };
            }
            // Still being parsed for another group, or another statement with the same hash.
            return Use::Unnamed;
        }
        if !self.comes_again(key) {
            return Use::Unnamed;
        }
        while self.entries.len() >= LIMIT || self.text + sql.len() > TEXT_BUDGET {
            if !self.close_oldest(out) {
                return Use::Unnamed;
            }
        }
        self.text += sql.len();
        self.next = self.next.wrapping_add(1);
        let entry = Entry {
            id: self.next,
            sql: Arc::clone(sql),
            role: Bytes::copy_from_slice(role),
            search_path: Bytes::copy_from_slice(search_path),
            ready: false,
            columns: None,
            used: self.clock,
        };
        self.entries.insert(key, entry);
        Use::Parse(self.next)
    }

    /// Whether the key was seen before; from now on it was.
    fn comes_again(&mut self, key: u64) -> bool {
        let place = usize::try_from(key % self.seen.len() as u64).unwrap_or_default();
        std::mem::replace(&mut self.seen[place], key) == key
    }

    /// Closes the least recently used statement; `false` if all are still being parsed.
    fn close_oldest(&mut self, out: &mut BytesMut) -> bool {
        let oldest = self.entries.iter().filter(|(_, entry)| entry.ready).min_by_key(|(_, entry)| entry.used);
        if let Some(key) = oldest.map(|(key, _)| *key)
            && let Some(entry) = self.entries.remove(&key)
        {
            self.text -= entry.sql.len();
            close(&query_name(entry.id), out);
            return true;
        }
        false
    }

    /// The server has parsed the query under this number.
    pub(super) fn confirm(&mut self, id: u32) {
        if let Some(entry) = self.entries.values_mut().find(|entry| entry.id == id) {
            entry.ready = true;
        }
    }

    /// The server has described the query under this number.
    pub(super) fn describe(&mut self, id: u32, columns: &Arc<[Column]>) {
        if let Some(entry) = self.entries.values_mut().find(|entry| entry.id == id) {
            entry.columns = Some(Arc::clone(columns));
        }
    }

    /// The group that was to parse the query under this number failed: gone, unless it was confirmed before.
    pub(super) fn abandon(&mut self, id: u32) {
        let text = &mut self.text;
        self.entries.retain(|_, entry| {
            let stays = entry.id != id || entry.ready;
            if !stays {
                *text -= entry.sql.len();
            }
            stays
        });
    }

    /// How to send `count` settings: the name of the statement (empty: unnamed), and if it must be parsed, what to
    /// confirm or abandon later.
    pub(super) fn settings(&mut self, count: usize, prepared: bool) -> (String, Option<SettingsTicket>) {
        let ticket = SettingsTicket { epoch: self.epoch, count };
        match self.settings.get_mut(count) {
            Some(Settings::Ready) if prepared => (ticket.name(), None),
            Some(state) if prepared && *state == Settings::Absent => {
                *state = Settings::Pending;
                (ticket.name(), Some(ticket))
            }
            _ => (String::new(), Some(ticket)),
        }
    }

    /// The server has parsed the settings statement.
    pub(super) fn confirm_settings(&mut self, ticket: SettingsTicket) {
        self.resolve_settings(ticket, Settings::Ready);
    }

    /// The group that was to parse the settings statement ended; it is not there unless it was confirmed.
    pub(super) fn abandon_settings(&mut self, ticket: SettingsTicket) {
        self.resolve_settings(ticket, Settings::Absent);
    }

    fn resolve_settings(&mut self, ticket: SettingsTicket, to: Settings) {
        if ticket.epoch == self.epoch
            && let Some(state) = self.settings.get_mut(ticket.count)
            && *state == Settings::Pending
        {
            *state = to;
        }
    }

    /// Closes everything if the lanes asked for it since the last call.
    pub(in crate::kernel::db) fn keep_generation(&mut self, generation: u64, out: &mut BytesMut) {
        if self.generation != generation {
            self.generation = generation;
            self.forget(out);
        }
    }

    /// Closes every statement; those being parsed are left to be closed by age.
    pub(in crate::kernel::db) fn forget(&mut self, out: &mut BytesMut) {
        for entry in self.entries.values() {
            close(&query_name(entry.id), out);
        }
        self.entries.clear();
        self.text = 0;
        for (count, state) in self.settings.iter_mut().enumerate() {
            if *state != Settings::Absent {
                close(&SettingsTicket { epoch: self.epoch, count }.name(), out);
                *state = Settings::Absent;
            }
        }
        self.epoch = self.epoch.wrapping_add(1);
    }

    #[cfg(test)]
    fn find_for(&mut self, group: &Group, out: &mut BytesMut) -> Use {
        self.find(&group.query.sql, group, out)
    }
}

/// The name of a query on its connection.
pub(super) fn query_name(id: u32) -> String {
    format!("q{id}")
}

/// A settings statement that is being parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SettingsTicket {
    epoch: u32,
    count: usize,
}

impl SettingsTicket {
    fn name(self) -> String {
        format!("s{}_{}", self.epoch, self.count)
    }
}

/// Closing a statement that does not exist is no error in the protocol.
fn close(name: &str, out: &mut BytesMut) {
    // The name holds no NUL, the only thing that this can fail on.
    let _ = frontend::close(b'S', name, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::db::wire::{Access, Query};

    fn group(sql: &str, role: &str) -> Group {
        let query = Query { sql: sql.into(), params: Vec::new(), columns: 1, prepared: true };
        let mut group = Group::new(query, Access::Write);
        group.set("role", role.as_bytes().to_vec());
        group
    }

    fn prepare(statements: &mut Statements, group: &Group, out: &mut BytesMut) -> u32 {
        assert!(matches!(statements.find(&group.query.sql, group, out), Use::Unnamed));
        let Use::Parse(id) = statements.find(&group.query.sql, group, out) else { panic!("already known") };
        statements.confirm(id);
        id
    }

    #[test]
    fn role_and_search_path_are_part_of_the_key() {
        let mut statements = Statements::new();
        let mut out = BytesMut::new();
        let first = prepare(&mut statements, &group("select 1", "a"), &mut out);
        let second = prepare(&mut statements, &group("select 1", "b"), &mut out);
        assert_ne!(first, second);
        let mut moved = group("select 1", "a");
        moved.set("search_path", "x");
        assert_ne!(first, prepare(&mut statements, &moved, &mut out));
        let again = statements.find_for(&group("select 1", "a"), &mut out);
        assert!(matches!(again, Use::Ready { id, .. } if id == first));
    }

    #[test]
    fn a_statement_being_parsed_is_not_used_by_others() {
        let mut statements = Statements::new();
        let mut out = BytesMut::new();
        statements.find_for(&group("select 1", "a"), &mut out);
        let Use::Parse(id) = statements.find_for(&group("select 1", "a"), &mut out) else { panic!() };
        assert!(matches!(statements.find_for(&group("select 1", "a"), &mut out), Use::Unnamed));
        statements.abandon(id);
        assert!(!matches!(statements.find_for(&group("select 1", "a"), &mut out), Use::Ready { .. }));
    }

    #[test]
    fn statements_that_never_come_again_fill_nothing() {
        let mut statements = Statements::new();
        let mut out = BytesMut::new();
        for number in 0..10 * LIMIT {
            statements.find_for(&group(&format!("select {number}"), "a"), &mut out);
        }
        assert!(statements.entries.is_empty());
        assert!(out.is_empty());
    }

    #[test]
    fn the_text_of_all_statements_together_is_bounded() {
        let mut statements = Statements::new();
        let mut out = BytesMut::new();
        for number in 0..LIMIT {
            let text = format!("select {number} -- {}", "x".repeat(MAX_TEXT - 40));
            prepare(&mut statements, &group(&text, "a"), &mut out);
            assert!(statements.text <= TEXT_BUDGET);
        }
        assert!(!out.is_empty());
    }

    #[test]
    fn the_least_recently_used_statement_is_closed_when_the_table_is_full() {
        let mut statements = Statements::new();
        let mut out = BytesMut::new();
        let first = prepare(&mut statements, &group("select 0", "a"), &mut out);
        for number in 1..LIMIT {
            prepare(&mut statements, &group(&format!("select {number}"), "a"), &mut out);
        }
        assert!(matches!(statements.find_for(&group("select 0", "a"), &mut out), Use::Ready { .. }));
        assert!(out.is_empty());
        prepare(&mut statements, &group("one more", "a"), &mut out);
        assert_eq!(statements.entries.len(), LIMIT);
        assert!(!out.is_empty(), "a Close frame was written");
        let used = statements.find_for(&group("select 0", "a"), &mut out);
        assert!(matches!(used, Use::Ready { id, .. } if id == first), "the one used last stayed");
        assert!(!matches!(statements.find_for(&group("select 1", "a"), &mut out), Use::Ready { .. }));
    }
}
