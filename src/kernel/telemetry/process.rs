//! What this process uses: CPU, memory, disk, network, descriptors, threads, as the kernel tells in /proc. Where there is no
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
    /// Bytes that came from disks and went to them; none where the system keeps that to itself.
    pub disk: Option<Traffic>,
    /// Bytes that came and went over the network interfaces that the process sees, the loopback left out.
    pub network: Option<Traffic>,
    /// When the process was started, in seconds since 1970.
    pub start_seconds: f64,
}

/// Bytes in both directions since the start of what counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Read or received.
    pub incoming: u64,
    /// Written or sent.
    pub outgoing: u64,
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
            disk: fs::read_to_string("/proc/self/io").ok().and_then(|text| parse_io(&text)),
            network: fs::read_to_string("/proc/self/net/dev").ok().map(|text| parse_interfaces(&text)),
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

/// The bytes of /proc/*/io that really went to storage.
fn parse_io(text: &str) -> Option<Traffic> {
    let (incoming, outgoing) = (number_after(text, "read_bytes:")?, number_after(text, "write_bytes:")?);
    Some(Traffic { incoming, outgoing })
}

/// The sums of /proc/*/net/dev: received bytes are the first column, sent bytes the ninth.
fn parse_interfaces(text: &str) -> Traffic {
    let interfaces = text.lines().filter_map(|line| line.split_once(':'));
    interfaces.filter(|(name, _)| name.trim() != "lo").fold(Traffic::default(), |sum, (_, numbers)| {
        let column = |at: usize| numbers.split_ascii_whitespace().nth(at).and_then(|text| text.parse().ok());
        Traffic {
            incoming: sum.incoming + column(0).unwrap_or(0_u64),
            outgoing: sum.outgoing + column(8).unwrap_or(0_u64),
        }
    })
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
    fn traffic_counts_what_reached_the_disk_and_all_interfaces_but_the_loopback() {
        let io = "rchar: 9\nwchar: 9\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 1\n";
        assert_eq!(parse_io(io), Some(Traffic { incoming: 4096, outgoing: 8192 }));
        assert_eq!(parse_io("nothing"), None);
        let interfaces = "Inter-|   Receive                |  Transmit\n \
             face |bytes packets errs drop fifo frame compressed multicast|bytes packets\n\
            \x20   lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n\
            \x20 eth0: 100 2 0 0 0 0 0 0 200 3 0 0 0 0 0 0\n\
            \x20 eth1:5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n";
        assert_eq!(parse_interfaces(interfaces), Traffic { incoming: 105, outgoing: 206 });
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
