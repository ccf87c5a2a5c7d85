//! Makes the cluster with `initdb`: under a temporary name first, so that an interruption leaves nothing half made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::binaries::Installation;
use super::error::{EmbeddedError, NEW_CLUSTER_MB, io_error};
use super::home::{Home, set_mode, write_private};
use super::settings::{self, Sizing};
use crate::kernel::secret::Secret;

/// From this major version on PostgreSQL has a Unicode locale of its own, the same on every machine.
const FIRST_WITH_BUILTIN_LOCALE: u32 = 17;
const CONF: &str = "goforward.conf";

/// The major version of the cluster, or `None` where there is none yet.
pub(super) fn major(cluster: &Path) -> Result<Option<u32>, EmbeddedError> {
    match fs::read_to_string(cluster.join("PG_VERSION")) {
        Ok(text) => match text.trim().parse() {
            Ok(major) => Ok(Some(major)),
            Err(_) => Err(EmbeddedError::NotACluster { path: cluster.to_owned() }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let holds_something = fs::read_dir(cluster).is_ok_and(|mut entries| entries.next().is_some());
            if holds_something {
                Err(EmbeddedError::NotACluster { path: cluster.to_owned() })
            } else {
                Ok(None)
            }
        }
        Err(error) => Err(io_error("read", cluster)(error)),
    }
}

/// Makes the cluster.
pub(super) async fn create(
    home: &Home,
    programs: &Installation,
    password: &Secret,
    is_durable: bool,
    cancel: &CancellationToken,
) -> Result<(), EmbeddedError> {
    let part = home.path.join("postgres.part");
    let password_file = home.path.join("initdb-password");
    let mut attempts = [Some("C.UTF-8"), Some("C")].into_iter().flatten();
    let made = loop {
        let Some(locale) = attempts.next() else {
            break Err(EmbeddedError::Initdb { message: "the machine has no locale C.UTF-8".to_owned() });
        };
        if part.exists() {
            fs::remove_dir_all(&part).map_err(io_error("remove", &part))?;
        }
        home.create_owned(&part)?;
        write_private(&password_file, password.expose().as_bytes(), home.account.as_ref())?;
        let mut command = initdb(home, programs, &part, &password_file, locale);
        if !is_durable {
            command.arg("--no-sync");
        }
        match run(command, &home.path, cancel).await {
            // Machines without glibc's C.UTF-8; ASCII-only case mapping is the price.
            Err(EmbeddedError::Initdb { message })
                if locale == "C.UTF-8" && message.contains("locale name") => {}
            other => break other,
        }
    };
    let _ = fs::remove_file(&password_file);
    if let Err(error) = made {
        let _ = fs::remove_dir_all(&part);
        return Err(error);
    }
    include_our_settings(home, &part)?;
    let cluster = home.cluster();
    if cluster.exists() {
        // Empty, as `major` has seen.
        fs::remove_dir(&cluster).map_err(io_error("replace", &cluster))?;
    }
    fs::rename(&part, &cluster).map_err(io_error("create", &cluster))?;
    sync_directory(&home.path)
}

fn initdb(
    home: &Home,
    programs: &Installation,
    target: &Path,
    password_file: &Path,
    locale: &str,
) -> Command {
    let mut command = as_account(&programs.bin.join("initdb"), home.account.as_ref());
    command
        .args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"])
        .arg(format!("--locale={locale}"))
        .arg("-D")
        .arg(target)
        .arg("--pwfile")
        .arg(password_file)
        .current_dir(&home.path)
        .stdin(Stdio::null());
    if programs.version.major >= FIRST_WITH_BUILTIN_LOCALE {
        command.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]);
    }
    command
}

async fn run(mut command: Command, home: &Path, cancel: &CancellationToken) -> Result<(), EmbeddedError> {
    let output = command.kill_on_drop(true).output();
    let output = tokio::select! {
        () = cancel.cancelled() => return Err(EmbeddedError::Cancelled),
        output = output => output.map_err(io_error("run initdb in", home))?,
    };
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(explain(&text, home))
}

/// Finds the reason in what `initdb` said.
fn explain(text: &str, home: &Path) -> EmbeddedError {
    if text.contains("No space left on device") {
        return EmbeddedError::NoSpace { path: home.to_owned(), needed_mb: NEW_CLUSTER_MB };
    }
    if text.contains("could not look up effective user ID") {
        return EmbeddedError::NamelessUser { uid: rustix::process::geteuid().as_raw() };
    }
    if text.contains("Permission denied") {
        return EmbeddedError::Permission { action: "make a database in", path: home.to_owned() };
    }
    let is_clean_up =
        |line: &&str| line.contains("removing data directory") || line.contains("removing contents");
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_clean_up(line)).collect();
    let last = &lines[lines.len().saturating_sub(4)..];
    EmbeddedError::Initdb { message: last.join(" | ") }
}

/// Appended to `postgresql.conf`; what `ALTER SYSTEM` writes is read later and wins.
fn include_our_settings(home: &Home, cluster: &Path) -> Result<(), EmbeddedError> {
    let path = cluster.join("postgresql.conf");
    let mut text = fs::read_to_string(&path).map_err(io_error("read", &path))?;
    text.push_str("\ninclude_if_exists = '");
    text.push_str(CONF);
    text.push_str("'\n");
    write_private(&path, text.as_bytes(), home.account.as_ref())
}

/// Writes the settings that are derived anew at every start.
pub(super) fn write_settings(
    home: &Home,
    sizing: &Sizing,
    own: &BTreeMap<String, String>,
) -> Result<(), EmbeddedError> {
    let path = home.cluster().join(CONF);
    write_private(&path, (sizing.render() + &settings::render_own(own)?).as_bytes(), home.account.as_ref())
}

/// Hands an existing cluster to the account and closes it to others, as PostgreSQL demands.
pub(super) fn adjust_owner(home: &Home) -> Result<(), EmbeddedError> {
    let cluster = home.cluster();
    home.give_tree(&cluster)?;
    let mode = fs::metadata(&cluster).map_err(io_error("read", &cluster))?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777;
    // 0700 and 0750 are what it accepts.
    if matches!(mode, 0o700 | 0o750) { Ok(()) } else { set_mode(&cluster, 0o700) }
}

fn sync_directory(directory: &Path) -> Result<(), EmbeddedError> {
    let failed = || io_error("write", directory);
    fs::File::open(directory).map_err(failed())?.sync_all().map_err(failed())
}

/// A command that runs as the account, in its own process group, with nothing of our environment.
pub(super) fn as_account(program: &Path, account: Option<&Account>) -> Command {
    let mut command = Command::new(program);
    // Its own group, so that ^C on the terminal reaches only us: we stop it in order.
    command.env_clear().env("TZ", "UTC").env("PATH", "/usr/local/bin:/usr/bin:/bin").process_group(0);
    command.env("LC_ALL", if cfg!(target_os = "linux") { "C.UTF-8" } else { "C" });
    if let Some(account) = account {
        // Run by root, `uid` also drops the supplementary groups.
        command.gid(account.gid).uid(account.uid);
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_other_things_is_not_taken_for_a_cluster() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(major(&directory.path().join("missing")).unwrap(), None);
        assert_eq!(major(directory.path()).unwrap(), None);

        fs::write(directory.path().join("notes"), "mine").unwrap();
        assert!(matches!(major(directory.path()), Err(EmbeddedError::NotACluster { .. })));

        fs::write(directory.path().join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(major(directory.path()).unwrap(), Some(15));
    }

    #[test]
    fn the_reasons_of_initdb_become_errors_that_say_what_to_do() {
        let home = Path::new("/data");
        let said = |text| explain(text, home);
        assert!(matches!(
            said("initdb: error: could not write: No space left on device"),
            EmbeddedError::NoSpace { .. }
        ));
        assert!(matches!(
            said("initdb: error: could not look up effective user ID 4711: user does not exist"),
            EmbeddedError::NamelessUser { .. }
        ));
        assert!(matches!(
            said("could not access directory: Permission denied"),
            EmbeddedError::Permission { .. }
        ));
        let other = said("initdb: error: strange\ninitdb: removing contents of data directory\n");
        assert_eq!(other.to_string(), "initdb failed: initdb: error: strange");
    }
}
