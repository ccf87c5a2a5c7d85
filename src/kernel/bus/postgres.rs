//! The bus over PostgreSQL: for projects without Redis, and for few messages.
//!
//! What waits is one transaction, and between two transactions there is a pause: PostgreSQL lets one transaction with
//! notifications commit at a time, so that writers who notify somebody (realtime's, too) would wait for us.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::carrier::{self, Carrier, Link};
use super::frame::Said;
use super::{NodeId, Seal, Station, metrics};
use crate::kernel::db::bus::{BusConnection, CHANNEL, Heard};
use crate::kernel::db::login::Login;
use crate::kernel::random::Random;

/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(5);

/// Between two looks for rows that can go.
const TIDY: Duration = Duration::from_secs(30);

/// Joins the nodes of a database on a connection of its own, until `stop`. Before there is a connection, and while there is
/// none, nothing arrives and nothing goes out. Without a seal everybody who may use the database is believed.
pub fn start(
    login: Login,
    seal: Option<Seal>,
    random: &Random,
    (tracker, stop): (&TaskTracker, CancellationToken),
) -> Arc<Station> {
    let station = Station::new(NodeId::random(random), "postgres", Instant::now()).sealed(seal);
    let station = Arc::new(station);
    let carrier = PostgresCarrier { login, random: random.clone() };
    tracker.spawn(carrier::run(Arc::clone(&station), carrier, random.clone(), stop));
    station
}

struct PostgresCarrier {
    login: Login,
    random: Random,
}

struct PostgresLink {
    connection: BusConnection,
    station: Arc<Station>,
    rests_until: Instant,
    tidied_at: Instant,
}

impl Carrier for PostgresCarrier {
    type Link = PostgresLink;

    async fn connect(&self, station: &Arc<Station>) -> Result<PostgresLink, sqlx::Error> {
        let sender = u64::from_be_bytes(self.random.bytes());
        let mut connection = BusConnection::open(&self.login, sender).await?;
        // What nodes that are gone have left.
        connection.forget_rows().await?;
        let now = Instant::now();
        Ok(PostgresLink { connection, station: Arc::clone(station), rests_until: now, tidied_at: now })
    }
}

impl Link for PostgresLink {
    type Error = sqlx::Error;
    type Notice = Heard;

    async fn next(&mut self) -> Result<Heard, sqlx::Error> {
        self.connection.hear().await
    }

    async fn take(&mut self, heard: Heard) -> Result<(), sqlx::Error> {
        let frame = match heard {
            Heard::Frame(frame) => Some(frame),
            Heard::Row(row) => self.connection.fetch(row).await?,
            Heard::Own => {
                self.station.hear_itself();
                None
            }
            Heard::Nonsense => {
                metrics::ignored();
                None
            }
        };
        if let Some(frame) = frame {
            self.station.hear(CHANNEL, frame.into(), Instant::now());
        }
        Ok(())
    }

    async fn send(&mut self, frames: Vec<Said>) -> Result<(), sqlx::Error> {
        sleep_until(self.rests_until).await;
        let frames = frames.iter().filter_map(|said| self.station.write(CHANNEL, said));
        self.connection.send(frames).await?;
        self.rests_until = Instant::now() + PAUSE;
        Ok(())
    }

    async fn tidy(&mut self) -> Result<(), sqlx::Error> {
        if self.connection.has_written_rows() && self.tidied_at.elapsed() >= TIDY {
            self.tidied_at = Instant::now();
            self.connection.forget_rows().await?;
        }
        Ok(())
    }

    async fn close(self) {
        self.connection.close().await;
    }
}
