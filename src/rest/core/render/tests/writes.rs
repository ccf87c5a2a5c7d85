//! Writes and calls: what is inserted, updated, deleted or called, and what is read back.

use super::*;

/// The INSERT, UPDATE or DELETE of a request, without the read of what it changed.
fn write_of(text: &str) -> String {
    let plan = with_request(text, "*/*", |request| request.plan().unwrap());
    let Plan::Mutate(action) = plan else { panic!("{text} is no write") };
    let mut sql = SqlBuf::new();
    write::query(&mut sql, &action.write);
    shown(&sql)
}

fn whole(text: &str) -> String {
    with_request(text, "*/*", |request| shown(&statement(request).sql))
}

#[test]
fn an_insert_takes_its_rows_from_the_json_body() {
    assert_sql(
        &[
            (
                r#"POST /clients | | {"id":1,"name":"a"}"#,
                r#"INSERT INTO "test"."clients"("id", "name") SELECT pgrst_body."id", pgrst_body."name" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id", "name" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer, "name" text)) pgrst_body  RETURNING 1 --
                {"id":1,"name":"a"}"#,
            ),
            (
                r#"POST /clients | | [{"id":1},{"id":2}]"#,
                r#"INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "id" FROM json_to_recordset(pgrst_payload.json_data) AS _("id"
                integer)) pgrst_body  RETURNING 1 -- [{"id":1},{"id":2}]"#,
            ),
            (
                r#"POST /clients?columns=id | | [{"id":1,"more":2}]"#,
                r#"INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "id" FROM json_to_recordset(pgrst_payload.json_data) AS _("id"
                integer)) pgrst_body  RETURNING 1 -- [{"id":1,"more":2}]"#,
            ),
            (
                "POST /clients | | {}",
                r#"INSERT INTO "test"."clients" SELECT  FROM (SELECT $1::json AS json_data) pgrst_payload, LATERAL
                (SELECT  FROM (values(1)) _) pgrst_body  RETURNING 1 -- {}"#,
            ),
            (
                "POST /clients | | [{},{}]",
                r#"INSERT INTO "test"."clients" SELECT  FROM (SELECT $1::json AS json_data) pgrst_payload, LATERAL
                (SELECT  FROM json_array_elements(pgrst_payload.json_data) _) pgrst_body  RETURNING 1 -- [{},{}]"#,
            ),
            (
                r#"POST /products | | {"color":"red"}"#,
                r#"INSERT INTO "test"."products"("color") SELECT pgrst_body."color" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT test.json_to_color("color") AS "color" FROM
                json_to_record(pgrst_payload.json_data) AS _("color" json)) pgrst_body  RETURNING 1 --
                {"color":"red"}"#,
            ),
            (
                r#"POST /products?columns=id,name | missing=default | [{"name":"x"}]"#,
                r#"INSERT INTO "test"."products"("id", "name") SELECT pgrst_body."id", pgrst_body."name" FROM (SELECT
                $1::jsonb AS json_data) pgrst_payload, LATERAL (SELECT jsonb_agg(jsonb_build_object('id',
                nextval('ids'::regclass)) || elem) AS val FROM jsonb_array_elements(pgrst_payload.json_data) elem)
                pgrst_json_defs, LATERAL (SELECT "id", "name" FROM jsonb_to_recordset(pgrst_json_defs.val) AS _("id"
                integer, "name" text)) pgrst_body  RETURNING 1 -- [{"name":"x"}]"#,
            ),
            (
                r#"POST /products?columns=id,name | missing=default | {"name":"x"}"#,
                r#"INSERT INTO "test"."products"("id", "name") SELECT pgrst_body."id", pgrst_body."name" FROM (SELECT
                $1::jsonb AS json_data) pgrst_payload, LATERAL (SELECT jsonb_build_object('id',
                nextval('ids'::regclass)) || pgrst_payload.json_data AS val) pgrst_json_defs, LATERAL (SELECT "id",
                "name" FROM jsonb_to_record(pgrst_json_defs.val) AS _("id" integer, "name" text)) pgrst_body
                RETURNING 1 -- {"name":"x"}"#,
            ),
        ],
        write_of,
    );
}

#[test]
fn an_upsert_counts_what_it_inserts() {
    assert_sql(
        &[
            (
                r#"POST /clients | resolution=merge-duplicates | {"id":1,"name":"a"}"#,
                r#"INSERT INTO "test"."clients"("id", "name") SELECT pgrst_body."id", pgrst_body."name" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id", "name" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer, "name" text)) pgrst_body WHERE
                set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0)
                + 1)::text, true) <> '0' ON CONFLICT("id") DO UPDATE SET "id" = EXCLUDED."id", "name" =
                EXCLUDED."name" WHERE set_config('pgrst.inserted',
                (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) - 1)::text, true) <> '-1'
                RETURNING 1 -- {"id":1,"name":"a"}"#,
            ),
            (
                r#"POST /clients | resolution=ignore-duplicates | {"id":1,"name":"a"}"#,
                r#"INSERT INTO "test"."clients"("id", "name") SELECT pgrst_body."id", pgrst_body."name" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id", "name" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer, "name" text)) pgrst_body  ON
                CONFLICT("id") DO NOTHING RETURNING 1 -- {"id":1,"name":"a"}"#,
            ),
            (
                r#"POST /clients?on_conflict=name | resolution=merge-duplicates | {"id":1,"name":"a"}"#,
                r#"INSERT INTO "test"."clients"("id", "name") SELECT pgrst_body."id", pgrst_body."name" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id", "name" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer, "name" text)) pgrst_body WHERE
                set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0)
                + 1)::text, true) <> '0' ON CONFLICT("name") DO UPDATE SET "id" = EXCLUDED."id", "name" =
                EXCLUDED."name" WHERE set_config('pgrst.inserted',
                (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) - 1)::text, true) <> '-1'
                RETURNING 1 -- {"id":1,"name":"a"}"#,
            ),
            (
                r#"PUT /clients?id=eq.1 | | {"id":1,"name":"a"}"#,
                r#"INSERT INTO "test"."clients"("id", "name") SELECT pgrst_body."id", pgrst_body."name" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id", "name" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer, "name" text)) pgrst_body WHERE
                set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0)
                + 1)::text, true) <> '0' AND "pgrst_body"."id" = $2 ON CONFLICT("id") DO UPDATE SET "id" =
                EXCLUDED."id", "name" = EXCLUDED."name" WHERE set_config('pgrst.inserted',
                (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0) - 1)::text, true) <> '-1'
                RETURNING 1 -- {"id":1,"name":"a"}, 1"#,
            ),
        ],
        write_of,
    );
}

#[test]
fn updates_and_deletes_touch_the_rows_that_the_url_names() {
    assert_sql(
        &[
            (
                r#"PATCH /clients?id=eq.1 | | {"name":"b"}"#,
                r#"UPDATE "test"."clients" SET "name" = pgrst_body."name" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "name" FROM json_to_record(pgrst_payload.json_data) AS _("name"
                text)) pgrst_body  WHERE "test"."clients"."id" = $2 RETURNING 1 -- {"name":"b"}, 1"#,
            ),
            (
                r#"PATCH /clients?or=(id.eq.1,name.is.null) | | {"name":"b"}"#,
                r#"UPDATE "test"."clients" SET "name" = pgrst_body."name" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "name" FROM json_to_record(pgrst_payload.json_data) AS _("name"
                text)) pgrst_body  WHERE ("test"."clients"."id" = $2 OR "test"."clients"."name" IS NULL) RETURNING 1
                -- {"name":"b"}, 1"#,
            ),
            ("PATCH /clients?id=eq.1 | | {}", r#"SELECT NULL FROM "test"."clients" WHERE false"#),
            (
                "DELETE /clients?id=eq.1",
                r#"DELETE FROM "test"."clients" WHERE "test"."clients"."id" = $1 RETURNING 1 -- 1"#,
            ),
            ("DELETE /clients", r#"DELETE FROM "test"."clients" RETURNING 1"#),
        ],
        write_of,
    );
}

#[test]
fn a_write_returns_the_columns_that_its_answer_needs() {
    assert_sql(
        &[
            (
                r#"POST /clients?select=name | return=representation | {"id":1}"#,
                r#"INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "id" FROM json_to_record(pgrst_payload.json_data) AS _("id" integer))
                pgrst_body  RETURNING "test"."clients"."id", "test"."clients"."name" -- {"id":1}"#,
            ),
            (
                r#"POST /clients | return=headers-only | {"id":1}"#,
                r#"INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "id" FROM json_to_record(pgrst_payload.json_data) AS _("id" integer))
                pgrst_body RETURNING "test"."clients".* -- {"id":1}"#,
            ),
            (
                r#"POST /clients | return=minimal | {"id":1}"#,
                r#"INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "id" FROM json_to_record(pgrst_payload.json_data) AS _("id" integer))
                pgrst_body RETURNING 1 -- {"id":1}"#,
            ),
            (
                r#"POST /invoices?select=id,clients(name) | return=representation | {"id":1}"#,
                r#"INSERT INTO "test"."invoices"("id") SELECT pgrst_body."id" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "id" FROM json_to_record(pgrst_payload.json_data) AS _("id" integer))
                pgrst_body  RETURNING "test"."invoices"."client_id", "test"."invoices"."id" -- {"id":1}"#,
            ),
            (
                r#"POST /clients?select=id,latest_invoice(id) | return=representation | {"id":1}"#,
                r#"INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "id" FROM json_to_record(pgrst_payload.json_data) AS _("id" integer))
                pgrst_body  RETURNING "test"."clients".* -- {"id":1}"#,
            ),
            (
                "DELETE /clients?id=eq.1 | return=representation",
                r#"DELETE FROM "test"."clients" WHERE "test"."clients"."id" = $1 RETURNING "test"."clients".* -- 1"#,
            ),
        ],
        write_of,
    );
}

#[test]
fn the_written_rows_are_read_as_if_they_were_the_relation() {
    assert_sql(
        &[
            (
                r#"POST /clients | return=minimal | {"id":1}"#,
                r#"WITH pgrst_source AS (INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer)) pgrst_body  RETURNING 1) SELECT NULL,
                count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), NULL, NULL, ''::text FROM (SELECT * FROM
                pgrst_source) _postgrest_t -- {"id":1}"#,
            ),
            (
                r#"POST /clients?select=id,invoices(id) | return=representation | {"id":1}"#,
                r#"WITH pgrst_source AS (INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer)) pgrst_body  RETURNING
                "test"."clients"."id") SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), NULL, NULL, coalesce(json_agg(_postgrest_t),
                '[]') FROM (SELECT "clients"."id", COALESCE("clients_invoices_1"."clients_invoices_1", '[]') AS
                "invoices" FROM "pgrst_source" AS "clients" LEFT JOIN LATERAL (SELECT
                json_agg("clients_invoices_1")::jsonb AS "clients_invoices_1" FROM (SELECT "invoices_1"."id" FROM
                "test"."invoices" AS "invoices_1" WHERE "invoices_1"."client_id" = "clients"."id") AS
                "clients_invoices_1") AS "clients_invoices_1" ON TRUE) _postgrest_t -- {"id":1}"#,
            ),
            (
                r#"POST /clients | return=headers-only | {"id":1}"#,
                r#"WITH pgrst_source AS (INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer)) pgrst_body  RETURNING
                "test"."clients".*) SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), CASE WHEN count(*) = 1 THEN (SELECT
                json_agg(json_build_array(d.key, d.value)) FROM (SELECT row_to_json(s) AS r FROM pgrst_source s
                LIMIT 1) first, json_each_text(first.r) d WHERE d.key IN ('id')) END, NULL, ''::text FROM (SELECT *
                FROM pgrst_source) _postgrest_t -- {"id":1}"#,
            ),
            (
                r#"POST /clients?select=id | return=representation, resolution=merge-duplicates | {"id":1}"#,
                r#"WITH pgrst_source AS (INSERT INTO "test"."clients"("id") SELECT pgrst_body."id" FROM (SELECT
                $1::json AS json_data) pgrst_payload, LATERAL (SELECT "id" FROM
                json_to_record(pgrst_payload.json_data) AS _("id" integer)) pgrst_body WHERE
                set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0)
                + 1)::text, true) <> '0' ON CONFLICT("id") DO UPDATE SET "id" = EXCLUDED."id" WHERE
                set_config('pgrst.inserted', (coalesce(nullif(current_setting('pgrst.inserted', true), '')::int, 0)
                - 1)::text, true) <> '-1' RETURNING "test"."clients"."id") SELECT NULL, count(*),
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), NULL, nullif(current_setting('pgrst.inserted', true), '')::int,
                coalesce(json_agg(_postgrest_t), '[]') FROM (SELECT "clients"."id" FROM "pgrst_source" AS "clients")
                _postgrest_t -- {"id":1}"#,
            ),
        ],
        whole,
    );
}

#[test]
fn a_call_passes_arguments_by_name_and_its_rows_are_read_like_a_relation() {
    assert_sql(
        &[
            (
                "GET /rpc/add?a=1&b=2",
                r#"WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM (SELECT "test"."add"("a" := $1::integer,
                "b" := $2::integer) pgrst_scalar) pgrst_call) SELECT NULL, 1,
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null') FROM (SELECT "add".* FROM
                "pgrst_source" AS "add") _postgrest_t -- 1, 2"#,
            ),
            (
                r#"POST /rpc/add | | {"a":1,"b":2}"#,
                r#"WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM (SELECT $1::json AS json_data)
                pgrst_payload, LATERAL (SELECT "a", "b" FROM json_to_record(pgrst_payload.json_data) AS _("a"
                integer, "b" integer) LIMIT 1) pgrst_body, LATERAL (SELECT "test"."add"("a" := pgrst_body."a", "b"
                := pgrst_body."b") pgrst_scalar) pgrst_call) SELECT NULL, 1,
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null') FROM (SELECT "add".* FROM
                "pgrst_source" AS "add") _postgrest_t -- {"a":1,"b":2}"#,
            ),
            (
                "GET /rpc/sum_of?numbers=1&numbers=2",
                r#"WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM (SELECT "test"."sum_of"(VARIADIC "numbers"
                := $1::integer[]) pgrst_scalar) pgrst_call) SELECT NULL, 1,
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null') FROM (SELECT "sum_of".* FROM
                "pgrst_source" AS "sum_of") _postgrest_t -- {"1","2"}"#,
            ),
            (
                "GET /rpc/numbers",
                r#"WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM (SELECT "test"."numbers"() pgrst_scalar)
                pgrst_call) SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t.pgrst_scalar),
                '[]') FROM (SELECT "numbers".* FROM "pgrst_source" AS "numbers") _postgrest_t"#,
            ),
            (
                "GET /rpc/newest?select=name",
                r#"WITH pgrst_source AS (SELECT "pgrst_call"."name" FROM "test"."newest"() pgrst_call) SELECT NULL, 1,
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), coalesce(json_agg(_postgrest_t)->0, 'null') FROM (SELECT "clients"."name" FROM
                "pgrst_source" AS "clients") _postgrest_t"#,
            ),
            (
                "GET /rpc/search?term=a&name=eq.b&select=id,invoices(id)",
                r#"WITH pgrst_source AS (SELECT "pgrst_call"."id", "pgrst_call"."name" FROM "test"."search"("term" :=
                $1::text) pgrst_call) SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM
                (SELECT "clients"."id", COALESCE("clients_invoices_1"."clients_invoices_1", '[]') AS "invoices" FROM
                "pgrst_source" AS "clients" LEFT JOIN LATERAL (SELECT json_agg("clients_invoices_1")::jsonb AS
                "clients_invoices_1" FROM (SELECT "invoices_1"."id" FROM "test"."invoices" AS "invoices_1" WHERE
                "invoices_1"."client_id" = "clients"."id") AS "clients_invoices_1") AS "clients_invoices_1" ON TRUE
                WHERE "clients"."name" = $2) _postgrest_t -- a, b"#,
            ),
            (
                "GET /rpc/search?term=a&select=id,invoices(id)&invoices.note=eq.b&invoices=not.is.null",
                r#"WITH pgrst_source AS (SELECT "pgrst_call"."id" FROM "test"."search"("term" := $1::text) pgrst_call)
                SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM
                (SELECT "clients"."id", COALESCE("clients_invoices_1"."clients_invoices_1", '[]') AS "invoices" FROM
                "pgrst_source" AS "clients" LEFT JOIN LATERAL (SELECT json_agg("clients_invoices_1")::jsonb AS
                "clients_invoices_1" FROM (SELECT "invoices_1"."id" FROM "test"."invoices" AS "invoices_1" WHERE
                "invoices_1"."note" = $2 AND "invoices_1"."client_id" = "clients"."id") AS "clients_invoices_1") AS
                "clients_invoices_1" ON TRUE WHERE "clients_invoices_1" IS DISTINCT FROM NULL) _postgrest_t -- a, b"#,
            ),
            (
                r#"POST /rpc/search?select=id&limit=2 | | {"term":"a"}"#,
                r#"WITH pgrst_source AS (SELECT "pgrst_call"."id" FROM (SELECT $1::json AS json_data) pgrst_payload,
                LATERAL (SELECT "term" FROM json_to_record(pgrst_payload.json_data) AS _("term" text) LIMIT 1)
                pgrst_body, LATERAL "test"."search"("term" := pgrst_body."term") pgrst_call) SELECT NULL, count(*),
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM (SELECT "clients"."id" FROM "pgrst_source"
                AS "clients" LIMIT $2 OFFSET $3) _postgrest_t -- {"term":"a"}, 2, 0"#,
            ),
            (
                "POST /rpc/reset",
                r#"WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM (SELECT "test"."reset"() pgrst_scalar)
                pgrst_call) SELECT NULL, 1, nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''),
                coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null') FROM (SELECT "reset".* FROM "pgrst_source"
                AS "reset") _postgrest_t"#,
            ),
            (
                r#"POST /rpc/import | | {"x":1}"#,
                r#"WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM (SELECT "test"."import"($1::jsonb)
                pgrst_scalar) pgrst_call) SELECT NULL, 1, nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''),
                coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null') FROM (SELECT "import".* FROM "pgrst_source"
                AS "import") _postgrest_t -- {"x":1}"#,
            ),
        ],
        whole,
    );
}
