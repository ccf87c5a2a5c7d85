//! `goforward s3-keys`: access keys of the S3 protocol, without a server. Running servers notice at once.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::app::auth::roots;
use crate::app::commands::existing_secrets;
use crate::app::error::AppError;
use crate::app::policy_commands::owner_of;
use crate::app::reach;
use crate::cli::{ActionError, S3KeyTask};
use crate::kernel::config::{Config, Loaded};
use crate::kernel::random::Random;
use crate::kernel::vault::Vault;
use crate::storage::s3::keys::{KeyWish, create};
use crate::storage::store::deeds;
use crate::storage::store::s3_keys::{self, StoredKey};

/// Does what the command line asks; gives the text to print.
pub(super) async fn carry_out(loaded: &Loaded, task: S3KeyTask) -> Result<String, ActionError> {
    let (place, owner) = owner_of(&loaded.config)?;
    let random = Random::system();
    let mut connection = reach::connect(&owner, &place).await?;
    let done = run(&mut connection, &loaded.config, &random, task).await;
    let _ = connection.close().await;
    done
}

async fn run(
    connection: &mut PgConnection,
    config: &Config,
    random: &Random,
    task: S3KeyTask,
) -> Result<String, ActionError> {
    match task {
        S3KeyTask::Create { name, role, subject, json } => {
            let subject = subject.map(|subject| ("sub".to_owned(), Value::String(subject)));
            let wish = KeyWish::new(&name, role.as_deref(), Map::from_iter(subject))?;
            let vault = vault(config, random)?;
            let mut transaction = connection.begin().await?;
            let (stored, secret) = create(&mut *transaction, &wish, (&vault, random)).await?;
            let deed = deeds::make_key(Some(&stored.access_key_id), wish.role());
            deed.write_command(&mut *transaction).await?;
            transaction.commit().await?;
            if json {
                let mut shown = json!(stored);
                shown["secret_access_key"] = secret.expose().into();
                return Ok(format!("{shown:#}\n"));
            }
            let id = &stored.access_key_id;
            Ok(format!("Access key id:     {id}\nSecret access key: {} (not shown again)\n", secret.expose()))
        }
        S3KeyTask::List { json } => {
            let keys = s3_keys::list(&mut *connection).await?;
            if json {
                return Ok(format!("{:#}\n", json!(keys)));
            }
            Ok(keys.iter().fold(String::new(), |text, key| text + &line(key)))
        }
        S3KeyTask::Delete { id } => {
            let mut transaction = connection.begin().await?;
            if !s3_keys::remove(&mut *transaction, &id).await? {
                return Err(format!("there is no access key {id}").into());
            }
            deeds::remove_key(&id).write_command(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(format!("{id}: deleted\n"))
        }
    }
}

/// Seals as the server does.
fn vault(config: &Config, random: &Random) -> Result<Vault, ActionError> {
    let signing = existing_secrets(config, random)?.jwt_secret.unwrap_or_default();
    if signing.is_empty() && config.auth.root_secret.is_none() {
        let why = "set auth.root_secret or auth.jwt_secret, as for the server";
        return Err(AppError::Auth(why.to_owned()).into());
    }
    Ok(roots(&config.auth, &signing).vault()?)
}

/// A key in one line.
fn line(key: &StoredKey) -> String {
    let claim = |name: &str| key.claims.get(name).and_then(Value::as_str);
    let mut text = format!("{}: {}", key.access_key_id, claim("role").unwrap_or_default());
    // Writing to a String cannot fail.
    let _ = claim("sub").map_or(Ok(()), |subject| write!(text, " {subject}"));
    let _ = write!(text, ", made {}", key.created_at.format("%Y-%m-%d"));
    if !key.name.is_empty() {
        let _ = write!(text, ", {}", key.name);
    }
    text + "\n"
}
