//! Functions.

use goforward::policy::lint::{Rule, Severity};

use crate::policy_lint::{Case, Fix, hold};

#[tokio::test]
async fn functions_that_lend_rights_are_found() {
    hold(CASES).await;
}

pub(super) const CASES: &[Case] = &[
    Case {
        rule: Rule::DefinerFunctionExposed,
        severity: Severity::Warning,
        objects: "
            create function bad(n int, variadic texts text[]) returns int language sql security definer
              set search_path = '' as 'select 1';
            create function invoker() returns int language sql as 'select 1';
            create function unreachable() returns int language sql security definer set search_path = ''
              as 'select 1';
            revoke execute on function unreachable() from public, anon, authenticated;
            create function by_trigger() returns trigger language plpgsql security definer set search_path = ''
              as 'begin return new; end';
            create schema elsewhere;
            grant usage on schema elsewhere to anon;
            create function elsewhere.not_exposed() returns int language sql security definer
              set search_path = '' as 'select 1';",
        rules: "",
        finds: &["public.bad(n integer, VARIADIC texts text[])"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::DefinerSearchPath,
        severity: Severity::Problem,
        objects: "
            create schema workshop;
            grant usage, create on schema workshop to anon;
            create function bad() returns int language sql security definer as 'select 1';
            create function bad_path() returns int language sql security definer
              set search_path = pg_catalog, workshop as 'select 1';
            create function fixed_path() returns int language sql security definer set search_path = pg_catalog
              as 'select 1';
            create function bound() returns int language sql security definer return 1;
            create function invoker() returns int language sql as 'select 1';",
        rules: "",
        finds: &["public.bad()", "public.bad_path()"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::DefinerSearchPath,
        severity: Severity::Warning,
        objects: "
            create schema elsewhere;
            create function elsewhere.bad() returns int language sql security definer as 'select 1';
            create function elsewhere.bad_trigger() returns trigger language plpgsql security definer
              as 'begin return new; end';
            create function elsewhere.fixed() returns int language sql security definer set search_path = ''
              as 'select 1';",
        rules: "",
        finds: &["elsewhere.bad()", "elsewhere.bad_trigger()"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::FunctionReadsProtectedColumn,
        severity: Severity::Warning,
        objects: "
            create table people (id int, name text, secret text, card text);
            create view people_above as select id, name from people;
            create table people_archive (id int);
            create table guarded (id int, secret text);
            revoke select on guarded from anon, authenticated;
            grant select (id) on guarded to anon, authenticated;
            create function bad_definer() returns text language plpgsql security definer set search_path = ''
              as 'begin return (select max(secret) from public.People); end';
            create function bad_invoker() returns bigint language sql as 'select count(*) from people';
            create function bad_bound() returns bigint language sql
              begin atomic select count(*) from people; end;
            create function bad_above() returns bigint language sql as 'select count(*) from people_above';
            create function bad_row(p people) returns text language sql as 'select p.card';
            create function bad_guarded() returns bigint language sql security definer set search_path = ''
              as 'select count(*) from public.guarded';
            create function of_others() returns bigint language sql as 'select count(*) from people_archive';
            create function as_caller() returns bigint language sql as 'select count(id) from guarded';
            create function unreachable() returns bigint language sql as 'select count(*) from people';
            revoke execute on function unreachable() from public, anon, authenticated;",
        rules: "
            insert into goforward.table_security (schema_name, table_name, hidden_fields, field_permissions) values
              ('public', 'people', '{secret}', '{\"card\": {\"masked\": true, \"mask\": \"last_four\"}}'),
              ('public', 'guarded', '{secret}', '{}'),
              ('public', 'people_archive', '{}', '{}')",
        finds: &[
            "public.bad_above()",
            "public.bad_bound()",
            "public.bad_definer()",
            "public.bad_guarded()",
            "public.bad_invoker()",
            "public.bad_row(p public.people)",
        ],
        fix: Fix::Sql,
    },
];
