//! What a database server is known by, and a name for the project behind a database, by which its nodes know that they belong
//! together.

use aws_lc_rs::hmac;
use sha2::{Digest, Sha256};
use sqlx::Connection;
use sqlx::postgres::PgExecutor;

use super::login::Login;
use crate::kernel::vault::RootSecrets;

/// The label of the key by which a name that may not be the only one is made one's own.
const PURPOSE: &str = "project name";

const DATABASE: &str = "select pg_catalog.concat_ws('/', oid, datname) from pg_catalog.pg_database where datname = current_database()";

/// Not everybody's to read on every server.
const CLUSTER: &str = "select system_identifier from pg_catalog.pg_control_system()";

/// What a server's files have been known by since they were made, on standbys and copies too. None where it does not say.
pub async fn cluster(connection: impl PgExecutor<'_>) -> Result<Option<i64>, sqlx::Error> {
    match sqlx::query_scalar(CLUSTER).fetch_one(connection).await {
        Ok(cluster) => Ok(Some(cluster)),
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The same for whoever asks the same database, also after a failover; another for another database. A copy of the
/// server's files has the name of its original. Where the server does not say what it is known by, databases of two servers
/// could be alike: there the name follows from the secret of the nodes, too.
pub async fn name(login: &Login, roots: Option<&RootSecrets>) -> Result<String, sqlx::Error> {
    let mut connection = login.connect().await?;
    let database: String = sqlx::query_scalar(DATABASE).fetch_one(&mut connection).await?;
    let cluster = cluster(&mut connection).await?;
    let _ = connection.close().await;
    Ok(name_of(cluster, &database, roots))
}

fn name_of(cluster: Option<i64>, database: &str, roots: Option<&RootSecrets>) -> String {
    let name = match (cluster, roots) {
        (Some(cluster), _) => Sha256::digest(format!("{cluster}/{database}")).to_vec(),
        (None, Some(roots)) => {
            hmac::sign(roots.mac_keys(PURPOSE).current(), database.as_bytes()).as_ref().to_vec()
        }
        (None, None) => Sha256::digest(format!("/{database}")).to_vec(),
    };
    hex::encode(&name[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::secret::Secret;

    fn roots(text: &str) -> RootSecrets {
        RootSecrets::new(&Secret::new(text), &[])
    }

    #[test]
    fn a_known_server_tells_its_databases_from_those_of_others_whatever_the_secret() {
        let (one, two) = (roots("one"), roots("two"));
        let name = name_of(Some(7), "5/postgres", Some(&one));
        assert_eq!(name, name_of(Some(7), "5/postgres", Some(&two)));
        assert_eq!(name, name_of(Some(7), "5/postgres", None));
        assert_ne!(name, name_of(Some(8), "5/postgres", Some(&one)));
        assert_ne!(name, name_of(Some(7), "6/postgres", Some(&one)));
    }

    #[test]
    fn where_the_server_is_unknown_only_those_with_the_same_secret_meet() {
        let name = |secret: &str, database: &str| name_of(None, database, Some(&roots(secret)));
        assert_eq!(name("one", "5/postgres"), name("one", "5/postgres"));
        assert_ne!(name("one", "5/postgres"), name("two", "5/postgres"));
        assert_ne!(name("one", "5/postgres"), name("one", "6/postgres"));
        assert_ne!(name("one", "5/postgres"), name_of(None, "5/postgres", None));
    }
}
