//! Azure's and Google's storage, as far as programs that others made stand for them.
//!
//! Nothing that can be installed here is Google's interface as `object_store` uses it, which is that of S3 with other names for
//! some headers; so moto takes its part.

use std::process::{Child, Command, Stdio};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;

use super::backends::{Moto, answers, nothing_is_left_over, options, program, works};
use super::with;
use crate::harness::{Client, eventually, free_port, now};

/// The account and key of every Azurite.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// The program azurite-blob, Microsoft's emulator, which keeps everything in memory; ended when dropped.
struct Azurite {
    child: Child,
    url: String,
}

impl Azurite {
    /// None where it is not installed; `scripts/test` does that, and says where it is.
    async fn start() -> Option<Self> {
        let program = program("GOFORWARD_TEST_AZURITE", "azurite-blob")?;
        let port = free_port();
        let child = Command::new(program)
            .args(["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"])
            .args(["--blobPort", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut azurite = Self { child, url: format!("http://127.0.0.1:{port}/{ACCOUNT}") };
        answers(&mut azurite.child, &azurite.url).await;
        azurite.make_container("bytes").await;
        Some(azurite)
    }

    /// "Authorize with Shared Key" in the documentation of Azure's storage.
    async fn make_container(&self, name: &str) {
        const DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";
        let date = chrono::DateTime::from_timestamp(now(), 0).unwrap().format(DATE).to_string();
        let head = format!("x-ms-date:{date}\nx-ms-version:2023-11-03");
        let signed = format!("PUT{}{head}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container", "\n".repeat(12));
        let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(KEY).unwrap());
        let signature = STANDARD.encode(hmac::sign(&key, signed.as_bytes()));
        Client::new(self.url.clone())
            .header("x-ms-date", &date)
            .header("x-ms-version", "2023-11-03")
            .header("authorization", &format!("SharedKey {ACCOUNT}:{signature}"))
            .send(Method::PUT, &format!("/{name}?restype=container"), None)
            .await
            .expect_status(201);
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}

async fn holds_the_bytes_and_nothing_else(settings: &[(&'static str, String)]) {
    let app = with(options(settings)).await;
    works(&app).await;
    let rows = "select count(*)::text from goforward.storage_blobs";
    eventually("what was replaced and removed is swept", async || app.database.value(rows).await == "2")
        .await;
    nothing_is_left_over(&app, settings).await;
}

#[tokio::test]
async fn a_container_of_azure_holds_the_bytes_and_nothing_else() {
    let Some(azurite) = Azurite::start().await else { return };
    holds_the_bytes_and_nothing_else(&[
        ("storage.url", "az://bytes/here".to_owned()),
        ("storage.azure.account", ACCOUNT.to_owned()),
        ("storage.azure.access_key", KEY.to_owned()),
        ("storage.azure.endpoint", azurite.url.clone()),
    ])
    .await;
}

#[tokio::test]
async fn a_bucket_of_google_holds_the_bytes_and_nothing_else() {
    let Some(moto) = Moto::start(free_port()).await else { return };
    holds_the_bytes_and_nothing_else(&[
        ("storage.url", "gs://bytes/here".to_owned()),
        ("storage.gcs.endpoint", moto.url.clone()),
    ])
    .await;
}
