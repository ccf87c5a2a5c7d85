//! What is decided without PostgreSQL, beside what PostgreSQL says: random and written policies and filters over random
//! rows and claims.

mod filters;
mod policies;

use std::sync::Arc;

use goforward::realtime::changes::predicate::{Claims, Predicate, Reach};
use goforward::realtime::changes::value::{Column, TypeFacts};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::harness::{Database, Walk};

/// A table of all types that are decided and some that are not. `answer` tells what a condition says of a row image for
/// a caller: `true`, `false`, `null`, or `error`.
const TABLE: &str = r#"
    create type mood as enum ('sad', 'ok', 'it''s');
    create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create table items (
        id uuid, owner uuid, b boolean, i2 smallint, i4 integer, i8 bigint, t text, v varchar(20), ci text collate "C",
        posix text collate "POSIX", english text collate "en-x-icu", folded text collate folded, nullable text, mood mood, n numeric, tags text[], c char(3), at timestamptz
    );
    create function answer(condition text, claims text, image jsonb) returns text language plpgsql as $$
    declare
        said text;
    begin
        perform set_config('request.jwt.claims', claims, true);
        execute format('select coalesce((%s)::text, ''null'') from jsonb_populate_record(null::public.items, $1) items',
                       condition)
            into said using image;
        return said;
    exception when others then
        return 'error';
    end $$;
    create function printed(condition text) returns text language plpgsql as $$
    declare
        text text;
    begin
        execute format('create policy it on public.items for select using (%s)', condition);
        perform set_config('search_path', '', true);
        select pg_get_expr(polqual, polrelid) into strict text from pg_catalog.pg_policy where polname = 'it';
        perform set_config('search_path', 'public', true);
        drop policy it on public.items;
        return text;
    end $$;"#;

/// Policies as people write them, all of which are understood.
const WRITTEN: [&str; 34] = [
    "true",
    "auth.uid() = owner",
    "(select auth.uid()) = owner",
    "auth.uid() is not null and auth.uid() = owner",
    "owner = auth.uid() or auth.role() = 'service_role'",
    "(select auth.role()) in ('authenticated', 'anon')",
    "auth.uid() in (id, owner)",
    "auth.uid()::text = t",
    "t = (select auth.uid())::text",
    "auth.jwt() ->> 'team' = v",
    "(auth.jwt() ->> 'org')::uuid = id",
    "(select auth.jwt() ->> 'org')::uuid = id",
    "(auth.jwt() -> 'app' ->> 'team') = t",
    "(auth.jwt() #>> '{app,team}') = t",
    "(auth.jwt() #> '{app}') ->> 'team' = t",
    "(auth.jwt() ->> 'admin')::boolean",
    "(auth.jwt() ->> 'admin')::boolean is true",
    "(auth.jwt() -> 'app' -> 'admin')::boolean is not true",
    "(current_setting('request.jwt.claims', true)::json ->> 'sub')::uuid = owner",
    "(select current_setting('request.jwt.claims', true)::jsonb -> 'app' ->> 'team') = t",
    "b is not false",
    "not b",
    "i4 between -3 and 1",
    "i2 = any('{1,2}') or i8 = any(array[1, 5000000000])",
    "v in ('a', 'b') and v not in ('b', 'c')",
    "t = any('{a,b}')",
    "(i4, t) = (1, 'a')",
    "mood = 'sad'",
    "mood::text in ('sad', 'it''s')",
    "'sad' <> mood",
    "ci < 'b' and posix = 'a' and english = t",
    "t < 'b' collate \"C\"",
    "n is null or tags is not null or at is null",
    "(owner = auth.uid()) is true and (t = 'a') = (i4 = 1)",
];

struct Setup {
    connection: PgConnection,
    columns: Vec<Column>,
    _database: Database,
}

#[derive(sqlx::FromRow)]
struct ColumnRow {
    name: String,
    type_name: String,
    oid: i64,
    class: String,
    category: String,
    collation: i64,
    is_deterministic: bool,
}

impl Setup {
    async fn new() -> Self {
        let database = Database::create().await;
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        connection.execute(AssertSqlSafe(TABLE)).await.unwrap();
        let rows: Vec<ColumnRow> = sqlx::query_as(
            "select a.attname::text as name, t.typname::text as type_name, t.oid::bigint as oid, t.typtype::text as class,
                    t.typcategory::text as category, a.attcollation::bigint as collation,
                    coalesce(c.collisdeterministic, true) as is_deterministic
             from pg_attribute a join pg_type t on t.oid = a.atttypid left join pg_collation c on c.oid = a.attcollation
             where a.attrelid = 'public.items'::regclass and a.attnum > 0",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let columns = rows.iter().map(ColumnRow::column).collect();
        Self { connection, columns, _database: database }
    }

    /// The conditions as PostgreSQL prints them.
    async fn printed(&mut self, conditions: &[String]) -> Vec<String> {
        sqlx::query_scalar("select printed(c) from unnest($1) with ordinality u (c, place) order by place")
            .bind(conditions)
            .fetch_all(&mut self.connection)
            .await
            .unwrap()
    }

    /// What PostgreSQL says in each case.
    async fn answers(&mut self, cases: &[Case<'_>]) -> Vec<String> {
        let conditions: Vec<&str> = cases.iter().map(|case| case.condition).collect();
        let text = |fields| serde_json::to_string(fields).unwrap();
        let claims: Vec<String> = cases.iter().map(|case| text(case.claims)).collect();
        let images: Vec<String> = cases.iter().map(|case| text(case.image)).collect();
        sqlx::query_scalar(
            "select answer(e, c, i::jsonb) from unnest($1::text[], $2::text[], $3::text[])
             with ordinality u (e, c, i, place) order by place",
        )
        .bind(conditions)
        .bind(claims)
        .bind(images)
        .fetch_all(&mut self.connection)
        .await
        .unwrap()
    }
}

/// What PostgreSQL is asked.
struct Case<'a> {
    condition: &'a str,
    claims: &'a Map<String, Value>,
    image: &'a Map<String, Value>,
}

impl ColumnRow {
    fn column(&self) -> Column {
        let first = |text: &str| text.chars().next().unwrap();
        let facts = TypeFacts {
            oid: u32::try_from(self.oid).unwrap(),
            class: first(&self.class),
            category: first(&self.category),
            collation: u32::try_from(self.collation).unwrap(),
            is_deterministic: self.is_deterministic,
        };
        Column::new(&self.name, &self.type_name, facts)
    }
}

fn word(answer: Option<bool>) -> &'static str {
    match answer {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    }
}

/// How many conditions, and how many rows and callers for each.
const CONDITIONS: usize = 160;
const CASES: usize = 25;

#[tokio::test]
async fn a_policy_that_is_understood_says_what_postgresql_says() {
    let mut setup = Setup::new().await;
    let mut walk = Walk::new();
    let mut conditions: Vec<String> = WRITTEN.iter().map(|text| (*text).to_owned()).collect();
    conditions.extend((0..CONDITIONS).map(|_| policies::condition(&mut walk, 3)));
    let printed = setup.printed(&conditions).await;

    let (mut decided, mut shown) = (0, 0);
    for (written, text) in conditions.iter().zip(&printed) {
        let predicate = Predicate::parse(text, &setup.columns);
        let predicate = predicate.unwrap_or_else(|| panic!("not understood: {written}\nprinted: {text}"));
        let inputs: Vec<_> =
            (0..CASES).map(|_| (policies::claims(&mut walk), policies::image(&mut walk))).collect();
        let cases: Vec<_> =
            inputs.iter().map(|(claims, image)| Case { condition: text, claims, image }).collect();
        for (said, (claims, image)) in setup.answers(&cases).await.iter().zip(&inputs) {
            let seed = walk.seed();
            let told = format!("{text}\n{claims:?}\n{image:?}\nGOFORWARD_TEST_SEED={seed}");
            let caller = Claims::new(Arc::new(claims.clone()));
            match predicate.evaluate(image, &caller) {
                Ok(answer) => {
                    assert_eq!(word(answer), said, "{told}");
                    decided += 1;
                }
                // PostgreSQL may get by without the part that can fail.
                Err(_) => continue,
            }
            if said == "true" {
                shown += 1;
                let reach = predicate.equality_key().map(|key| (key.of_image(image), key.reach(&caller)));
                if let Some((value, reach)) = reach
                    && reach != Some(Reach::Every)
                {
                    assert_eq!(value.unwrap().map(Reach::Value), reach, "{told}");
                    assert!(reach.is_some(), "{told}");
                }
            }
        }
    }

    let all = conditions.len() * CASES;
    assert!(decided * 10 > all * 5, "{decided} of {all} were decided");
    assert!(shown * 20 > all, "{shown} of {all} were true");
}
