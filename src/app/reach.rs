//! Reaches an external database before anything is asked of it: waits for one that is down, and says of one that refuses
//! us what to do.

use std::io::ErrorKind;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::app::error::AppError;
use crate::kernel::db::login::Login;

/// The pause after the first failed attempt; doubled after each further one.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Waits until the database takes connections and gives the server that did; calls `on_failure` at each attempt that
/// fails.
///
/// What no waiting helps against (a wrong password, say) is an error at once.
pub(super) async fn reach(
    login: &Login,
    place: &str,
    mut on_failure: impl FnMut(),
) -> Result<PgConnectOptions, AppError> {
    let (mut pause, mut failures) = (SHORTEST, 0_u32);
    loop {
        let cause = match login.reach().await {
            Ok((server, connection)) => {
                let _ = connection.close().await;
                if failures > 0 {
                    tracing::info!(failures, "the {place} answers");
                }
                return Ok(server.clone());
            }
            Err(error) => match refusal(&error) {
                Some(advice) => return Err(refused(place, &error, advice)),
                None => text_of(&error),
            },
        };
        failures += 1;
        if failures.is_power_of_two() {
            tracing::error!(
                attempts = failures,
                "cannot reach the {place} ({cause}); requests get 503 until it answers"
            );
        }
        on_failure();
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Connects once, for a command that waits for nothing.
pub(super) async fn connect(login: &Login, place: &str) -> Result<PgConnection, AppError> {
    login.connect().await.map_err(|error| match refusal(&error) {
        Some(advice) => refused(place, &error, advice),
        None => AppError::Unreachable { place: place.to_owned(), cause: text_of(&error) },
    })
}

fn refused(place: &str, error: &sqlx::Error, advice: &'static str) -> AppError {
    AppError::Refused { place: place.to_owned(), cause: text_of(error), advice }
}

fn text_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// What to do about an error that stays until somebody does something; `None` where waiting helps.
fn refusal(error: &sqlx::Error) -> Option<&'static str> {
    const TLS: &str =
        "check database.ssl_mode, and database.ssl_root_cert, which names the authorities to trust";
    let code = match error {
        // rustls tells of a certificate that it does not accept as invalid data.
        sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => return Some(TLS),
        sqlx::Error::Tls(_) => return Some(TLS),
        sqlx::Error::Configuration(_) => return Some("check database.url"),
        sqlx::Error::Database(error) => error.code()?,
        _ => return None,
    };
    match &*code {
        "28P01" => Some("check database.user and database.password, or the ones in database.url"),
        "28000" => Some(
            "check database.user and database.ssl_mode, and what the server's access rules (pg_hba.conf) allow",
        ),
        "3D000" => Some("create the database, or check database.name"),
        "42501" => Some("grant the login the right to connect to the database"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_away_by_itself_is_waited_for_and_the_rest_told() {
        let io = |kind| sqlx::Error::Io(std::io::Error::from(kind));

        assert_eq!(refusal(&io(ErrorKind::ConnectionRefused)), None);
        assert_eq!(refusal(&io(ErrorKind::NotFound)), None);
        assert!(refusal(&io(ErrorKind::InvalidData)).is_some());
        assert!(refusal(&sqlx::Error::Tls("no TLS here".into())).is_some());
    }
}
