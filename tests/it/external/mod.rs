//! A PostgreSQL of somebody else's: its own logins and passwords, TLS, no superuser for us, outages, a small budget, and
//! a network between us and it.
//!
//! Each test has a PostgreSQL of its own ([`Postgres`]), since these rules are about a whole server.

mod budget;
mod failover;
mod frozen;
mod full_disk;
mod network;
mod outages;
mod proxy;
mod reached;
mod tls;
mod without_superuser;

use crate::harness::{Client, Options, Postgres, Server};

/// A signing secret, so that keys can be told without asking the server.
const SECRET: &str = "a signing secret that only these tests know about";

/// A table that everybody reads, and one whose rows belong to users.
const NOTES: &str = "create table notes (id int primary key, text text not null);
    alter table notes enable row level security;
    create policy reading on notes for select using (true);
    insert into notes values (1, 'first'), (2, 'second');
    create table diaries (id int primary key, owner uuid not null, text text not null);
    alter table diaries enable row level security;
    create policy own on diaries to authenticated using (owner = auth.uid()) with check (owner = auth.uid());
    insert into diaries values (1, 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', 'dear'), (2, 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb', 'diary')";

/// Options for a server on this database, with the secret.
fn on(url: &str) -> Options {
    Options::default().database(url).set("auth.jwt_secret", SECRET)
}

/// A client with a key of the server.
fn anon(server: &Server) -> Client {
    Client::new(server.url()).apikey(&server.keys().anon_key)
}

/// A client with the key that passes row-level security.
fn service(server: &Server) -> Client {
    Client::new(server.url()).apikey(&server.keys().service_role_key)
}
