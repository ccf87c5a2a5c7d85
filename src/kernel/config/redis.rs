//! Configuration of Redis, by which several nodes work as one.

use std::path::PathBuf;

use super::schema::section;
use crate::kernel::secret::Secret;

section! {
    /// Redis (6 or later), optional: carries messages between nodes and counts rate limits for all of them.
    pub struct RedisConfig {
        /// Where it is, as in `redis://user:password@host:6379/0`, `rediss://…` with TLS, or `unix:///path`; also read from
        /// `REDIS_URL`. Without it messages between nodes go through PostgreSQL, and each node counts rate limits for itself.
        pub url: Option<Secret> = None;
        /// What tells this project from others in the same Redis: the same on all of its nodes. Unless set, it follows from the
        /// identity of the database, which a copy of the database's files shares.
        pub prefix: Option<String> = None;
        /// File with the certificates (PEM) of the authorities to trust with `rediss://`; well-known ones unless set.
        pub ssl_root_cert: Option<PathBuf> = None;
    }
}
