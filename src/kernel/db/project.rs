//! A name for the project behind a database, by which its nodes know that they belong together.

use sha2::{Digest, Sha256};
use sqlx::Connection;

use super::login::Login;

const DATABASE: &str = "select pg_catalog.concat_ws('/', oid, datname) from pg_catalog.pg_database where datname = current_database()";

/// Not everybody's to read on every server.
const CLUSTER: &str = "select system_identifier::text from pg_catalog.pg_control_system()";

/// The same for whoever asks the same database, also after a failover; another for another database. A copy of the
/// server's files has the name of its original.
pub async fn name(login: &Login) -> Result<String, sqlx::Error> {
    let mut connection = login.connect().await?;
    let database: String = sqlx::query_scalar(DATABASE).fetch_one(&mut connection).await?;
    let cluster: String = match sqlx::query_scalar(CLUSTER).fetch_one(&mut connection).await {
        Ok(cluster) => cluster,
        Err(sqlx::Error::Database(_)) => String::new(),
        Err(error) => return Err(error),
    };
    let _ = connection.close().await;
    let digest = Sha256::digest(format!("{cluster}/{database}"));
    Ok(hex::encode(&digest[..8]))
}
