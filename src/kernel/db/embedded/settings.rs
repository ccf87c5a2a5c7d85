//! The settings of the embedded server: written into the cluster as `goforward.conf` before every start.
//!
//! They sit in a file that `postgresql.conf` includes, so `ALTER SYSTEM` still overrides each of them. What must not
//! be overridden (socket, port, log destination) is on the command line instead, in [`super::server`].

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use super::error::EmbeddedError;

/// What the settings are derived from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizing {
    /// Memory of the machine or of its control group, in bytes.
    pub(super) memory: u64,
    /// Whether shared memory segments fit into `/dev/shm`.
    pub(super) has_shared_memory: bool,
    /// The server's `max_connections`.
    pub(super) max_connections: u16,
    /// `false` trades crash safety for speed.
    pub(super) is_durable: bool,
}

const MB: u64 = 1 << 20;
const UNKNOWN_MEMORY: u64 = 2048 * MB;
/// Containers have 64 MB of it by default, which one parallel hash join can exceed.
const ENOUGH_SHARED_MEMORY: u64 = 256 * MB;

impl Sizing {
    /// Measures this machine.
    pub(super) fn of_machine(max_connections: u16, is_durable: bool) -> Self {
        Self { memory: memory(), has_shared_memory: has_shared_memory(), max_connections, is_durable }
    }

    /// The text of `goforward.conf`.
    pub(super) fn render(&self) -> String {
        let share = |divisor: u64, least: u64, most: u64| (self.memory / divisor / MB).clamp(least, most);
        let mut text = String::from(
            "# Written by goforward before every start: changes here are lost. Use ALTER SYSTEM to override.\n",
        );
        let mut set = |name: &str, value: &str| {
            let _ = writeln!(text, "{name} = {value}");
        };
        set("max_connections", &self.max_connections.to_string());
        // A share of the machine rather than most of it: it also runs the server and whatever else is there.
        set("shared_buffers", &format!("{}MB", share(16, 32, 1024)));
        set("effective_cache_size", &format!("{}MB", share(2, 128, 65536)));
        set("maintenance_work_mem", &format!("{}MB", share(64, 16, 256)));
        set("work_mem", &format!("{}MB", share(1024, 4, 16)));
        set("dynamic_shared_memory_type", if self.has_shared_memory { "posix" } else { "mmap" });
        set("wal_level", "logical");
        set("max_wal_senders", "10");
        set("max_replication_slots", "10");
        // A reader that stays away loses its slot before it fills the disk.
        set("max_slot_wal_keep_size", "1GB");
        set("password_encryption", "'scram-sha-256'");
        set("timezone", "'UTC'");
        set("log_timezone", "'UTC'");
        // API statements are short: compiling them costs more than it gives.
        set("jit", "off");
        set("random_page_cost", "1.1");
        // Statements and row values of users do not belong into our log.
        set("log_min_error_statement", "panic");
        set("log_error_verbosity", "terse");
        if !self.is_durable {
            set("fsync", "off");
            set("synchronous_commit", "off");
            set("full_page_writes", "off");
        }
        text
    }
}

/// The operator's own settings as lines of a configuration file.
///
/// A name with other characters than PostgreSQL's could smuggle in a line of its own and is refused.
pub(super) fn render_own(settings: &BTreeMap<String, String>) -> Result<String, EmbeddedError> {
    let mut text = String::new();
    for (name, value) in settings {
        let is_name =
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        if !is_name || value.contains(['\n', '\0']) {
            return Err(EmbeddedError::Setting { name: name.clone() });
        }
        let _ = writeln!(text, "{name} = '{}'", value.replace('\\', "\\\\").replace('\'', "''"));
    }
    Ok(text)
}

/// The lesser of the machine's memory and the control group's limit.
fn memory() -> u64 {
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        .find_map(|path| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let machine = machine_memory().unwrap_or(UNKNOWN_MEMORY);
    limit.map_or(machine, |limit| limit.min(machine))
}

#[cfg(target_os = "linux")]
fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(not(target_os = "linux"))]
fn machine_memory() -> Option<u64> {
    None
}

fn has_shared_memory() -> bool {
    if !cfg!(target_os = "linux") {
        return true;
    }
    rustix::fs::statvfs(Path::new("/dev/shm"))
        .is_ok_and(|shm| shm.f_frsize.saturating_mul(shm.f_blocks) >= ENOUGH_SHARED_MEMORY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_settings_cannot_hold_another_line() {
        let one = |name: &str, value: &str| render_own(&[(name.to_owned(), value.to_owned())].into());
        assert_eq!(one("work_mem", "16MB").unwrap(), "work_mem = '16MB'\n");
        assert_eq!(one("log_line_prefix", "it's").unwrap(), "log_line_prefix = 'it''s'\n");
        assert!(one("a = b\nfsync", "off").is_err());
        assert!(one("work_mem", "1MB'\nfsync = 'off").is_err());
    }

    fn sized(memory: u64) -> String {
        Sizing { memory, has_shared_memory: true, max_connections: 100, is_durable: true }.render()
    }

    #[test]
    fn memory_settings_follow_the_machine_within_bounds() {
        assert!(sized(256 * MB).contains("shared_buffers = 32MB\n"));
        assert!(sized(4096 * MB).contains("shared_buffers = 256MB\n"));
        assert!(sized(1 << 40).contains("shared_buffers = 1024MB\n"));
        assert!(sized(1 << 40).contains("work_mem = 16MB\n"));
    }

    #[test]
    fn a_durable_server_never_turns_fsync_off() {
        assert!(!sized(4096 * MB).contains("fsync"));
        let loose =
            Sizing { memory: MB, has_shared_memory: false, max_connections: 20, is_durable: false }.render();
        assert!(loose.contains("fsync = off\n"));
        assert!(loose.contains("dynamic_shared_memory_type = mmap\n"));
    }
}
