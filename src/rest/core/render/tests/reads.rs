//! Reads: columns, filters, order, ranges, embeds, spreads and aggregates.

use super::*;

/// The SELECT of a read, without the columns that lead every statement.
fn select(url: &str) -> String {
    let Plan::Read(action) = Request::get(url).plan().unwrap() else { panic!("{url} is no read") };
    let mut sql = SqlBuf::new();
    read::query(&mut sql, &action.tree);
    shown(&sql)
}

#[test]
fn a_select_list_names_columns_aliases_casts_and_json_paths() {
    assert_sql(
        &[
            ("/clients", r#"SELECT "test"."clients".* FROM "test"."clients""#),
            (
                "/clients?select=id,label:name",
                r#"SELECT "test"."clients"."id", "test"."clients"."name" AS "label" FROM "test"."clients""#,
            ),
            (
                "/clients?select=id::text",
                r#"SELECT CAST("test"."clients"."id" AS "text") FROM "test"."clients""#,
            ),
            ("/clients?select=", r#"SELECT "test"."clients".* FROM "test"."clients""#),
            (
                "/invoices?select=data->address->>city,data->tags->0",
                r#"SELECT "test"."invoices"."data"->$1->>$2 AS "city", "test"."invoices"."data"->$3->$4::int AS "tags"
                FROM "test"."invoices" -- address, city, tags, +0"#,
            ),
            (
                "/clients?select=note->>x",
                r#"SELECT to_jsonb("test"."clients"."note")->>$1 AS "x" FROM "test"."clients" -- x"#,
            ),
            (
                "/products?select=id,color",
                r#"SELECT "test"."products"."id", test.color_to_json("test"."products"."color") AS "color" FROM
                "test"."products""#,
            ),
            (
                "/products",
                r#"SELECT "test"."products"."id", "test"."products"."name", "test"."products"."words",
                test.color_to_json("test"."products"."color") AS "color" FROM "test"."products""#,
            ),
        ],
        select,
    );
}

#[test]
fn filters_compare_columns_with_bound_values() {
    assert_sql(
        &[
            (
                "/clients?select=id&id=eq.5",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."id" = $1 -- 5"#,
            ),
            (
                "/clients?select=id&id=not.eq.5",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE NOT "test"."clients"."id" = $1 -- 5"#,
            ),
            (
                "/clients?select=id&id=neq.5",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."id" <> $1 -- 5"#,
            ),
            (
                "/clients?select=id&id=gte.1&id=lt.9",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."id" >= $1 AND
                "test"."clients"."id" < $2 -- 1, 9"#,
            ),
            (
                "/clients?select=id&name=like.A*",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."name" LIKE $1 -- A%"#,
            ),
            (
                "/clients?select=id&name=ilike(any).{A*,B*}",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."name" ILIKE ANY($1) --
                {A%,B%}"#,
            ),
            (
                "/clients?select=id&name=match.^A",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."name" ~ $1 -- ^A"#,
            ),
            (
                "/clients?select=id&id=in.(1,2)",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."id" = ANY ($1) --
                {"1","2"}"#,
            ),
            (
                r#"/clients?select=id&name=in.("a,b",c\d)"#,
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."name" = ANY ($1) --
                {"a,b","c\\d"}"#,
            ),
            (
                "/clients?select=id&id=in.()",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."id" = ANY ('{}')"#,
            ),
            (
                "/clients?select=id&name=is.null",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."name" IS NULL"#,
            ),
            (
                "/clients?select=id&name=not.is.true",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE NOT "test"."clients"."name" IS TRUE"#,
            ),
            (
                "/clients?select=id&name=isdistinct.x",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."name" IS DISTINCT FROM $1
                -- x"#,
            ),
            (
                "/clients?select=id&id=eq(any).{1,2}",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE "test"."clients"."id" = ANY($1) -- {1,2}"#,
            ),
            (
                "/invoices?select=id&data->>city=eq.Rome",
                r#"SELECT "test"."invoices"."id" FROM "test"."invoices" WHERE "test"."invoices"."data"->>$1 = $2 --
                city, Rome"#,
            ),
            (
                r#"/invoices?select=id&data=cs.{"a":1}"#,
                r#"SELECT "test"."invoices"."id" FROM "test"."invoices" WHERE "test"."invoices"."data" @> $1 -- {"a":1}"#,
            ),
            (
                "/invoices?select=id&note=fts(english).late",
                r#"SELECT "test"."invoices"."id" FROM "test"."invoices" WHERE to_tsvector($1, "test"."invoices"."note")
                @@ to_tsquery($2, $3) -- english, english, late"#,
            ),
            (
                "/products?select=id&words=wfts.red shoe",
                r#"SELECT "test"."products"."id" FROM "test"."products" WHERE "test"."products"."words" @@
                websearch_to_tsquery($1) -- red shoe"#,
            ),
            (
                "/products?select=id&computed_words=fts(english).shoe",
                r#"SELECT "test"."products"."id" FROM "test"."products" WHERE "test"."products"."computed_words" @@
                to_tsquery($1, $2) -- english, shoe"#,
            ),
            (
                "/products?select=id&color=eq.red",
                r#"SELECT "test"."products"."id" FROM "test"."products" WHERE "test"."products"."color" =
                test.text_to_color($1) -- red"#,
            ),
            (
                "/products?select=id&color=in.(red,blue)",
                r#"SELECT "test"."products"."id" FROM "test"."products" WHERE "test"."products"."color" = ANY (SELECT
                test.text_to_color(unnest($1::text[]))) -- {"red","blue"}"#,
            ),
        ],
        select,
    );
}

#[test]
fn logic_nests_and_negates() {
    assert_sql(
        &[
            (
                "/clients?select=id&or=(id.eq.1,name.is.null)",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE ("test"."clients"."id" = $1 OR
                "test"."clients"."name" IS NULL) -- 1"#,
            ),
            (
                "/clients?select=id&not.and=(id.gt.1,or(name.eq.a,name.eq.b))",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE NOT ("test"."clients"."id" > $1 AND
                ("test"."clients"."name" = $2 OR "test"."clients"."name" = $3)) -- 1, a, b"#,
            ),
            (
                "/clients?select=id&id=gt.0&or=(id.eq.1,id.eq.2)",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" WHERE ("test"."clients"."id" = $1 OR
                "test"."clients"."id" = $2) AND "test"."clients"."id" > $3 -- 1, 2, 0"#,
            ),
        ],
        select,
    );
}

#[test]
fn order_and_range_become_order_by_limit_and_offset() {
    assert_sql(
        &[
            (
                "/clients?select=id&order=name.desc.nullslast,id",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" ORDER BY "test"."clients"."name" DESC NULLS LAST,
                "test"."clients"."id""#,
            ),
            (
                "/invoices?select=id&order=data->>city.asc",
                r#"SELECT "test"."invoices"."id" FROM "test"."invoices" ORDER BY "test"."invoices"."data"->>$1 ASC --
                city"#,
            ),
            (
                "/clients?select=id&limit=10",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" LIMIT $1 OFFSET $2 -- 10, 0"#,
            ),
            (
                "/clients?select=id&offset=5",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" LIMIT ALL OFFSET $1 -- 5"#,
            ),
            (
                "/clients?select=id&limit=10&offset=5",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" LIMIT $1 OFFSET $2 -- 10, 5"#,
            ),
            (
                "/clients?select=id&limit=0",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" LIMIT $1 OFFSET $2 -- 0, 0"#,
            ),
        ],
        select,
    );
}

#[test]
fn embeds_are_lateral_joins() {
    assert_sql(
        &[
            (
                "/invoices?select=id,clients(name)",
                r#"SELECT "test"."invoices"."id", row_to_json("invoices_clients_1".*)::jsonb AS "clients" FROM
                "test"."invoices" LEFT JOIN LATERAL (SELECT "clients_1"."name" FROM "test"."clients" AS "clients_1"
                WHERE "clients_1"."id" = "test"."invoices"."client_id") AS "invoices_clients_1" ON TRUE"#,
            ),
            (
                "/clients?select=id,invoices(id)",
                r#"SELECT "test"."clients"."id", COALESCE("clients_invoices_1"."clients_invoices_1", '[]') AS
                "invoices" FROM "test"."clients" LEFT JOIN LATERAL (SELECT json_agg("clients_invoices_1")::jsonb AS
                "clients_invoices_1" FROM (SELECT "invoices_1"."id" FROM "test"."invoices" AS "invoices_1" WHERE
                "invoices_1"."client_id" = "test"."clients"."id") AS "clients_invoices_1") AS "clients_invoices_1"
                ON TRUE"#,
            ),
            (
                "/clients?select=id,profiles(bio)",
                r#"SELECT "test"."clients"."id", row_to_json("clients_profiles_1".*)::jsonb AS "profiles" FROM
                "test"."clients" LEFT JOIN LATERAL (SELECT "profiles_1"."bio" FROM "test"."profiles" AS "profiles_1"
                WHERE "profiles_1"."client_id" = "test"."clients"."id") AS "clients_profiles_1" ON TRUE"#,
            ),
            (
                "/invoices?select=id,products(name)",
                r#"SELECT "test"."invoices"."id", COALESCE("invoices_products_1"."invoices_products_1", '[]') AS
                "products" FROM "test"."invoices" LEFT JOIN LATERAL (SELECT json_agg("invoices_products_1")::jsonb
                AS "invoices_products_1" FROM (SELECT "test"."products"."name" FROM "test"."products",
                "test"."line_items" WHERE "test"."line_items"."product_id" = "test"."products"."id" AND
                "test"."line_items"."invoice_id" = "test"."invoices"."id") AS "invoices_products_1") AS
                "invoices_products_1" ON TRUE"#,
            ),
            (
                "/clients?select=id,latest_invoice(id)",
                r#"SELECT "test"."clients"."id", row_to_json("clients_latest_invoice_1".*)::jsonb AS "latest_invoice"
                FROM "test"."clients" LEFT JOIN LATERAL (SELECT "invoices_1"."id" FROM
                "test"."latest_invoice"("clients"::"test"."clients") AS "invoices_1") AS "clients_latest_invoice_1"
                ON TRUE"#,
            ),
            (
                "/clients?select=id,open_invoices(total)",
                r#"SELECT "test"."clients"."id", COALESCE("clients_open_invoices_1"."clients_open_invoices_1", '[]') AS
                "open_invoices" FROM "test"."clients" LEFT JOIN LATERAL (SELECT
                json_agg("clients_open_invoices_1")::jsonb AS "clients_open_invoices_1" FROM (SELECT
                "invoices_1"."total" FROM "test"."open_invoices"("clients"::"test"."clients") AS "invoices_1") AS
                "clients_open_invoices_1") AS "clients_open_invoices_1" ON TRUE"#,
            ),
            (
                "/staff?select=id,boss:boss_id(id)",
                r#"SELECT "test"."staff"."id", row_to_json("staff_boss_1".*)::jsonb AS "boss" FROM "test"."staff" LEFT
                JOIN LATERAL (SELECT "staff_1"."id" FROM "test"."staff" AS "staff_1" WHERE "staff_1"."id" =
                "test"."staff"."boss_id") AS "staff_boss_1" ON TRUE"#,
            ),
            (
                "/staff?select=id,staff(id)",
                r#"SELECT "test"."staff"."id", COALESCE("staff_staff_1"."staff_staff_1", '[]') AS "staff" FROM
                "test"."staff" LEFT JOIN LATERAL (SELECT json_agg("staff_staff_1")::jsonb AS "staff_staff_1" FROM
                (SELECT "staff_1"."id" FROM "test"."staff" AS "staff_1" WHERE "staff_1"."boss_id" =
                "test"."staff"."id") AS "staff_staff_1") AS "staff_staff_1" ON TRUE"#,
            ),
            (
                "/orders?select=id,from:addresses!bill_to(city)",
                r#"SELECT "test"."orders"."id", row_to_json("orders_from_1".*)::jsonb AS "from" FROM "test"."orders"
                LEFT JOIN LATERAL (SELECT "addresses_1"."city" FROM "test"."addresses" AS "addresses_1" WHERE
                "addresses_1"."id" = "test"."orders"."bill_to") AS "orders_from_1" ON TRUE"#,
            ),
            (
                "/clients?select=id,invoices(id,products(name))",
                r#"SELECT "test"."clients"."id", COALESCE("clients_invoices_1"."clients_invoices_1", '[]') AS
                "invoices" FROM "test"."clients" LEFT JOIN LATERAL (SELECT json_agg("clients_invoices_1")::jsonb AS
                "clients_invoices_1" FROM (SELECT "invoices_1"."id",
                COALESCE("invoices_products_2"."invoices_products_2", '[]') AS "products" FROM "test"."invoices" AS
                "invoices_1" LEFT JOIN LATERAL (SELECT json_agg("invoices_products_2")::jsonb AS
                "invoices_products_2" FROM (SELECT "test"."products"."name" FROM "test"."products",
                "test"."line_items" WHERE "test"."line_items"."product_id" = "test"."products"."id" AND
                "test"."line_items"."invoice_id" = "invoices_1"."id") AS "invoices_products_2") AS
                "invoices_products_2" ON TRUE WHERE "invoices_1"."client_id" = "test"."clients"."id") AS
                "clients_invoices_1") AS "clients_invoices_1" ON TRUE"#,
            ),
        ],
        select,
    );
}

#[test]
fn parameters_reach_into_embeds() {
    assert_sql(
        &[
            (
                "/clients?select=id,invoices(id)&invoices.total=gt.5&invoices.order=id&invoices.limit=3",
                r#"SELECT "test"."clients"."id", COALESCE("clients_invoices_1"."clients_invoices_1", '[]') AS
                "invoices" FROM "test"."clients" LEFT JOIN LATERAL (SELECT json_agg("clients_invoices_1")::jsonb AS
                "clients_invoices_1" FROM (SELECT "invoices_1"."id" FROM "test"."invoices" AS "invoices_1" WHERE
                "invoices_1"."total" > $1 AND "invoices_1"."client_id" = "test"."clients"."id" ORDER BY
                "invoices_1"."id" LIMIT $2 OFFSET $3) AS "clients_invoices_1") AS "clients_invoices_1" ON TRUE -- 5,
                3, 0"#,
            ),
            (
                "/clients?select=id,invoices!inner(id)&invoices.total=gt.5",
                r#"SELECT "test"."clients"."id", COALESCE("clients_invoices_1"."clients_invoices_1", '[]') AS
                "invoices" FROM "test"."clients" INNER JOIN LATERAL (SELECT json_agg("clients_invoices_1")::jsonb AS
                "clients_invoices_1" FROM (SELECT "invoices_1"."id" FROM "test"."invoices" AS "invoices_1" WHERE
                "invoices_1"."total" > $1 AND "invoices_1"."client_id" = "test"."clients"."id") AS
                "clients_invoices_1") AS "clients_invoices_1" ON "clients_invoices_1" IS NOT NULL -- 5"#,
            ),
            (
                "/invoices?select=id,clients!inner(name)&clients.id=eq.1",
                r#"SELECT "test"."invoices"."id", row_to_json("invoices_clients_1".*)::jsonb AS "clients" FROM
                "test"."invoices" INNER JOIN LATERAL (SELECT "clients_1"."name" FROM "test"."clients" AS "clients_1"
                WHERE "clients_1"."id" = $1 AND "clients_1"."id" = "test"."invoices"."client_id") AS
                "invoices_clients_1" ON TRUE -- 1"#,
            ),
            (
                "/clients?select=id,invoices()&invoices=not.is.null",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" LEFT JOIN LATERAL (SELECT
                json_agg("clients_invoices_1")::jsonb AS "clients_invoices_1" FROM (SELECT "invoices_1".* FROM
                "test"."invoices" AS "invoices_1" WHERE "invoices_1"."client_id" = "test"."clients"."id") AS
                "clients_invoices_1") AS "clients_invoices_1" ON TRUE WHERE "clients_invoices_1" IS DISTINCT FROM
                NULL"#,
            ),
            (
                "/clients?select=id,invoices()&invoices=is.null",
                r#"SELECT "test"."clients"."id" FROM "test"."clients" LEFT JOIN LATERAL (SELECT
                json_agg("clients_invoices_1")::jsonb AS "clients_invoices_1" FROM (SELECT "invoices_1".* FROM
                "test"."invoices" AS "invoices_1" WHERE "invoices_1"."client_id" = "test"."clients"."id") AS
                "clients_invoices_1") AS "clients_invoices_1" ON TRUE WHERE "clients_invoices_1" IS NOT DISTINCT
                FROM NULL"#,
            ),
            (
                "/invoices?select=id,clients(name)&order=clients(name).desc",
                r#"SELECT "test"."invoices"."id", row_to_json("invoices_clients_1".*)::jsonb AS "clients" FROM
                "test"."invoices" LEFT JOIN LATERAL (SELECT "clients_1"."name" FROM "test"."clients" AS "clients_1"
                WHERE "clients_1"."id" = "test"."invoices"."client_id") AS "invoices_clients_1" ON TRUE ORDER BY
                "invoices_clients_1"."name" DESC"#,
            ),
        ],
        select,
    );
}

#[test]
fn spreads_bring_columns_up() {
    assert_sql(
        &[
            (
                "/invoices?select=id,...clients(client:name)",
                r#"SELECT "test"."invoices"."id", "invoices_clients_1"."client" FROM "test"."invoices" LEFT JOIN
                LATERAL (SELECT "clients_1"."name" AS "client" FROM "test"."clients" AS "clients_1" WHERE
                "clients_1"."id" = "test"."invoices"."client_id") AS "invoices_clients_1" ON TRUE"#,
            ),
            (
                "/clients?select=id,...invoices(total)",
                r#"SELECT "test"."clients"."id", "clients_invoices_1"."total" FROM "test"."clients" LEFT JOIN LATERAL
                (SELECT json_agg("clients_invoices_1")::jsonb AS "clients_invoices_1",
                COALESCE(json_agg("clients_invoices_1"."total"), '[]')::jsonb AS "total" FROM (SELECT
                "invoices_1"."total" FROM "test"."invoices" AS "invoices_1" WHERE "invoices_1"."client_id" =
                "test"."clients"."id") AS "clients_invoices_1") AS "clients_invoices_1" ON TRUE"#,
            ),
            (
                "/clients?select=id,...invoices(total)&invoices.order=id.desc",
                r#"SELECT "test"."clients"."id", "clients_invoices_1"."total" FROM "test"."clients" LEFT JOIN LATERAL
                (SELECT json_agg("clients_invoices_1")::jsonb AS "clients_invoices_1",
                COALESCE(json_agg("clients_invoices_1"."total" ORDER BY
                "clients_invoices_1"."clients_invoices_1_id_1" DESC), '[]')::jsonb AS "total" FROM (SELECT
                "invoices_1"."total", "invoices_1"."id" AS "clients_invoices_1_id_1" FROM "test"."invoices" AS
                "invoices_1" WHERE "invoices_1"."client_id" = "test"."clients"."id") AS "clients_invoices_1") AS
                "clients_invoices_1" ON TRUE"#,
            ),
        ],
        select,
    );
}

#[test]
fn aggregates_group_by_the_other_columns() {
    assert_sql(
        &[
            (
                "/invoices?select=total.sum()",
                r#"SELECT sum("test"."invoices"."total") FROM "test"."invoices""#,
            ),
            (
                "/invoices?select=client_id,sum:total.sum()::text",
                r#"SELECT "test"."invoices"."client_id", CAST(sum("test"."invoices"."total") AS "text") AS "sum" FROM
                "test"."invoices" GROUP BY "test"."invoices"."client_id""#,
            ),
            ("/invoices?select=count()", r#"SELECT count("test"."invoices".*) FROM "test"."invoices""#),
            (
                "/invoices?select=clients(name),total.max()",
                r#"SELECT max("test"."invoices"."total"), row_to_json("invoices_clients_1".*)::jsonb AS "clients" FROM
                "test"."invoices" LEFT JOIN LATERAL (SELECT "clients_1"."name" FROM "test"."clients" AS "clients_1"
                WHERE "clients_1"."id" = "test"."invoices"."client_id") AS "invoices_clients_1" ON TRUE GROUP BY
                "clients""#,
            ),
            (
                "/clients?select=name,...profiles(bio,client_id.count())",
                r#"SELECT "test"."clients"."name", "clients_profiles_1"."bio", count("clients_profiles_1"."count") AS
                "count" FROM "test"."clients" LEFT JOIN LATERAL (SELECT "profiles_1"."bio", "profiles_1"."client_id"
                AS "count" FROM "test"."profiles" AS "profiles_1" WHERE "profiles_1"."client_id" =
                "test"."clients"."id") AS "clients_profiles_1" ON TRUE GROUP BY "test"."clients"."name",
                "clients_profiles_1"."bio""#,
            ),
        ],
        select,
    );
}

#[test]
fn hints_names_of_constraints_and_columns_choose_among_relationships() {
    assert_sql(
        &[
            (
                "/orders?select=addresses!orders_ship_to_fkey(city)",
                r#"SELECT row_to_json("orders_addresses_1".*)::jsonb AS "addresses" FROM "test"."orders" LEFT JOIN
                LATERAL (SELECT "addresses_1"."city" FROM "test"."addresses" AS "addresses_1" WHERE
                "addresses_1"."id" = "test"."orders"."ship_to") AS "orders_addresses_1" ON TRUE"#,
            ),
            (
                "/orders?select=addresses!ship_to(city)",
                r#"SELECT row_to_json("orders_addresses_1".*)::jsonb AS "addresses" FROM "test"."orders" LEFT JOIN
                LATERAL (SELECT "addresses_1"."city" FROM "test"."addresses" AS "addresses_1" WHERE
                "addresses_1"."id" = "test"."orders"."ship_to") AS "orders_addresses_1" ON TRUE"#,
            ),
            (
                "/orders?select=ship_to(city)",
                r#"SELECT row_to_json("orders_ship_to_1".*)::jsonb AS "ship_to" FROM "test"."orders" LEFT JOIN LATERAL
                (SELECT "addresses_1"."city" FROM "test"."addresses" AS "addresses_1" WHERE "addresses_1"."id" =
                "test"."orders"."ship_to") AS "orders_ship_to_1" ON TRUE"#,
            ),
            (
                "/orders?select=orders_ship_to_fkey(city)",
                r#"SELECT row_to_json("orders_orders_ship_to_fkey_1".*)::jsonb AS "orders_ship_to_fkey" FROM
                "test"."orders" LEFT JOIN LATERAL (SELECT "addresses_1"."city" FROM "test"."addresses" AS
                "addresses_1" WHERE "addresses_1"."id" = "test"."orders"."ship_to") AS
                "orders_orders_ship_to_fkey_1" ON TRUE"#,
            ),
            (
                "/invoices?select=products!line_items(name)",
                r#"SELECT COALESCE("invoices_products_1"."invoices_products_1", '[]') AS "products" FROM
                "test"."invoices" LEFT JOIN LATERAL (SELECT json_agg("invoices_products_1")::jsonb AS
                "invoices_products_1" FROM (SELECT "test"."products"."name" FROM "test"."products",
                "test"."line_items" WHERE "test"."line_items"."product_id" = "test"."products"."id" AND
                "test"."line_items"."invoice_id" = "test"."invoices"."id") AS "invoices_products_1") AS
                "invoices_products_1" ON TRUE"#,
            ),
        ],
        select,
    );
}
