//! Rows of table security: what they name, whether they are in force, and what their columns give away.

use goforward::policy::lint::{Rule, Severity};

use crate::policy_lint::{Case, Fix, hold};

#[tokio::test]
async fn rules_that_do_not_protect_what_they_name_are_found() {
    hold(CASES).await;
}

pub(super) const CASES: &[Case] = &[
    Case {
        rule: Rule::RulesWithoutTable,
        severity: Severity::Problem,
        objects: "create table there (id int); create view also_there as select 1 as one;",
        rules: "
            insert into goforward.table_security (schema_name, table_name) values
              ('public', 'bad'), ('bad''s schema', 'there'), ('public', 'there'), ('public', 'also_there')",
        finds: &["bad's schema.there", "public.bad"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::RulesWithoutColumn,
        severity: Severity::Problem,
        objects: "
            create table bad_hidden (id int);
            create table bad_permission (id int);
            create table bad_owner (id int);
            create table bad_computed (id int);
            create table there (id int, secret text, owner uuid);
            create function full_name(there) returns text language sql as 'select $1.secret';",
        rules: "
            insert into goforward.table_security
              (schema_name, table_name, hidden_fields, readable_fields, field_permissions, ownership_column) values
              ('public', 'bad_hidden', '{secret}', '{}', '{}', null),
              ('public', 'bad_permission', '{}', '{}', '{\"secret\": {\"masked\": true}}', null),
              ('public', 'bad_owner', '{}', '{}', '{}', 'owner'),
              ('public', 'bad_computed', '{}', '{id,full_name}', '{}', null),
              ('public', 'there', '{secret}', '{id,full_name}', '{\"secret\": {}}', 'owner')",
        finds: &["public.bad_computed", "public.bad_hidden", "public.bad_owner", "public.bad_permission"],
        fix: Fix::Words,
    },
    Case {
        rule: Rule::RulesNotInForce,
        severity: Severity::Warning,
        objects: "create table bad (id int); create table there (id int);",
        rules: "
            insert into goforward.table_security (schema_name, table_name, active) values
              ('public', 'bad', false), ('public', 'gone', false), ('public', 'there', true)",
        finds: &["public.bad"],
        fix: Fix::Words,
    },
    Case {
        rule: Rule::RulesNotInForce,
        severity: Severity::Problem,
        objects: "
            create table bad_newer (id int);
            create table bad_unenforced (id int, owner uuid);
            alter table bad_unenforced enable row level security;
            create table there (id int, owner uuid);",
        rules: "
            alter table goforward.table_security add require_moon_phase text;
            insert into goforward.table_security
              (schema_name, table_name, require_ownership, ownership_column, require_moon_phase) values
              ('public', 'bad_newer', false, null, 'full'),
              ('public', 'bad_unenforced', true, 'owner', null),
              ('public', 'there', false, 'owner', null)",
        finds: &["public.bad_newer", "public.bad_unenforced"],
        fix: Fix::Words,
    },
    Case {
        rule: Rule::PublicReadWithoutPolicy,
        severity: Severity::Warning,
        objects: "
            create table bad_open (id int);
            create table bad_empty (id int);
            alter table bad_empty enable row level security;
            create policy p on bad_empty for insert with check (id > 0);
            create table with_policy (id int);
            alter table with_policy enable row level security;
            create policy p on with_policy for select using (id > 0);
            create table not_public (id int);",
        rules: "
            insert into goforward.table_security (schema_name, table_name, public_read) values
              ('public', 'bad_open', true), ('public', 'bad_empty', true), ('public', 'with_policy', true),
              ('public', 'not_public', false)",
        finds: &["public.bad_empty", "public.bad_open"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::KeyOverHiddenColumn,
        severity: Severity::Warning,
        objects: "
            create table bad_unique (id int, code text unique);
            create table bad_expression (id int, code text);
            create unique index on bad_expression (lower(code));
            create table codes (code text primary key);
            create table bad_reference (id int, code text references codes);
            create table not_written (id int, code text unique);
            create table seen (id int, code text unique);
            create table without_key (id int unique, code text);
            create index on without_key (code);",
        rules: "
            insert into goforward.table_security (schema_name, table_name, field_permissions)
            select 'public', t.name, '{\"code\": {\"hidden\": true, \"can_write\": true}}'
            from unnest(array['bad_unique', 'bad_expression', 'bad_reference', 'without_key']) t (name)
            union all values ('public', 'not_written', '{\"code\": {\"hidden\": true}}'::jsonb),
              ('public', 'seen', '{\"code\": {\"can_write\": true}}')",
        finds: &["public.bad_expression", "public.bad_reference", "public.bad_unique"],
        fix: Fix::Words,
    },
    Case {
        rule: Rule::HiddenColumnGranted,
        severity: Severity::Warning,
        objects: "
            create table bad (id int, \"the Secret\" text);
            revoke all on bad from authenticated;
            create table granted_by_column (id int, secret text);
            revoke select on granted_by_column from anon, authenticated;
            grant select (id) on granted_by_column to anon, authenticated;
            create table for_staff (id int, secret text);
            create table masked (id int, secret text);",
        rules: "
            insert into goforward.table_security (schema_name, table_name, field_permissions, hidden_fields) values
              ('public', 'bad', '{}', '{the Secret}'), ('public', 'granted_by_column', '{}', '{secret}'),
              ('public', 'for_staff', '{\"secret\": {\"hidden\": true, \"allowed_roles\": [\"staff\"]}}', '{}'),
              ('public', 'masked', '{\"secret\": {\"masked\": true}}', '{}')",
        finds: &["public.bad"],
        fix: Fix::Sql,
    },
];
