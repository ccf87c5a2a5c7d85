//! A connection by which nodes tell each other things: `NOTIFY`, and a table for what is too large for that.
//!
//! PostgreSQL lets one transaction with notifications commit at a time, in the whole cluster. So many frames are one
//! transaction, which does not wait for the disk (`synchronous_commit = off`).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sqlx::PgPool;
use sqlx::postgres::{PgListener, PgNotification, PgPoolOptions};

use super::login::Login;

/// The channel of all nodes on a database.
pub const CHANNEL: &str = "goforward_bus";

/// The largest frame that goes into a notification: less than 8000 bytes after encoding.
const MOST_IN_NOTIFICATION: usize = 5_997;

/// How long a larger frame is kept: longer than a node that is there may take to read it.
pub const KEPT: Duration = Duration::from_secs(15);

/// Whether a frame goes by a row.
pub fn needs_row(frame: &[u8]) -> bool {
    frame.len() > MOST_IN_NOTIFICATION
}

/// How long to wait for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);

const SETTINGS: &str = "set synchronous_commit = off; set application_name = 'goforward bus'";

const SEND: &str = "select pg_catalog.pg_notify($1, said) from unnest($2::text[]) as said";

const SEND_WITH_ROWS: &str = "
with kept as (
    insert into goforward.bus_messages (sender, number, frame)
    select $3, number, frame from unnest($4::bigint[], $5::bytea[]) as large (number, frame)
)
select pg_catalog.pg_notify($1, said) from unnest($2::text[]) as said";

const FETCH: &str = "select frame from goforward.bus_messages where sender = $1 and number = $2";

const FORGET: &str = "
delete from goforward.bus_messages where kept_at < clock_timestamp() - make_interval(secs => $1)";

/// A connection that listens and sends. It never connects again by itself: what is missed meanwhile must not go unnoticed.
#[derive(Debug)]
pub struct BusConnection {
    listener: PgListener,
    pool: PgPool,
    /// Tells its rows from those of others.
    sender: u64,
    /// The number of the last row that this connection wrote.
    number: u64,
}

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// A frame.
    Frame(Vec<u8>),
    /// A frame that this connection sent, in a row.
    Own,
    /// A frame of another node, in a row.
    Row(Row),
    /// Nothing that a node has said.
    Nonsense,
}

/// Where a large frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    sender: u64,
    number: u64,
}

impl BusConnection {
    /// Connects and listens. `sender` is a random number.
    pub async fn open(login: &Login, sender: u64) -> Result<Self, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE)
            .max_lifetime(None)
            .idle_timeout(None)
            .after_connect(|connection, _| {
                Box::pin(async move { sqlx::raw_sql(SETTINGS).execute(connection).await.map(drop) })
            })
            .connect_lazy_with(login.choose().await?);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(Self { listener, pool, sender, number: 0 })
    }

    /// The next thing that is heard. Dropping the future loses nothing.
    pub async fn hear(&mut self) -> Result<Heard, sqlx::Error> {
        let notification = self.listener.try_recv().await?;
        let lost = || sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        Ok(self.read(&notification.ok_or_else(lost)?))
    }

    /// The frame in a row of another node; none where it is gone by now.
    pub async fn fetch(&mut self, row: Row) -> Result<Option<Vec<u8>>, sqlx::Error> {
        sqlx::query_scalar(FETCH)
            .bind(row.sender.cast_signed())
            .bind(row.number.cast_signed())
            .fetch_optional(&mut self.listener)
            .await
    }

    /// Sends frames to every node that listens, this one among them, in their order, all or none.
    pub async fn send(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) -> Result<(), sqlx::Error> {
        let (mut said, mut numbers, mut large) = (Vec::new(), Vec::new(), Vec::new());
        for frame in frames {
            if !needs_row(&frame) {
                said.push(STANDARD.encode(&frame));
                continue;
            }
            self.number += 1;
            said.push(Row { sender: self.sender, number: self.number }.to_string());
            numbers.push(self.number.cast_signed());
            large.push(frame);
        }
        let query = if large.is_empty() {
            sqlx::query(SEND).bind(CHANNEL).bind(said)
        } else {
            let query = sqlx::query(SEND_WITH_ROWS).bind(CHANNEL).bind(said);
            query.bind(self.sender.cast_signed()).bind(numbers).bind(large)
        };
        query.execute(&mut self.listener).await.map(drop)
    }

    /// Removes the rows of all nodes that everybody has read by now.
    pub async fn forget_rows(&mut self) -> Result<(), sqlx::Error> {
        sqlx::query(FORGET).bind(KEPT.as_secs_f64()).execute(&mut self.listener).await.map(drop)
    }

    /// Ends it.
    pub async fn close(self) {
        drop(self.listener);
        self.pool.close().await;
    }

    fn read(&self, notification: &PgNotification) -> Heard {
        let payload = notification.payload();
        if let Some(row) = Row::parse(payload) {
            return if row.sender == self.sender { Heard::Own } else { Heard::Row(row) };
        }
        STANDARD.decode(payload).map_or(Heard::Nonsense, Heard::Frame)
    }
}

impl Row {
    /// `#sender/number`, which no base64 is.
    fn parse(text: &str) -> Option<Self> {
        let (sender, number) = text.strip_prefix('#')?.split_once('/')?;
        Some(Self { sender: u64::from_str_radix(sender, 16).ok()?, number: number.parse().ok()? })
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{:016x}/{}", self.sender, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_in_text() {
        let row = Row { sender: u64::MAX, number: 12 };
        assert_eq!(Row::parse(&row.to_string()), Some(row));
        for wrong in ["", "#", "#/", "#1", "#x/1", "#1/-1", "AAAA"] {
            assert_eq!(Row::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_largest_frame_of_a_notification_fits() {
        assert!(STANDARD.encode(vec![0; MOST_IN_NOTIFICATION]).len() < 8_000);
        assert!(STANDARD.encode(vec![0; MOST_IN_NOTIFICATION + 3]).len() >= 8_000);
    }
}
