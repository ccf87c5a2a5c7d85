//! Seals what is stored anew, after the root secret was replaced (`goforward keys rotate`).
//!
//! Each batch is one conditional statement: a value that a running server changes meanwhile stays as the server wants it,
//! and a run that was killed has done its share. What no key opens is left as it is.

use sqlx::postgres::PgConnection;

use super::mfa::{TOTP_SECRET, totp::TotpSecret};
use super::outbox::SEALED_FOR;
use super::state::PROVIDER_TOKEN;
use super::store::sealed::{Held, Place, Replacement, page, replace, see_every_row};
use crate::kernel::random::Random;
use crate::kernel::vault::Vault;

/// How often what servers have changed meanwhile is looked at again.
const MOST_PASSES: usize = 5;

/// What became of the values in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resealed {
    /// What they are.
    pub what: &'static str,
    /// Those that were sealed anew.
    pub resealed: u64,
    /// Those that the current key had sealed already.
    pub current: u64,
    /// Those that no key opens.
    pub unopened: u64,
    /// Those that were changed or removed by others each time.
    pub contended: u64,
}

/// Why it went no further. What was done until then is done.
#[derive(Debug, thiserror::Error)]
pub enum ResealError {
    /// The database refused.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The vault refused to seal.
    #[error(transparent)]
    Vault(#[from] crate::kernel::vault::VaultError),
}

/// Seals every stored value anew that another key than the vault's current one sealed.
pub async fn reseal(
    connection: &mut PgConnection,
    vault: &Vault,
    random: &Random,
) -> Result<Vec<Resealed>, ResealError> {
    see_every_row(connection).await?;
    let mut all = Vec::new();
    for place in Place::ALL {
        let mut total = pass(connection, place, (vault, random)).await?;
        for _ in 1..MOST_PASSES {
            if total.contended == 0 {
                break;
            }
            let again = pass(connection, place, (vault, random)).await?;
            let resealed = total.resealed + again.resealed;
            total = Resealed { resealed, current: again.current.saturating_sub(total.resealed), ..again };
        }
        all.push(total);
    }
    Ok(all)
}

/// Looks at every value of a place once.
async fn pass(
    connection: &mut PgConnection,
    place: Place,
    (vault, random): (&Vault, &Random),
) -> Result<Resealed, ResealError> {
    let mut total = Resealed { what: what(place), resealed: 0, current: 0, unopened: 0, contended: 0 };
    let mut after = None;
    loop {
        let (held, may_be_more) = page(connection, place, after.as_deref()).await?;
        after = held.last().map(|last| last.id.clone());
        let mut replacements = Vec::new();
        for held in held {
            if !vault.needs_reseal(&held.value) {
                total.current += 1;
            } else if let Some(plain) = open(vault, place, &held) {
                let value = vault.seal(purpose(place), &held.bound_to, &plain, random.bytes())?;
                replacements.push(Replacement { held, value });
            } else {
                total.unopened += 1;
            }
        }
        if !replacements.is_empty() {
            let replaced = replace(connection, place, &replacements).await?;
            total.resealed += replaced;
            total.contended += (replacements.len() as u64).saturating_sub(replaced);
        }
        if !may_be_more {
            return Ok(total);
        }
    }
}

fn open(vault: &Vault, place: Place, held: &Held) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    if place == Place::TotpSecrets && Vault::key_id_of(&held.value).is_none() {
        let secret = TotpSecret::parse(&held.value)?.base32();
        return Some(secret.expose().as_bytes().to_vec().into());
    }
    vault.open(purpose(place), &held.bound_to, &held.value).ok()
}

fn purpose(place: Place) -> &'static str {
    match place {
        Place::TotpSecrets => TOTP_SECRET,
        Place::ProviderAccessTokens | Place::ProviderRefreshTokens => PROVIDER_TOKEN,
        Place::Letters => SEALED_FOR,
    }
}

fn what(place: Place) -> &'static str {
    match place {
        Place::TotpSecrets => "secrets of authenticator apps",
        Place::ProviderAccessTokens => "access tokens of identity providers",
        Place::ProviderRefreshTokens => "refresh tokens of identity providers",
        Place::Letters => "mails and messages in the queue",
    }
}
