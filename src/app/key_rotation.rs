//! `goforward keys rotate`: seals what the database holds anew, under the root secret that is configured now.

use sqlx::{Connection, PgConnection};

use crate::app::auth::roots;
use crate::app::commands::existing_secrets;
use crate::app::database::audit_logins;
use crate::app::error::AppError;
use crate::app::policy_commands::owner_of;
use crate::app::reach;
use crate::auth::{Resealed, reseal};
use crate::cli::{ActionError, KeyRotation};
use crate::kernel::config::Config;
use crate::kernel::db::bootstrap::SERVICE_LOGIN;
use crate::kernel::db::login::Login;
use crate::kernel::db::pool;
use crate::kernel::random::Random;
use crate::kernel::secret::Secret;
use crate::kernel::vault::Vault;
use crate::storage::s3::keys;

/// Does it. Servers may run meanwhile, with the same secrets.
pub(super) async fn rotate(config: &Config) -> Result<KeyRotation, ActionError> {
    let random = Random::system();
    let secrets = existing_secrets(config, &random)?;
    let signing = secrets.jwt_secret.clone().unwrap_or_default();
    if signing.is_empty() && config.auth.root_secret.is_none() {
        let why = "set auth.root_secret or auth.jwt_secret, as for the server";
        return Err(AppError::Auth(why.to_owned()).into());
    }
    let vault = roots(&config.auth, &signing).vault()?;
    let (place, owner) = owner_of(config)?;
    let login = keeper_of_accounts(config, owner, secrets.login_password(SERVICE_LOGIN).as_ref()).await;
    let mut connection = reach::connect(&login, &place).await?;
    let resealed = reseal(&mut connection, &vault, &random).await;
    let s3_keys = s3_keys(&mut connection, &vault, &random).await;
    let _ = connection.close().await;
    let mut resealed = resealed?;
    resealed.push(s3_keys?);
    Ok(KeyRotation {
        lines: resealed.iter().map(line).collect(),
        failures: resealed.iter().filter_map(failure).collect(),
    })
}

/// Seals the secrets of the S3 protocol's access keys anew.
async fn s3_keys(
    connection: &mut PgConnection,
    vault: &Vault,
    random: &Random,
) -> Result<Resealed, ActionError> {
    let keys::Resealed { resealed, current, unopened } = keys::reseal(connection, vault, random).await?;
    Ok(Resealed { what: "secrets of S3 access keys", resealed, current, unopened, contended: 0 })
}

/// The login that the server keeps accounts with: an existing schema may be somebody else's than the owner's.
async fn keeper_of_accounts(config: &Config, owner: Login, password: Option<&Secret>) -> Login {
    if config.database.is_embedded() {
        return owner;
    }
    for login in audit_logins(&owner, password) {
        // One that cannot log in is none, whatever the reason: the owner's is told.
        if pool::may_keep_accounts(&login).await.unwrap_or(false) {
            return login;
        }
    }
    owner
}

fn line(done: &Resealed) -> String {
    let Resealed { what, resealed, current, unopened, .. } = done;
    format!("{what}: {resealed} sealed anew, {current} were already, {unopened} open with no key")
}

fn failure(done: &Resealed) -> Option<String> {
    let Resealed { what, unopened, contended, .. } = done;
    if *unopened > 0 {
        let advice = "list the secret that they were sealed under in auth.previous_root_secrets";
        return Some(format!(
            "{unopened} {what} open with no configured key and are left as they are: {advice}"
        ));
    }
    let advice = "servers with other secrets are running: give all the same ones, and run this again";
    (*contended > 0).then(|| format!("{contended} {what} were changed meanwhile: {advice}"))
}
