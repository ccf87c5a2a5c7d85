//! Whole statements: the leading columns, counts, and how rows become a body.

use super::*;
use crate::rest::core::plan::PlanOptions;
use crate::rest::core::samples::OPTIONS;

/// A read of ids, answered as the media type.
fn ids_as(accept: &str) -> String {
    with_request("GET /clients?select=id", accept, |request| shown(&statement(request).sql))
}

#[test]
fn the_media_type_decides_how_rows_become_a_body() {
    assert_sql(
        &[
            (
                "application/json",
                r#"SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM
                (SELECT "test"."clients"."id" FROM "test"."clients") _postgrest_t"#,
            ),
            (
                "application/vnd.pgrst.object+json",
                r#"SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t)->0, 'null')
                FROM (SELECT "test"."clients"."id" FROM "test"."clients") _postgrest_t"#,
            ),
            (
                "application/vnd.pgrst.object+json;nulls=stripped",
                r#"SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''),
                coalesce(json_strip_nulls(json_agg(_postgrest_t)->0), 'null') FROM (SELECT "test"."clients"."id"
                FROM "test"."clients") _postgrest_t"#,
            ),
            (
                "application/vnd.pgrst.array+json;nulls=stripped",
                r#"SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''),
                coalesce(json_strip_nulls(json_agg(_postgrest_t)), '[]') FROM (SELECT "test"."clients"."id" FROM
                "test"."clients") _postgrest_t"#,
            ),
            (
                "application/geo+json",
                r#"SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), json_build_object('type', 'FeatureCollection',
                'features', coalesce(json_agg(ST_AsGeoJSON(_postgrest_t)::json), '[]')) FROM (SELECT
                "test"."clients"."id" FROM "test"."clients") _postgrest_t"#,
            ),
            (
                "text/csv",
                r#"WITH pgrst_lines AS (SELECT "test"."clients"."id" FROM "test"."clients") SELECT NULL, count(*),
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), (SELECT coalesce(string_agg(k, ','), '') FROM (SELECT json_object_keys(r) AS k FROM
                (SELECT row_to_json(s) AS r FROM pgrst_lines s LIMIT 1) first) keys) FROM pgrst_lines UNION ALL
                SELECT NULL, NULL, NULL, NULL, substring(_postgrest_t::text, 2, length(_postgrest_t::text) - 2) FROM
                pgrst_lines _postgrest_t"#,
            ),
            (
                "application/x-ndjson",
                r#"WITH pgrst_lines AS (SELECT "test"."clients"."id" FROM "test"."clients") SELECT NULL, count(*),
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), ''::text FROM pgrst_lines UNION ALL SELECT NULL, NULL, NULL, NULL,
                row_to_json(_postgrest_t)::text FROM pgrst_lines _postgrest_t"#,
            ),
            (
                "application/vnd.pgrst.plan+json; options=analyze|buffers",
                r#"EXPLAIN (FORMAT JSON, ANALYZE, BUFFERS) SELECT NULL, count(*),
                coalesce(json_agg(_postgrest_t), '[]'), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), '') FROM (SELECT "test"."clients"."id" FROM
                "test"."clients") _postgrest_t"#,
            ),
        ],
        ids_as,
    );
}

/// A read with its count, written as `mode max-rows /url` with `-` for no limit.
fn counted(text: &str) -> Rendered {
    let mut words = text.splitn(3, ' ');
    let mode = match words.next().unwrap() {
        "exact" => CountMode::Exact,
        "planned" => CountMode::Planned,
        _ => CountMode::Estimated,
    };
    let max_rows = words.next().unwrap().parse().ok();
    let options = PlanOptions { max_rows, ..OPTIONS };
    let plan = Request::get(words.next().unwrap()).plan_with(&options).unwrap();
    let Plan::Read(action) = plan else { panic!("{text} is no read") };
    render_read(&action, CountOptions { mode: Some(mode), max_rows })
}

#[test]
fn rows_are_counted_apart_only_where_a_limit_hides_some() {
    assert_sql(
        &[
            (
                "exact - /clients?select=id",
                r#"SELECT count(*), count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM
                (SELECT "test"."clients"."id" FROM "test"."clients") _postgrest_t"#,
            ),
            (
                "exact - /clients?select=id&limit=5",
                r#"WITH pgrst_source_count AS (SELECT 1 FROM "test"."clients") SELECT (SELECT count(*) FROM
                pgrst_source_count), count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM
                (SELECT "test"."clients"."id" FROM "test"."clients" LIMIT $1 OFFSET $2) _postgrest_t -- 5, 0"#,
            ),
            (
                "exact 100 /clients?select=id",
                r#"WITH pgrst_source_count AS (SELECT 1 FROM "test"."clients") SELECT (SELECT count(*) FROM
                pgrst_source_count), count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM
                (SELECT "test"."clients"."id" FROM "test"."clients" LIMIT $1 OFFSET $2) _postgrest_t -- 100, 0"#,
            ),
            (
                "estimated 100 /clients?select=id",
                r#"WITH pgrst_source_count AS (SELECT 1 FROM "test"."clients" LIMIT 101) SELECT (SELECT count(*) FROM
                pgrst_source_count), count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM
                (SELECT "test"."clients"."id" FROM "test"."clients" LIMIT $1 OFFSET $2) _postgrest_t -- 100, 0"#,
            ),
            (
                "planned - /clients?select=id",
                r#"SELECT NULL, count(*), nullif(current_setting('response.headers', true), ''),
                nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM
                (SELECT "test"."clients"."id" FROM "test"."clients") _postgrest_t"#,
            ),
            (
                "exact - /clients?select=id,invoices!inner(id)&invoices.total=gt.5&limit=5",
                r#"WITH pgrst_source_count AS (SELECT 1 FROM "test"."clients" WHERE EXISTS (SELECT 1 FROM
                "test"."invoices" AS "invoices_1" WHERE "invoices_1"."total" > $1 AND "invoices_1"."client_id" =
                "test"."clients"."id")) SELECT (SELECT count(*) FROM pgrst_source_count), count(*),
                nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status',
                true), ''), coalesce(json_agg(_postgrest_t), '[]') FROM (SELECT "test"."clients"."id",
                COALESCE("clients_invoices_1"."clients_invoices_1", '[]') AS "invoices" FROM "test"."clients" INNER
                JOIN LATERAL (SELECT json_agg("clients_invoices_1")::jsonb AS "clients_invoices_1" FROM (SELECT
                "invoices_1"."id" FROM "test"."invoices" AS "invoices_1" WHERE "invoices_1"."total" > $2 AND
                "invoices_1"."client_id" = "test"."clients"."id") AS "clients_invoices_1") AS "clients_invoices_1"
                ON "clients_invoices_1" IS NOT NULL LIMIT $3 OFFSET $4) _postgrest_t -- 5, 5, 5, 0"#,
            ),
            (
                "exact - /clients?select=id,invoices()&invoices=is.null&limit=5",
                r#"WITH pgrst_source_count AS (SELECT 1 FROM "test"."clients" WHERE NOT EXISTS (SELECT 1 FROM
                "test"."invoices" AS "invoices_1" WHERE "invoices_1"."client_id" = "test"."clients"."id")) SELECT
                (SELECT count(*) FROM pgrst_source_count), count(*), nullif(current_setting('response.headers',
                true), ''), nullif(current_setting('response.status', true), ''), coalesce(json_agg(_postgrest_t),
                '[]') FROM (SELECT "test"."clients"."id" FROM "test"."clients" LEFT JOIN LATERAL (SELECT
                json_agg("clients_invoices_1")::jsonb AS "clients_invoices_1" FROM (SELECT "invoices_1".* FROM
                "test"."invoices" AS "invoices_1" WHERE "invoices_1"."client_id" = "test"."clients"."id") AS
                "clients_invoices_1") AS "clients_invoices_1" ON TRUE WHERE "clients_invoices_1" IS NOT DISTINCT
                FROM NULL LIMIT $1 OFFSET $2) _postgrest_t -- 5, 0"#,
            ),
        ],
        |text| shown(&counted(text).sql),
    );
}

#[test]
fn planned_and_estimated_counts_ask_the_planner_first() {
    assert_sql(
        &[
            (
                "planned - /clients?select=id&id=gt.5&limit=5",
                r#"EXPLAIN (FORMAT JSON) SELECT 1 FROM "test"."clients" WHERE "test"."clients"."id" > $1 -- 5"#,
            ),
            ("estimated 100 /clients?select=id", r#"EXPLAIN (FORMAT JSON) SELECT 1 FROM "test"."clients""#),
        ],
        |text| shown(&counted(text).estimate.unwrap()),
    );
}

#[test]
fn csv_and_ndjson_go_row_by_row_and_a_plan_line_by_line() {
    for (accept, shape) in [
        ("application/json", Shape::Whole),
        ("text/csv", Shape::Lines { has_header: true }),
        ("application/x-ndjson", Shape::Lines { has_header: false }),
        ("application/vnd.pgrst.plan", Shape::PlanText),
    ] {
        let rendered = with_request("GET /clients", accept, |request| statement(request).shape);
        assert_eq!(rendered, shape, "{accept}");
    }
}

#[test]
fn in_the_plan_of_a_write_the_body_stands_before_the_settings() {
    let accept = "application/vnd.pgrst.plan+json";
    assert_sql(
        &[(
            "DELETE /clients?id=eq.5&select=id | return=representation",
            r#"EXPLAIN (FORMAT JSON) WITH pgrst_source AS (DELETE FROM "test"."clients" WHERE "test"."clients"."id" = $1
            RETURNING "test"."clients"."id") SELECT NULL, count(*), NULL, coalesce(json_agg(_postgrest_t), '[]'),
            nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status', true),
            ''), NULL FROM (SELECT "clients"."id" FROM "pgrst_source" AS "clients") _postgrest_t -- 5"#,
        )],
        |text| with_request(text, accept, |request| shown(&statement(request).sql)),
    );
}
