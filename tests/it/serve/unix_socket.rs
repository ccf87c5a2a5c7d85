//! The server on a Unix socket in place of a port.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::harness::{Database, Options, TestApp, free_port, run_command};
use crate::rest::SHOP;

/// A server that is asked on its admin listener whether it is ready.
async fn app_on(socket: &Path) -> TestApp {
    let database = Database::create().await;
    database.run(SHOP).await;
    let options = Options::default()
        .admin(free_port())
        .set("server.unix_socket", socket.to_str().unwrap())
        .set("server.unix_socket_mode", "600");
    TestApp::on(database, options).await
}

/// Everything that comes back for a GET.
async fn get(socket: &Path, path: &str, key: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\napikey: {key}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_unix_socket_takes_the_place_of_the_port_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("goforward.sock");
    // What an ended server has left behind is replaced.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());

    let mut app = app_on(&socket).await;

    let answer = get(&socket, "/rest/v1/products?select=id&id=eq.1", &app.server.keys().anon_key).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("[{\"id\":1}]"), "{answer}");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(TcpStream::connect(("127.0.0.1", app.server.port())).await.is_err());
    assert!(app.server.log().contains(&format!("unix:{}", socket.display())), "{}", app.server.log());

    assert!(app.server.stop().await.success());
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_socket_that_is_answered_on_and_a_file_that_is_none_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("goforward.sock");
    let file = folder.path().join("notes.txt");
    fs::write(&file, "precious").unwrap();
    let mut app = app_on(&socket).await;

    for path in [&socket, &file] {
        let url = app.database.url();
        let environment = [
            ("DATABASE_URL", url.as_str()),
            ("GOFORWARD_AUTH__JWT_SECRET", "a signing secret that only these tests know about"),
            ("GOFORWARD_SERVER__UNIX_SOCKET", path.to_str().unwrap()),
        ];
        let output = run_command(&["serve"], &environment);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("server.unix_socket"), "{text}");
    }

    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let key = app.server.keys().anon_key;
    assert!(get(&socket, "/rest/v1/products?select=id", &key).await.starts_with("HTTP/1.1 200"));
    app.server.signal(Signal::TERM);
    app.server.ended().await;
}
