//! What goes wrong on the command line is one line on the standard error that says what to do, and an exit code.

use std::net::TcpListener;
use std::process::Output;

use crate::harness::{Options, Server, free_port, run_command};

const SECRET: (&str, &str) = ("GOFORWARD_AUTH__JWT_SECRET", "0123456789abcdef0123456789abcdef");

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.starts_with("error: ") && text.trim_end().lines().count() == 1, "one line: {text}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

#[test]
fn wrong_usage_names_the_nearest_flag() {
    refused(&run_command(&["serve", "--prot", "80"], &[]), 2, &["'--prot'", "'--port'", "--help"]);
    refused(&run_command(&["srve"], &[]), 2, &["'serve'", "--help"]);
}

#[test]
fn a_file_that_is_not_there_or_not_right_is_named() {
    refused(&run_command(&["serve", "--config", "absent.yaml"], &[]), 1, &["absent.yaml", "cannot be read"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, "server:\n  host: a\n  prot: 1\n").unwrap();
    let output = run_command(&["serve", "--config", path.to_str().unwrap()], &[]);
    refused(&output, 1, &["config.yaml:3: unknown key `server.prot`; did you mean `server.port`?"]);
}

#[test]
fn a_port_that_is_taken_is_told_before_anything_is_made() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");

    let output = run_command(&["serve", "--port", &port, "--data-dir", data.to_str().unwrap()], &[]);

    refused(&output, 1, &["cannot listen on 127.0.0.1:", &port, "--port"]);
    assert!(!data.exists(), "no data directory was made");
}

#[test]
fn a_database_url_that_is_none_is_told_without_its_password() {
    for url in ["mysql://u:hidden-word@h/d", "postgres://u:hidden-word@h:port/d", "hidden-word"] {
        for command in [&["serve", "--port", "0"][..], &["doctor"]] {
            let output = run_command(command, &[("DATABASE_URL", url), SECRET]);
            refused(&output, 1, &["database.url"]);
            assert!(!String::from_utf8_lossy(&output.stderr).contains("hidden-word"), "{output:?}");
        }
    }
}

#[test]
fn a_database_that_is_not_there_is_told_by_doctor() {
    let output = run_command(&["doctor"], &[("DATABASE_URL", "postgres://u@127.0.0.1:1/d")]);

    refused(&output, 1, &["127.0.0.1"]);
}

#[tokio::test]
async fn health_tells_a_ready_server_from_one_that_is_not_there() {
    let admin = free_port();
    let server = Server::start(Options::default().admin(admin)).await;
    for port in [("GOFORWARD_SERVER__PORT", server.port()), ("GOFORWARD_SERVER__ADMIN_PORT", admin)] {
        let output = run_command(&["health"], &[(port.0, &port.1.to_string())]);
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(0), &b"ready\n"[..]),
            "{output:?}"
        );
    }

    let output = run_command(&["health"], &[("GOFORWARD_SERVER__PORT", &free_port().to_string())]);
    refused(&output, 1, &["no server answers at 127.0.0.1:"]);
}

#[test]
fn a_server_that_listens_everywhere_is_named_as_this_machine_reaches_it() {
    for (host, url) in [("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://[::1]:8000")] {
        let environment = [("DATABASE_URL", "postgres://u@h/d"), SECRET, ("GOFORWARD_SERVER__HOST", host)];
        let output = run_command(&["keys"], &environment);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.lines().next(), Some(&*format!("api_url           {url}")), "{output:?}");
    }
}

#[test]
fn keys_of_a_directory_that_has_none_say_how_to_make_them() {
    let output = run_command(&["keys", "--data-dir", "nowhere"], &[]);

    refused(&output, 1, &["nowhere", "goforward serve"]);
}
