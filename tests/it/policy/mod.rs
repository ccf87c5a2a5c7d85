//! The rules of tables against real databases: what is stored, what PostgreSQL then enforces, and the command line.

mod command_line;
mod enforcement;
mod filters;
mod grants;
mod nodes;
mod rows;

use std::str::FromStr as _;

use goforward::catalog::load::{LoadOptions, load};
use goforward::catalog::model::{Catalog, QualifiedName};
use goforward::policy::model::TableSecurity;
use goforward::policy::store::{Change, Expected, RuleStore, StoreError, StoredRules};
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

use crate::harness::Database;

/// A table of two users without any protection of its own, and one that tells who is in which team.
const ORDERS: &str = "
    create table orders (id int primary key, owner uuid not null default auth.uid(), team int not null default 1,
                         note text, secret text not null default 's', archived boolean not null default false);
    insert into orders (id, owner, archived) values
        (1, 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', false), (2, 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', true),
        (3, 'bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb', false);
    create table members (team int not null, who uuid not null);
    insert into members values (1, 'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa');
    alter table members enable row level security;
    create policy own on members for select using (who = (select auth.uid()));
    create view order_list as select id, owner, archived from orders";

const ALICE: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
const BOB: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// A store over a database with the tables above.
struct Setup {
    database: Database,
    store: RuleStore,
}

impl Setup {
    async fn new() -> Self {
        let database = Database::create().await;
        database.run(ORDERS).await;
        let store = RuleStore::new(PgConnectOptions::from_str(&database.url()).unwrap().into(), true);
        Self { database, store }
    }

    /// The catalog as it is now.
    async fn catalog(&self) -> Catalog {
        catalog_of(&self.database).await
    }

    async fn put(&self, table: &str, rules: Value) -> Result<StoredRules, StoreError> {
        self.put_if(table, rules, Expected::Any).await
    }

    async fn put_if(&self, table: &str, rules: Value, expected: Expected) -> Result<StoredRules, StoreError> {
        let rules = TableSecurity::parse(rules).unwrap();
        self.store.put(&self.catalog().await, &public(table), &rules, expected, "a test").await
    }

    /// What an apply changes now, in words; no failure is expected.
    async fn applied(&self) -> Vec<String> {
        let applied = self.store.apply(&self.catalog().await, None).await.unwrap();
        assert!(applied.failures.is_empty(), "{:?}", applied.failures);
        words(&applied.changes)
    }

    /// What an apply would change now, in words; no failure is expected.
    async fn planned(&self) -> Vec<String> {
        let planned = self.store.plan(&self.catalog().await, None).await.unwrap();
        assert!(planned.failures.is_empty(), "{:?}", planned.failures);
        words(&planned.changes)
    }

    /// The policies of a table that goforward made.
    async fn own_policies(&self, table: &str) -> Vec<String> {
        let names = self
            .database
            .value(&format!(
                "select string_agg(polname, ' ' order by polname) from pg_policy
                 where polrelid = '{table}'::regclass and polname like 'goforward\\_%'
                   and polname <> 'goforward_service_role'"
            ))
            .await;
        names.split_whitespace().map(str::to_owned).collect()
    }
}

async fn catalog_of(database: &Database) -> Catalog {
    let mut connection = PgConnection::connect(&database.url()).await.unwrap();
    let options = LoadOptions {
        schemas: vec!["public".to_owned()],
        authenticator: Some("authenticator".to_owned()),
        ..LoadOptions::default()
    };
    load(&mut connection, &options, None).await.unwrap()
}

fn public(table: &str) -> QualifiedName {
    QualifiedName::new("public", table)
}

fn words(changes: &[Change]) -> Vec<String> {
    changes.iter().map(ToString::to_string).collect()
}
