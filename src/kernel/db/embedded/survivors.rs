//! PostgreSQL processes that outlived their starter: found, and stopped before a new server starts.
//!
//! After a crash of ours the server lives on; its log goes nowhere then, so it is stopped in order and started anew
//! rather than adopted. After a kill of the postmaster its children linger for a moment and hold the shared memory.
//! A process counts only if it is called `postgres` and works in the cluster's directory, so that a reused process
//! number in a stale lock file never makes us signal a stranger.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::error::EmbeddedError;
use super::pidfile;

/// Time for a fast shutdown, which writes a checkpoint.
const FAST: Duration = Duration::from_mins(1);
/// Time for an immediate one.
const IMMEDIATE: Duration = Duration::from_secs(5);
/// Time in which children without a postmaster end by themselves.
const ORPHANS: Duration = Duration::from_millis(300);
const STEP: Duration = Duration::from_millis(5);

/// Stops whatever runs on the cluster; `true` if there was something.
pub(super) async fn stop(cluster: &Path) -> Result<bool, EmbeddedError> {
    let found = processes(cluster);
    if found.is_empty() {
        clear_stale_lock(cluster);
        return Ok(false);
    }
    let postmaster = pidfile::read(cluster).map(|file| file.pid).filter(|pid| found.contains(pid));
    if let Some(pid) = postmaster {
        tracing::warn!(pid, "stopping a PostgreSQL that an earlier goforward left running");
        signal(cluster, pid, Signal::INT)?;
        if !wait_gone(cluster, FAST).await {
            signal(cluster, pid, Signal::QUIT)?;
        }
    }
    // A backend that was started just before counts as well, hence the look at all of them.
    if !wait_gone(cluster, ORPHANS).await {
        for kind in [Signal::QUIT, Signal::KILL] {
            for pid in processes(cluster) {
                signal(cluster, pid, kind)?;
            }
            if wait_gone(cluster, IMMEDIATE).await {
                break;
            }
        }
    }
    if let Some(pid) = processes(cluster).first() {
        return Err(still_running(cluster, *pid, "it does not react"));
    }
    clear_stale_lock(cluster);
    Ok(true)
}

/// Tells the server to end at once; does not wait.
pub(super) fn quit(cluster: &Path) {
    let found = processes(cluster);
    if let Some(pid) = pidfile::read(cluster).map(|file| file.pid).filter(|pid| found.contains(pid))
        && let Err(error) = signal(cluster, pid, Signal::QUIT)
    {
        tracing::warn!(%error, "PostgreSQL is left running");
    }
}

/// Removes a lock file whose server is gone: its number may be in use again by a process of the same account, and
/// PostgreSQL would then refuse to start.
#[cfg(target_os = "linux")]
fn clear_stale_lock(cluster: &Path) {
    let _ = std::fs::remove_file(cluster.join("postmaster.pid"));
}

/// Elsewhere the look at the processes is not sure enough; PostgreSQL decides by itself.
#[cfg(not(target_os = "linux"))]
fn clear_stale_lock(_cluster: &Path) {}

fn signal(cluster: &Path, pid: i32, kind: Signal) -> Result<(), EmbeddedError> {
    let Some(process) = Pid::from_raw(pid) else { return Ok(()) };
    match kill_process(process, kind) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(still_running(cluster, pid, &error.to_string())),
    }
}

fn still_running(cluster: &Path, pid: i32, reason: &str) -> EmbeddedError {
    EmbeddedError::StillRunning { path: cluster.to_owned(), pid, reason: reason.to_owned() }
}

/// Whether all are gone within `limit`.
async fn wait_gone(cluster: &Path, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while !processes(cluster).is_empty() {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(STEP).await;
    }
    true
}

/// The PostgreSQL processes whose working directory is the cluster, postmaster and children.
#[cfg(target_os = "linux")]
pub(super) fn processes(cluster: &Path) -> Vec<i32> {
    let Ok(cluster) = std::fs::canonicalize(cluster) else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let path = entry.path();
        let works_there = std::fs::read_link(path.join("cwd")).is_ok_and(|directory| directory == cluster);
        let is_postgres =
            || std::fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "postgres");
        if works_there && is_postgres() {
            found.push(pid);
        }
    }
    found
}

/// The postmaster of the lock file, if a process of that number exists and is a `postgres`.
#[cfg(not(target_os = "linux"))]
pub(super) fn processes(cluster: &Path) -> Vec<i32> {
    let Some(file) = pidfile::read(cluster) else { return Vec::new() };
    let asked = std::process::Command::new("ps").args(["-o", "comm=", "-p", &file.pid.to_string()]).output();
    match asked {
        Ok(answer) if String::from_utf8_lossy(&answer.stdout).trim().ends_with("postgres") => vec![file.pid],
        _ => Vec::new(),
    }
}
