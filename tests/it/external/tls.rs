//! TLS towards PostgreSQL, with the meaning that libpq gives the modes.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::{NOTES, Postgres, SECRET, anon, on};
use crate::harness::{Server, run_command};

/// An authority's certificate, and what it signed for `localhost`: certificate and key. All in PEM.
struct Certificates {
    authority: String,
    certificate: String,
    key: String,
}

fn certificates() -> Certificates {
    let authority_key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(parameters, authority_key);
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &issuer).unwrap().pem();
    Certificates { authority, certificate, key: key.serialize_pem() }
}

/// Takes logins by TLS only.
fn postgres(certificates: &Certificates) -> Postgres {
    let files =
        [("server.crt", certificates.certificate.as_str()), ("server.key", certificates.key.as_str())];
    Postgres::with(&["ssl=on"], "hostssl all all all scram-sha-256\n", &files)
}

/// How the API's own connections are protected, told by the API itself.
const HOW: &str = "create function how() returns text language sql stable security definer as $$
    select string_agg(distinct ssl::text, ',') from pg_stat_ssl join pg_stat_activity using (pid)
    where usename = 'authenticator' $$";

#[tokio::test]
async fn a_server_is_accepted_as_far_as_the_mode_asks() {
    let certificates = certificates();
    let postgres = postgres(&certificates);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.crt");
    std::fs::write(&root, &certificates.authority).unwrap();
    let root = root.to_str().unwrap();
    let by_address = postgres.url();
    let by_name = by_address.replace("127.0.0.1", "localhost");

    for (url, mode, with_root) in [
        (&by_address, "prefer", false),
        (&by_address, "require", false),
        (&by_address, "require", true),
        (&by_address, "verify-ca", true),
        (&by_name, "verify-full", true),
    ] {
        let mut options = on(url).set("database.ssl_mode", mode);
        if with_root {
            options = options.set("database.ssl_root_cert", root);
        }
        let mut server = Server::start(options).await;
        if mode == "prefer" {
            Postgres::run_as(&postgres.url(), HOW).await;
            Postgres::run_as(&postgres.url(), NOTES).await;
        }
        crate::harness::eventually("the function", async || {
            anon(&server).get("/rest/v1/rpc/how").await.status == 200
        })
        .await;
        assert_eq!(anon(&server).get("/rest/v1/rpc/how").await.text(), "\"true\"", "{mode}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_stop_leaves_no_connection_open_even_while_some_are_being_opened() {
    let postgres = postgres(&certificates());
    let url = postgres.url();

    for round in 0..6 {
        let mut server = Server::start(on(&url).set("database.ssl_mode", "require")).await;
        if round == 0 {
            postgres.run(NOTES).await;
        }
        let client = anon(&server);
        let is_there = async || client.get("/rest/v1/notes?select=id").await.status == 200;
        crate::harness::eventually("the table", is_there).await;
        // More at once than there are connections: others are being opened when the last is answered.
        let path = "/rest/v1/notes?select=text";
        let answers = tokio::join!(client.get(path), client.get(path), client.get(path), client.get(path));
        assert_eq!(answers.3.status, 200);
        // Its open connections would be waited for, and what is being opened would be open by then.
        drop(client);

        let status = server.stop().await;

        assert!(status.success(), "{status}");
        let log = server.log();
        assert!(!log.contains("tasks that have not stopped"), "{log}");
    }
}

#[test]
fn a_server_that_is_not_who_it_should_be_is_refused_at_the_start() {
    let certificates = certificates();
    let postgres = postgres(&certificates);
    let folder = tempfile::tempdir().unwrap();
    let (root, other) = (folder.path().join("root.crt"), folder.path().join("other.crt"));
    std::fs::write(&root, &certificates.authority).unwrap();
    std::fs::write(&other, self::certificates().authority).unwrap();
    let (root, other) = (root.to_str().unwrap(), other.to_str().unwrap());
    let url = postgres.url();

    for (mode, trusted) in [
        ("disable", ""),       // pg_hba.conf takes TLS only
        ("verify-full", root), // the certificate names localhost, not 127.0.0.1
        ("verify-ca", other),  // another authority
        ("require", other),    // as libpq: with authorities given, they count
        ("verify-full", ""),   // not signed by any well-known authority
    ] {
        let mut environment = vec![
            ("DATABASE_URL", url.as_str()),
            ("GOFORWARD_AUTH__JWT_SECRET", SECRET),
            ("GOFORWARD_DATABASE__SSL_MODE", mode),
        ];
        if !trusted.is_empty() {
            environment.push(("GOFORWARD_DATABASE__SSL_ROOT_CERT", trusted));
        }
        let output = run_command(&["serve", "--port", "0", "--host", "127.0.0.1"], &environment);

        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{mode} {trusted}: {text}");
        let last = text.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && last.contains("ssl_mode"), "{mode} {trusted}: {text}");
    }
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let postgres = Postgres::start();
    let url = format!("{}?sslmode=require", postgres.url());
    let environment = [("DATABASE_URL", url.as_str()), ("GOFORWARD_AUTH__JWT_SECRET", SECRET)];

    let output = run_command(&["serve", "--port", "0", "--host", "127.0.0.1"], &environment);

    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("ssl_mode"), "{text}");
}
