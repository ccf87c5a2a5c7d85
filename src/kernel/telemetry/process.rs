//! What this process uses: CPU, memory, descriptors, threads, as the kernel tells in /proc. Where there is no
//! /proc nothing is known and nothing is reported.

use std::fs;

/// Ticks per second in /proc on every architecture that we run on (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Use of resources by this process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessUsage {
    /// CPU time since the start in seconds, user and system together.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// Virtual memory in bytes.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_descriptors: u64,
    /// Most descriptors that may be open.
    pub max_descriptors: u64,
    /// Threads.
    pub threads: u64,
    /// When the process was started, in seconds since 1970.
    pub start_seconds: f64,
}

impl ProcessUsage {
    /// Reads the current use; none where the system does not tell.
    pub fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let (cpu_ticks, start_ticks) = parse_stat(&stat)?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let boot = fs::read_to_string("/proc/stat").ok()?;
        let boot_seconds: f64 =
            boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let kilobytes = |name| number_after(&status, name).map_or(0, |kilobytes| kilobytes * 1024);
        Some(Self {
            cpu_seconds: cpu_ticks / TICKS_PER_SECOND,
            resident_bytes: kilobytes("VmRSS:"),
            virtual_bytes: kilobytes("VmSize:"),
            open_descriptors: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
            max_descriptors: number_after(&limits, "Max open files").unwrap_or(0),
            threads: number_after(&status, "Threads:").unwrap_or(0),
            start_seconds: boot_seconds + start_ticks / TICKS_PER_SECOND,
        })
    }
}

/// CPU and start ticks of a line of /proc/*/stat (proc(5): fields 14, 15 and 22).
fn parse_stat(line: &str) -> Option<(f64, f64)> {
    // The name in parentheses may hold blanks and parentheses itself.
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some((number(14)? + number(15)?, number(22)?))
}

/// The first number of the line that begins with this name.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_process_cannot_shift_its_numbers() {
        let line = "12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 4 0 700 8 9";
        assert_eq!(parse_stat(line), Some((200.0, 700.0)));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn this_process_uses_memory_threads_and_descriptors() {
        let usage = ProcessUsage::read().unwrap();
        assert!(usage.resident_bytes > 1024 * 1024 && usage.virtual_bytes >= usage.resident_bytes);
        assert!(
            usage.threads >= 1
                && usage.open_descriptors >= 3
                && usage.max_descriptors >= usage.open_descriptors
        );
        assert!(usage.start_seconds > 1_600_000_000.0);
    }
}
