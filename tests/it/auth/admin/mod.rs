//! What servers do with the secret key: accounts, links, roles, block lists, mails, records.

mod access;
mod blocklists;
mod deletion;
mod factors;
mod links;
mod lists;
mod records;
mod roles;
mod settings;
mod templates;
mod users;

use reqwest::Method;
use serde_json::Value;

use super::speaking;
use crate::harness::{Answer, Client, TestApp};

/// A client with the service key.
fn admin(app: &TestApp) -> Client {
    speaking(app.service())
}

/// A body to any path of the service.
async fn put(client: &Client, path: &str, body: Value) -> Answer {
    client.send(Method::PUT, &format!("/auth/v1{path}"), Some(body)).await
}

/// A DELETE with a body.
async fn delete(client: &Client, path: &str, body: Value) -> Answer {
    client.send(Method::DELETE, &format!("/auth/v1{path}"), Some(body)).await
}

/// A POST to a path of the service.
async fn post(client: &Client, path: &str, body: Value) -> Answer {
    client.post(&format!("/auth/v1{path}"), body).await
}

/// A GET of a path of the service.
async fn get(client: &Client, path: &str) -> Answer {
    client.get(&format!("/auth/v1{path}")).await
}

/// An account that an administrator makes; its id.
async fn make(app: &TestApp, fields: Value) -> String {
    let made = post(&admin(app), "/admin/users", fields).await.expect_status(200).json();
    made["id"].as_str().unwrap().to_owned()
}
