//! Every way to log in, with and without TLS.

use super::*;
use crate::kernel::db::target::{Host, SslMode};
use crate::kernel::secret::Secret;

fn tcp(user: &str, password: &str, ssl_mode: SslMode) -> Target {
    let mut target = Target::new(Host::new("127.0.0.1", Cluster::shared().port), user, "postgres");
    target.password = Some(Secret::new(password));
    target.ssl_mode = ssl_mode;
    target
}

const SHOW: &str = "select current_user || ' ' || (select ssl from pg_stat_ssl where pid = pg_backend_pid())";

async fn show(target: Target) -> Result<String, DbError> {
    Running::start(target, small()).cell(SHOW).await
}

#[tokio::test]
async fn every_method_logs_in_and_a_wrong_password_does_not() {
    for user in ["md5_user", "scram_user", "clear_user", "tls_user"] {
        let seen = show(tcp(user, "pw", SslMode::Prefer)).await.unwrap();
        assert_eq!(seen, format!("{user} true"));
        assert!(matches!(show(tcp(user, "wrong", SslMode::Prefer)).await, Err(DbError::Unavailable(_))));
        assert!(matches!(show(tcp(user, "", SslMode::Prefer)).await, Err(DbError::Unavailable(_))));
    }
    assert_eq!(show(tcp("scram_user", "pw", SslMode::Disable)).await.unwrap(), "scram_user false");
    assert_eq!(show(tcp("md5_user", "pw", SslMode::Disable)).await.unwrap(), "md5_user false");
}

#[tokio::test]
async fn a_password_never_travels_in_the_clear() {
    assert!(matches!(show(tcp("clear_user", "pw", SslMode::Disable)).await, Err(DbError::Unavailable(_))));
}

#[tokio::test]
async fn allow_uses_tls_only_where_the_server_insists() {
    assert_eq!(show(tcp("scram_user", "pw", SslMode::Allow)).await.unwrap(), "scram_user false");
    assert_eq!(show(tcp("tls_user", "pw", SslMode::Allow)).await.unwrap(), "tls_user true");
}

#[tokio::test]
async fn verification_needs_the_authority_and_the_name() {
    let root = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(Cluster::shared().folder.join("data/server.crt"), root.path()).unwrap();
    let with_root = |mode, host: &str| {
        let mut target = tcp("tls_user", "pw", mode);
        target.hosts = vec![Host::new(host, Cluster::shared().port)];
        target.ssl_root_cert = Some(root.path().to_owned());
        target
    };
    for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
        assert_eq!(show(with_root(mode, "127.0.0.1")).await.unwrap(), "tls_user true", "{mode:?}");
    }
    // Another name for the same server, which its certificate does not have.
    assert_eq!(show(with_root(SslMode::VerifyCa, "127.0.0.1")).await.unwrap(), "tls_user true");
    assert!(show(with_root(SslMode::VerifyFull, "0.0.0.0")).await.is_err());
    assert_eq!(show(tcp("tls_user", "pw", SslMode::Require)).await.unwrap(), "tls_user true");
    assert!(show(tcp("tls_user", "pw", SslMode::VerifyCa)).await.is_err(), "nobody public vouches for it");
}

#[tokio::test]
async fn a_query_over_tls_is_cancelled_over_tls() {
    let lanes =
        Running::start(tcp("tls_user", "pw", SslMode::Require), LaneConfig { max_connections: 1, ..small() });
    let pid = lanes.cell("select pg_backend_pid()").await.unwrap();
    let call = lanes.run(write("select pg_sleep(60)"));
    assert!(tokio::time::timeout(Duration::from_millis(100), call).await.is_err());
    assert_eq!(lanes.cell("select pg_backend_pid()").await.unwrap(), pid);
}

#[tokio::test]
async fn hosts_are_tried_in_order_until_one_is_of_the_wanted_kind() {
    let mut target = Cluster::shared().target("postgres");
    target.hosts.insert(0, Host::new("/nowhere", 5432));
    target.session_attributes = crate::kernel::db::target::SessionAttributes::ReadWrite;
    assert_eq!(show(target.clone()).await.unwrap(), "postgres false");
    target.session_attributes = crate::kernel::db::target::SessionAttributes::Standby;
    assert!(show(target.clone()).await.is_err());
    target.session_attributes = crate::kernel::db::target::SessionAttributes::PreferStandby;
    assert!(show(target).await.is_ok());
}
