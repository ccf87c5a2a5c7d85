//! Storage over HTTP, on the real executable; the ids are those of the list of threats.

mod access;
mod backends;
mod bodies;
mod clamd;
mod clouds;
mod downloads;
mod encryption;
pub mod fsck;
mod functions;
mod images;
mod listing;
mod names;
mod objects;
mod overwriting;
mod owners;
mod prefixes;
mod purging;
mod quotas;
mod receiver;
mod references;
mod s3;
mod scanning;
mod signed;
mod sql;
mod sweeping;
mod threats;
mod thumbnails;
mod traversal;
mod tus;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Client, Options, TestApp};

/// The buckets that most tests use: one that only policies open, and one that everybody may read.
pub const POLICIES: &str = "
    create policy own_read on storage.objects for select to authenticated using (owner_id = auth.uid()::text);
    create policy own_write on storage.objects for insert to authenticated with check (owner_id = auth.uid()::text);
    create policy own_change on storage.objects for update to authenticated using (owner_id = auth.uid()::text);
    create policy own_remove on storage.objects for delete to authenticated using (owner_id = auth.uid()::text);";

/// A server with the buckets `private` and `public`, where users have their own objects.
pub async fn start() -> TestApp {
    with(Options::default()).await
}

/// The same with these settings.
pub async fn with(options: Options) -> TestApp {
    let app = TestApp::with(options).await;
    app.database.run(POLICIES).await;
    for (name, public) in [("private", false), ("public", true)] {
        app.service()
            .post("/storage/v1/bucket", json!({ "name": name, "public": public }))
            .await
            .expect_status(200)
            .expect_json(&json!({ "name": name }));
    }
    app
}

/// Uploads text.
pub async fn upload(client: &Client, path: &str, bytes: impl Into<reqwest::Body>) -> Answer {
    client.send_text(Method::POST, &format!("/storage/v1/object/{path}"), "text/plain", bytes).await
}

/// What an error says of itself: the status in the body, and the code.
pub fn refusal(answer: &Answer) -> (u16, String, String) {
    let body: Value = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("statusCode"), text("code"))
}
