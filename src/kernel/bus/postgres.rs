//! The bus over PostgreSQL: for projects without Redis, and for few messages.
//!
//! What waits is one transaction, and between two transactions there is a pause: PostgreSQL lets one transaction with
//! notifications commit at a time, so that writers who notify somebody (realtime's, too) would wait for us.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::allowance::Allowance;
use super::carrier::{self, Carrier, Link};
use super::frame::Said;
use super::{NodeId, Station, Terms, metrics};
use crate::kernel::db::bus::{BusConnection, CHANNEL, Heard, KEPT, needs_row};
use crate::kernel::db::login::Login;
use crate::kernel::random::Random;

/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(5);

/// Between two looks for rows that can go, while there may be some.
const TIDY: Duration = Duration::from_secs(5);

/// Joins the nodes of a database on a connection of its own, until `stop`. Before there is a connection, and while there is
/// none, nothing arrives and nothing goes out.
pub fn start(
    login: Login,
    terms: Terms,
    random: &Random,
    (tracker, stop): (&TaskTracker, CancellationToken),
) -> Arc<Station> {
    let now = Instant::now();
    let station = Arc::new(Station::new(NodeId::random(random), "postgres", now).on(terms));
    let allowance = Arc::new(Mutex::new(Allowance::full(now)));
    let carrier = PostgresCarrier { login, random: random.clone(), allowance };
    tracker.spawn(carrier::run(Arc::clone(&station), carrier, random.clone(), stop));
    station
}

struct PostgresCarrier {
    login: Login,
    random: Random,
    /// What may still go by rows: not more because connections come and go.
    allowance: Arc<Mutex<Allowance>>,
}

struct PostgresLink {
    connection: BusConnection,
    station: Arc<Station>,
    allowance: Arc<Mutex<Allowance>>,
    rests_until: Instant,
    /// When there may have been a new row last, of whatever node: it may be gone before it has removed its own. None once
    /// all are old.
    rows_at: Option<Instant>,
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
        Ok(PostgresLink {
            connection,
            station: Arc::clone(station),
            allowance: Arc::clone(&self.allowance),
            rests_until: now,
            rows_at: Some(now),
            tidied_at: now,
        })
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
            Heard::Row(row) => {
                self.rows_at = Some(Instant::now());
                self.connection.fetch(row).await?
            }
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
        let frames = self.frames(&frames);
        let writes_rows = frames.iter().any(|frame| needs_row(frame));
        self.connection.send(frames).await?;
        let now = Instant::now();
        self.rests_until = now + PAUSE;
        if writes_rows {
            self.rows_at = Some(now);
        }
        Ok(())
    }

    async fn tidy(&mut self) -> Result<(), sqlx::Error> {
        let Some(rows_at) = self.rows_at.filter(|_| self.tidied_at.elapsed() >= TIDY) else {
            return Ok(());
        };
        self.tidied_at = Instant::now();
        let are_all_old = rows_at.elapsed() > KEPT;
        self.connection.forget_rows().await?;
        if are_all_old {
            self.rows_at = None;
        }
        Ok(())
    }

    async fn close(self) {
        self.connection.close().await;
    }
}

impl PostgresLink {
    /// What goes out. Of large messages only as much as may be: who misses one notices by the numbers of those that follow.
    fn frames(&self, frames: &[Said]) -> Vec<Vec<u8>> {
        let mut allowance = self.allowance.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fits = |frame: &Vec<u8>| {
            let fits = !needs_row(frame) || allowance.take(frame.len(), Instant::now());
            if !fits {
                metrics::dropped("too_much", 1);
            }
            fits
        };
        let written = frames.iter().filter_map(|said| self.station.write(CHANNEL, said));
        written.filter(|frame| fits(frame)).collect()
    }
}
