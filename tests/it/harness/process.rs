//! What the operating system knows of a process: memory, processor time, open files. Linux, by `/proc`.

use std::fs;
use std::time::Duration;

use super::eventually;

/// The resident memory of a process in MiB.
pub fn resident_mib(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

/// How many files and sockets it has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The processor time that it has used, in hundredths of a second.
pub fn processor_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name in brackets may hold anything; user and system time are the 12th and 13th field after it.
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The processor time that it uses within so long, in hundredths of a second.
pub async fn processor_time_within(pid: u32, span: Duration) -> u64 {
    let before = processor_time(pid);
    tokio::time::sleep(span).await;
    processor_time(pid) - before
}

/// Waits until a process uses hardly any processor time.
pub async fn idle(pid: u32) {
    let window = Duration::from_millis(500);
    eventually("the process to be idle", async || processor_time_within(pid, window).await <= 5).await;
}
