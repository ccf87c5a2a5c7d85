//! SQL that a caller reaches never leaves a record that names somebody else as its proved actor (threat K07).

use goforward::kernel::audit::{AuditOrigin, ContextKey};
use goforward::kernel::clock::Clock;
use serde_json::{Value, json};

use super::{ALICE, BOB, audited, records};
use crate::harness::{Caller, TestApp};

/// A function that writes under a context of the caller's choice, and two by which an attacker learns his own.
const FUNCTIONS: &str = "
    create function write_as(context text, id int) returns void language plpgsql as $$ begin
        perform set_config('goforward.context', context, true);
        insert into notes values (id); end $$;
    create function write_and_tell(id int) returns text language plpgsql as $$ begin
        insert into notes values (id);
        return current_setting('goforward.context'); end $$;
    create function tell() returns text language sql volatile as
        $$ select current_setting('goforward.context') $$";

async fn forgeable() -> TestApp {
    audited(&["insert", "update", "delete"], FUNCTIONS).await
}

async fn write_as(app: &TestApp, user: &str, context: &str, id: i32) {
    let arguments = json!({ "context": context, "id": id });
    app.user(user).post("/rest/v1/rpc/write_as", arguments).await.expect_status(204);
}

/// Actor and proof of the record about a row.
async fn actor_of(app: &TestApp, id: i32) -> Value {
    let found = records(&app.database, &format!("key = '{{\"id\": {id}}}'")).await;
    assert_eq!(found.len(), 1, "one record of row {id}: {found:#?}");
    json!([found[0]["actor"], found[0]["proved"]])
}

fn origin(actor: &str) -> AuditOrigin {
    AuditOrigin {
        actor: Some(actor.into()),
        role: "authenticated".into(),
        ip: "192.0.2.1".parse().unwrap(),
        agent: None,
        session: None,
        request_id: "forged".to_owned(),
    }
}

/// The database's own key, which only the superuser of this test can read.
async fn stolen_key(app: &TestApp) -> ContextKey {
    let text = app.database.value("select encode(secret, 'hex') from goforward.audit_key").await;
    ContextKey::new(&hex::decode(text).unwrap())
}

const UNPROVED: Value = Value::Null;

#[tokio::test]
async fn a_context_that_the_server_did_not_sign_proves_nothing() {
    let app = forgeable().await;
    let now = Clock::system().unix_millis();
    let wrong_key = ContextKey::new(&[0; 32]).sign(&origin(ALICE), now, [1; 16]);
    let claims = json!({ "at": now, "nonce": "00", "actor": ALICE, "role": "authenticated" }).to_string();
    let good = stolen_key(&app).await.sign(&origin(ALICE), now, [2; 16]);
    let good = String::from_utf8(good.to_vec()).unwrap();

    let mut attempts = vec![
        String::new(),
        "1.".to_owned(),
        claims.clone(),
        format!("1.{}.{claims}", "0".repeat(64)),
        String::from_utf8(wrong_key.to_vec()).unwrap(),
        good.replace("\"authenticated\"", "\"service_role\""),
        good.replace(ALICE, BOB),
        good.replacen("1.", "2.", 1),
        format!("{good} "),
        good.to_uppercase(),
    ];
    // Every half of the signature counts.
    for place in [2, 33, 65] {
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
        attempts.push(String::from_utf8(bytes).unwrap());
    }
    for (id, context) in (1..).zip(&attempts) {
        write_as(&app, BOB, context, id).await;
        assert_eq!(actor_of(&app, id).await, json!([UNPROVED, false]), "{context}");
    }

    // The same way with a context that is right is believed, so the attempts above failed for their content.
    write_as(&app, BOB, &good, 1_000).await;
    assert_eq!(actor_of(&app, 1_000).await, json!([ALICE, true]));
}

#[tokio::test]
async fn a_context_serves_one_transaction() {
    let app = forgeable().await;
    let told = app.user(ALICE).post("/rest/v1/rpc/write_and_tell", json!({ "id": 1 })).await;
    let stolen = told.expect_status(200).json().as_str().unwrap().to_owned();
    assert_eq!(actor_of(&app, 1).await, json!([ALICE, true]));

    write_as(&app, BOB, &stolen, 2).await;
    assert_eq!(actor_of(&app, 2).await, json!([UNPROVED, false]));

    // Nor does plain SQL get anywhere with it, in one transaction or another.
    let sql = format!("select set_config('goforward.context', $c${stolen}$c$, false)");
    let script = format!("{sql}; insert into notes values (3); insert into notes values (4)");
    app.database.run_as_superuser(&script).await;
    for id in [3, 4] {
        assert_eq!(actor_of(&app, id).await, json!([UNPROVED, false]));
    }
}

#[tokio::test]
async fn of_two_transactions_that_show_one_context_at_once_only_one_is_believed() {
    let app = forgeable().await;
    let context = stolen_key(&app).await.sign(&origin(ALICE), Clock::system().unix_millis(), [3; 16]);
    let context = String::from_utf8(context.to_vec()).unwrap();

    let mut writers = tokio::task::JoinSet::new();
    for id in 0..8 {
        let client = app.user(BOB);
        let arguments = json!({ "context": context, "id": id });
        writers.spawn(async move { client.post("/rest/v1/rpc/write_as", arguments).await.status });
    }
    while let Some(status) = writers.join_next().await {
        assert_eq!(status.unwrap(), 204);
    }

    assert_eq!(records(&app.database, "true").await.len(), 8);
    assert_eq!(records(&app.database, "proved").await.len(), 1);
}

#[tokio::test]
async fn an_old_context_and_one_of_the_future_prove_nothing() {
    let app = forgeable().await;
    let (key, now) = (stolen_key(&app).await, Clock::system().unix_millis());
    for (id, minutes, is_proved) in [(1, -20, false), (2, 20, false), (3, -5, true), (4, 5, true)] {
        let nonce = [u8::try_from(id).unwrap(); 16];
        let context = key.sign(&origin(ALICE), now + minutes * 60_000, nonce);
        write_as(&app, BOB, std::str::from_utf8(&context).unwrap(), id).await;

        let actor = if is_proved { json!(ALICE) } else { UNPROVED };
        assert_eq!(actor_of(&app, id).await, json!([actor, is_proved]), "{minutes} minutes");
    }
}

#[tokio::test]
async fn a_request_that_only_reads_carries_no_context() {
    let app = forgeable().await;

    let read = app.user(ALICE).get("/rest/v1/rpc/tell").await;
    let write = app.user(ALICE).post("/rest/v1/rpc/tell", json!({})).await.expect_status(200);

    // Nothing, or what the setting reads as once it was used on this connection.
    assert!(read.text() == "\"\"" || read.json()["code"] == "42704", "{}", read.text());
    assert!(write.text().contains(ALICE));
}

#[tokio::test]
async fn a_context_does_not_outlive_its_request() {
    let app = forgeable().await;
    let keep = "create function keep() returns void language plpgsql as $$ begin
        perform set_config('goforward.context', current_setting('goforward.context'), false); end $$;
        notify pgrst, 'reload schema'";
    app.database.run(keep).await;
    let client = app.user(ALICE);
    crate::harness::eventually("the function", async || {
        client.post("/rest/v1/rpc/keep", json!({})).await.status == 204
    })
    .await;

    for id in 0..20 {
        app.user(BOB).post("/rest/v1/notes", json!({ "id": id })).await.expect_status(201);
        let as_bob = app.user(BOB).get("/rest/v1/rpc/tell").await;
        assert!(!as_bob.text().contains(ALICE), "{}", as_bob.text());
    }

    assert_eq!(records(&app.database, &format!("actor = '{BOB}'")).await.len(), 20);
    assert_eq!(records(&app.database, &format!("actor = '{ALICE}'")).await.len(), 0);
}

#[tokio::test]
async fn names_of_the_callers_own_lead_nowhere_else() {
    let app = audited(&["insert"], "grant create on schema public to authenticated").await;
    // Everything that the triggers name, once more in places that a careless search path would look into first.
    let traps = "do $do$ begin
        create temp table audit_log (id int, verb text);
        create temp table audit_key (is_current boolean, secret bytea, inner_pad bytea, outer_pad bytea);
        create temp table audit_nonces (nonce uuid, transaction text, seen_at timestamptz);
        create temp table audit_origin (actor text, proved boolean);
        create temp table new_rows (id int);
        create temp table jsonb (one int);
        create temp table pg_index (one int);
        create function public.sha256(bytea) returns bytea language sql as 'select null::bytea';
        create function public.to_jsonb(anyelement) returns text language sql as $$ select 'x' $$;
        perform set_config('search_path', 'pg_temp, public, pg_catalog', true);
        insert into public.notes (id) values (1);
        end $do$";
    app.database.as_caller(&Caller::user(BOB), traps, true).await.unwrap();

    let found = records(&app.database, "true").await;
    assert_eq!((found.len(), &found[0]["proved"]), (1, &json!(false)), "{found:#?}");
    assert_eq!(found[0]["new_values"], json!({ "id": 1, "text": null, "price": null }));
}
