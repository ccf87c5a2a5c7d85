//! How sqlx logs in where a target names several servers: by the first that answers and is of the wanted kind, chosen
//! anew for every connection, as the wire client does for requests. So what follows the schema follows a failover too.

use std::io;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::target::{SessionAttributes, Target};
use crate::kernel::secret::Secret;

/// One login on one of several servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Login {
    servers: Vec<PgConnectOptions>,
    wanted: SessionAttributes,
    /// The longest that one server may take to let us in.
    timeout: Duration,
}

impl From<PgConnectOptions> for Login {
    fn from(server: PgConnectOptions) -> Self {
        let timeout = Target::DEFAULT_CONNECT_TIMEOUT;
        Self { servers: vec![server], wanted: SessionAttributes::Any, timeout }
    }
}

impl From<&Target> for Login {
    fn from(target: &Target) -> Self {
        Self {
            servers: target.hosts.iter().map(|host| target.to_sqlx(host)).collect(),
            wanted: target.session_attributes,
            timeout: target.connect_timeout,
        }
    }
}

impl Login {
    /// Another user on the same servers.
    #[must_use]
    pub fn as_user(&self, user: &str, password: &Secret) -> Self {
        let server = |server: &PgConnectOptions| server.clone().username(user).password(password.expose());
        Self { servers: self.servers.iter().map(server).collect(), ..self.clone() }
    }

    /// Whether there is more than one server, or a wish about its kind.
    pub fn has_choice(&self) -> bool {
        self.servers.len() > 1 || self.wanted != SessionAttributes::Any
    }

    /// Connects to the first server that answers and fits.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        Ok(self.reach().await?.1)
    }

    /// The server that [`Login::connect`] would connect to now, for those who connect by themselves.
    pub async fn choose(&self) -> Result<PgConnectOptions, sqlx::Error> {
        if let ([only], SessionAttributes::Any) = (self.servers.as_slice(), self.wanted) {
            return Ok(only.clone());
        }
        let (server, connection) = self.reach().await?;
        // It was opened to look only; that it ends badly changes nothing.
        let _ = connection.close().await;
        Ok(server.clone())
    }

    /// The first server that answers and fits, and a connection to it.
    pub async fn reach(&self) -> Result<(&PgConnectOptions, PgConnection), sqlx::Error> {
        match self.first(self.wanted).await {
            Err(_) if self.wanted == SessionAttributes::PreferStandby => {
                self.first(SessionAttributes::Any).await
            }
            outcome => outcome,
        }
    }

    /// The error is that of the last server.
    async fn first(
        &self,
        wanted: SessionAttributes,
    ) -> Result<(&PgConnectOptions, PgConnection), sqlx::Error> {
        let mut last = sqlx::Error::Configuration("no host is named".into());
        for server in &self.servers {
            match tokio::time::timeout(self.timeout, connect_if(server, wanted)).await {
                Ok(Ok(connection)) => return Ok((server, connection)),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, self.no_answer()).into(),
            }
        }
        Err(last)
    }

    fn no_answer(&self) -> String {
        format!("no answer within {:?}", self.timeout)
    }
}

async fn connect_if(
    server: &PgConnectOptions,
    wanted: SessionAttributes,
) -> Result<PgConnection, sqlx::Error> {
    let mut connection = server.connect().await?;
    if wanted == SessionAttributes::Any {
        return Ok(connection);
    }
    let (standby, read_only): (bool, bool) =
        sqlx::query_as("select pg_is_in_recovery(), current_setting('default_transaction_read_only') = 'on'")
            .fetch_one(&mut connection)
            .await?;
    if wanted.fit(standby, read_only) {
        return Ok(connection);
    }
    let _ = connection.close().await;
    Err(io::Error::other("no server among the hosts is of the kind that target_session_attrs asks for")
        .into())
}
