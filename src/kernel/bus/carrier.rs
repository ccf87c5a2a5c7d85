//! Keeps a node connected to what carries the bus: connects again and again, sends what waits, hears what comes, and lets
//! time pass.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::frame::Said;
use super::{Bus, Station};
use crate::kernel::pauses::Pauses;
use crate::kernel::random::Random;

/// The longest that connecting, or sending a batch, may take; then the connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest that what waits is sent for at the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// The first and the longest pause between two attempts to connect.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How often the station looks at the clock.
const TICK: Duration = Duration::from_secs(1);
/// Most frames, and about the most bytes, that are sent at once.
const BATCH: (usize, usize) = (512, 1024 * 1024);

/// How to connect to what carries messages.
pub(super) trait Carrier: Send + Sync + 'static {
    /// A connection.
    type Link: Link;

    /// Connects, so that everything that is said by others from then on is heard.
    fn connect(
        &self,
        station: &Arc<Station>,
    ) -> impl Future<Output = Result<Self::Link, <Self::Link as Link>::Error>> + Send;
}

/// A connection that carries messages.
pub(super) trait Link: Send {
    /// Why it is lost. Says no secret.
    type Error: Display + Send;
    /// What comes.
    type Notice: Send;

    /// The next thing that comes. Dropping the future loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<Self::Notice, Self::Error>> + Send;

    /// Hands what came to the station.
    fn take(&mut self, notice: Self::Notice) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Sends frames in their order.
    fn send(&mut self, frames: Vec<Said>) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Once a second, while nothing else is done.
    fn tidy(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Ends it in order.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Why a connection ended.
enum End<E> {
    Stopped,
    Lost(E),
    /// Sending or connecting took too long, or the node does not hear itself.
    Silent,
}

impl<E> From<E> for End<E> {
    fn from(error: E) -> Self {
        Self::Lost(error)
    }
}

/// Carries messages until `stop`, then says good-bye.
pub(super) async fn run<C: Carrier>(
    station: Arc<Station>,
    carrier: C,
    random: Random,
    stop: CancellationToken,
) {
    let mut pauses = Pauses::new(PAUSE.0, PAUSE.1, &random);
    while !stop.is_cancelled() {
        let end = attend(&station, &carrier, &mut pauses, &stop).await;
        station.disconnected(Instant::now());
        let name = station.status().carrier;
        let why = match end {
            End::Stopped => break,
            End::Lost(error) => error.to_string(),
            End::Silent => "no answer in time".to_owned(),
        };
        if pauses.taken() == 0 {
            tracing::warn!(
                carrier = name,
                "messages to other nodes are held up until it answers again: {why}"
            );
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = wait(&station, pauses.take()) => {}
        }
    }
    station.close();
}

/// Sits out a pause, in which silent nodes are forgotten all the same.
async fn wait(station: &Station, pause: Duration) {
    tokio::time::sleep(pause).await;
    station.tick(Instant::now());
}

/// Connects and carries until that ends.
async fn attend<C: Carrier>(
    station: &Arc<Station>,
    carrier: &C,
    pauses: &mut Pauses,
    stop: &CancellationToken,
) -> End<<C::Link as Link>::Error> {
    let connecting = timeout(PATIENCE, carrier.connect(station));
    let connected = tokio::select! {
        () = stop.cancelled() => return End::Stopped,
        connected = connecting => connected,
    };
    let mut link = match connected {
        Ok(Ok(link)) => link,
        Ok(Err(error)) => return End::Lost(error),
        Err(_) => return End::Silent,
    };
    station.connected(Instant::now());
    let end = tokio::select! {
        () = stop.cancelled() => End::Stopped,
        end = async { let Err(end) = carry(station, &mut link, pauses).await; end } => end,
    };
    if matches!(end, End::Stopped) {
        station.say_bye();
        let farewell = async {
            while send(station, &mut link).await? {}
            link.close().await;
            Ok::<(), End<<C::Link as Link>::Error>>(())
        };
        // Whoever does not hear it notices by the silence.
        let _ = timeout(FAREWELL, farewell).await;
    }
    end
}

/// Carries until the connection ends; it may be dropped at any time.
async fn carry<L: Link>(
    station: &Arc<Station>,
    link: &mut L,
    pauses: &mut Pauses,
) -> Result<Infallible, End<L::Error>> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = Instant::now();
                station.tick(now);
                if station.is_deaf(now) {
                    return Err(End::Silent);
                }
                if pauses.taken() > 0 && station.hears_itself() {
                    pauses.end();
                    tracing::info!(carrier = station.status().carrier, "messages to other nodes go on");
                }
                timeout(PATIENCE, link.tidy()).await.map_err(|_| End::Silent)??;
            }
            notice = link.next() => {
                timeout(PATIENCE, link.take(notice?)).await.map_err(|_| End::Silent)??;
            }
            () = station.something_waits() => {
                send(station, link).await?;
            }
        }
    }
}

/// Sends a batch; says whether there was one.
async fn send<L: Link>(station: &Station, link: &mut L) -> Result<bool, End<L::Error>> {
    let frames = station.outgoing(BATCH.0, BATCH.1);
    if frames.is_empty() {
        return Ok(false);
    }
    timeout(PATIENCE, link.send(frames)).await.map_err(|_| End::Silent)??;
    Ok(true)
}
