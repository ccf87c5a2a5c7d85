//! Relations as a whole.

use goforward::policy::lint::{Rule, Severity};

use crate::policy_lint::{Case, Fix, hold};

#[tokio::test]
async fn relations_that_nothing_protects_are_found() {
    hold(CASES).await;
}

pub(super) const CASES: &[Case] = &[
    Case {
        rule: Rule::UnprotectedRelation,
        severity: Severity::Problem,
        objects: "
            create table bad (id int);
            create table \"bad Name\" (id int);
            create table protected (id int);
            alter table protected enable row level security;
            create table ruled (id int);
            create table unreachable (id int);
            revoke all on unreachable from anon, authenticated;
            create schema elsewhere;
            create table elsewhere.not_exposed (id int);
            grant usage on schema elsewhere to anon;
            grant all on elsewhere.not_exposed to anon;",
        rules: "insert into goforward.table_security (schema_name, table_name) values ('public', 'ruled')",
        finds: &["public.bad", "public.bad Name"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::UnprotectedRelation,
        severity: Severity::Problem,
        objects: "
            create table protected (id int);
            alter table protected enable row level security;
            create table open (id int);
            revoke all on open from anon, authenticated;
            create materialized view bad_copy as select * from protected;
            create view bad_view as select * from open;
            create materialized view unreachable_copy as select * from protected;
            revoke all on unreachable_copy from anon, authenticated;",
        rules: "",
        finds: &["public.bad_copy", "public.bad_view"],
        fix: Fix::Words,
    },
    Case {
        rule: Rule::ViewWithOwnerRights,
        severity: Severity::Problem,
        objects: "
            create table protected (id int);
            alter table protected enable row level security;
            create view bad as select id from protected;
            create view bad_above as select id from bad;
            create table ruled (id int);
            create view bad_over_rules as select id from ruled;
            create view over_nothing as select 1 as one;
            create view asking as select id from protected;
            create view unreachable as select id from protected;
            revoke all on unreachable from anon, authenticated;
            do $$ begin
              if current_setting('server_version_num')::int >= 150000 then
                alter view asking set (security_invoker = true);
              else -- views never ask as the caller there
                revoke all on asking from anon, authenticated;
              end if;
            end $$;",
        rules: "insert into goforward.table_security (schema_name, table_name) values ('public', 'ruled')",
        finds: &["public.bad", "public.bad_above", "public.bad_over_rules"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::ViewWithOwnerRights,
        severity: Severity::Note,
        objects: "
            create table protected (id int);
            alter table protected enable row level security;
            create view ruled as select id from protected;",
        rules: "insert into goforward.table_security (schema_name, table_name) values ('public', 'ruled')",
        finds: &["public.ruled"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::RowSecurityWithoutPolicy,
        severity: Severity::Note,
        objects: "
            create table bad (id int);
            alter table bad enable row level security;
            create table with_policy (id int);
            alter table with_policy enable row level security;
            create policy p on with_policy for select using (id > 0);
            create table without_row_security (id int);",
        rules: "",
        finds: &["public.bad"],
        fix: Fix::Words,
    },
];
