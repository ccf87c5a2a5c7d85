//! Turns secrets that an existing database brought along in the clear into what we keep of them: refresh tokens into
//! digests, secrets of authenticator apps into sealed ones.
//!
//! Runs at every start, before anybody is served: a token is looked up by its digest, and a session whose tokens were
//! half in the one and half in the other form would show theft where there is none. The rows of a batch are locked in the
//! order of their ids, so nodes that start together take turns, and none starts to serve before all is done.

use sqlx::PgPool;
use uuid::Uuid;

use super::mfa;
use super::mfa::totp::TotpSecret;
use super::state::Parts;
use super::store::factors;
use super::store::imported::{self, PlainToken};
use super::token::refresh::Imported;
use crate::kernel::db::pool;

/// Rows of one transaction.
const BATCH: i64 = 1000;

/// Converts what is there; nothing where all is converted.
pub async fn convert_imported(parts: &Parts) -> Result<(), ImportError> {
    let tokens = hash_refresh_tokens(&parts.pool).await?;
    if tokens > 0 {
        tracing::info!(tokens, "imported refresh tokens are kept as digests from now on");
    }
    let secrets = seal_factor_secrets(parts).await?;
    if secrets > 0 {
        tracing::info!(secrets, "imported secrets of second factors are encrypted from now on");
    }
    Ok(())
}

/// Why the start fails.
#[derive(Debug, thiserror::Error)]
#[error("what the database brought along cannot be converted: {0}")]
pub struct ImportError(String);

impl From<sqlx::Error> for ImportError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.to_string())
    }
}

async fn hash_refresh_tokens(pool: &PgPool) -> Result<usize, sqlx::Error> {
    let (mut total, mut last) = (0, i64::MIN);
    loop {
        let mut transaction = pool::begin(pool).await?;
        let plain = imported::lock_plain_tokens(&mut transaction, last, BATCH).await?;
        let Some(end) = plain.last() else { return Ok(total) };
        last = end.id;
        total += plain.len();
        let hashed: Vec<PlainToken> = plain.into_iter().map(hashed).collect();
        imported::put_tokens(&mut transaction, &hashed).await?;
        transaction.commit().await?;
    }
}

/// A row with digests in place of its tokens.
fn hashed(row: PlainToken) -> PlainToken {
    let stored = |token: String| {
        if token.is_empty() || Imported::is_stored_form(&token) {
            token
        } else {
            Imported::stored_form(&token)
        }
    };
    PlainToken { id: row.id, token: row.token.map(stored), parent: row.parent.map(stored) }
}

async fn seal_factor_secrets(parts: &Parts) -> Result<usize, ImportError> {
    let (mut total, mut last) = (0, Uuid::nil());
    loop {
        let mut transaction = pool::begin(&parts.pool).await?;
        let plain = imported::lock_plain_secrets(&mut transaction, last, BATCH).await?;
        let Some((end, _)) = plain.last() else { return Ok(total) };
        last = *end;
        for (factor, secret) in plain {
            let Some(secret) = TotpSecret::parse(&secret) else { continue };
            let sealed = mfa::seal(parts, factor, &secret).map_err(|error| ImportError(error.to_string()))?;
            factors::set_secret(&mut transaction, factor, &sealed).await?;
            total += 1;
        }
        transaction.commit().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(token: &str, parent: Option<&str>) -> PlainToken {
        PlainToken { id: 1, token: Some(token.to_owned()), parent: parent.map(str::to_owned) }
    }

    #[test]
    fn a_token_and_its_parent_become_digests_once() {
        let once = hashed(row("abcdefghij12", Some("zyxwvutsrq98")));

        let stored = |text: &str| Imported::parse(text).unwrap().stored();
        assert_eq!(once, row(&stored("abcdefghij12"), Some(&stored("zyxwvutsrq98"))));
        assert_eq!(hashed(once.clone()), once);
    }

    #[test]
    fn no_parent_stays_none_and_tokens_of_an_older_form_become_digests_too() {
        assert_eq!(hashed(row("", Some(""))), row("", Some("")));
        let old = hashed(row("Zm9vYmFyYmF6cXV4cXV1eA", None));
        assert!(Imported::is_stored_form(old.token.as_deref().unwrap()));
        assert_eq!(old.parent, None);
    }
}
