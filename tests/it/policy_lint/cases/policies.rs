//! Row policies.

use goforward::policy::lint::{Rule, Severity};

use crate::policy_lint::{Case, Fix, hold};

#[tokio::test]
async fn policies_that_are_slow_or_open_are_found() {
    hold(CASES).await;
}

pub(super) const CASES: &[Case] = &[
    Case {
        rule: Rule::PolicyCallPerRow,
        severity: Severity::Warning,
        objects: "
            create table bad (id int, owner uuid, email text);
            alter table bad enable row level security;
            create policy \"own rows\" on bad using (owner = auth.uid()) with check (owner = auth.uid());
            create policy mail on bad for select using (email = auth.jwt() ->> 'email' or auth.role() = 'x');
            create policy setting on bad for delete
              using (email = current_setting('request.jwt.claims', true)::jsonb ->> 'email');
            create table members (team int, who uuid);
            create table bad_members (team int);
            alter table bad_members enable row level security;
            create policy p on bad_members using (exists (
              select from members as m where m.team = bad_members.team and m.who = auth.uid()));
            create table once (id int, owner uuid, email text, note text);
            alter table once enable row level security;
            create policy p on once using (owner = (select auth.uid()))
              with check (email = (select auth.jwt() ->> 'email') and note <> 'auth.uid()');
            create table for_servers (owner uuid);
            alter table for_servers enable row level security;
            create policy p on for_servers to service_role using (owner = auth.uid());",
        rules: "",
        finds: &["public.bad", "public.bad", "public.bad", "public.bad_members"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::PolicyColumnWithoutIndex,
        severity: Severity::Note,
        objects: "
            create table bad (id int, \"the Owner\" uuid);
            alter table bad enable row level security;
            create policy p on bad using (\"the Owner\" = (select auth.uid()));
            create table bad_partial (owner uuid, done boolean);
            create index on bad_partial (owner) where done;
            alter table bad_partial enable row level security;
            create policy p on bad_partial using ((select auth.uid()) = owner);
            create table bad_second (id int, owner uuid);
            create index on bad_second (id, owner);
            alter table bad_second enable row level security;
            create policy p on bad_second using (auth.uid() = owner);
            create table bad_members (team int, who uuid);
            create table documents (team int primary key, owner uuid, status text);
            create index on documents (owner, status);
            alter table documents enable row level security;
            create policy p on documents using (
              owner = (select auth.uid()) or status = 'public'
              or team in (select m.team from bad_members as m where m.who = (select auth.uid())));
            create table cast_first (owner uuid);
            alter table cast_first enable row level security;
            create policy p on cast_first using (owner::text = (select auth.jwt() ->> 'sub'));
            create table written (owner uuid);
            alter table written enable row level security;
            create policy p on written for insert with check (owner = (select auth.uid()));",
        rules: "",
        finds: &["public.bad", "public.bad_members", "public.bad_partial", "public.bad_second"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::PolicyTrustsUserMetadata,
        severity: Severity::Problem,
        objects: "
            create table bad (id int);
            alter table bad enable row level security;
            create policy p on bad using ((select auth.jwt() -> 'user_metadata' ->> 'role') = 'admin');
            create table bad_path (id int);
            alter table bad_path enable row level security;
            create policy p on bad_path with check ((select auth.jwt() #>> '{user_metadata,role}') = 'admin');
            create table by_server (id int);
            alter table by_server enable row level security;
            create policy p on by_server using ((select auth.jwt() -> 'app_metadata' ->> 'role') = 'admin');",
        rules: "",
        finds: &["public.bad", "public.bad_path"],
        fix: Fix::Words,
    },
    Case {
        rule: Rule::PolicyAlwaysTrue,
        severity: Severity::Problem,
        objects: "
            create table bad_all (id int);
            alter table bad_all enable row level security;
            create policy \"all of it\" on bad_all using (true);
            create table bad_insert (id int);
            alter table bad_insert enable row level security;
            create policy p on bad_insert for insert to anon with check (true);
            create table bad_update (id int, owner uuid);
            alter table bad_update enable row level security;
            create policy p on bad_update for update using (owner = (select auth.uid())) with check (true);
            create table bad_restricted (id int);
            alter table bad_restricted enable row level security;
            create policy p on bad_restricted for delete using (true);
            create policy r on bad_restricted as restrictive for delete using (true);
            create table own (id int, owner uuid);
            alter table own enable row level security;
            create policy p on own using (owner = (select auth.uid()));
            create table restricted (id int);
            alter table restricted enable row level security;
            create policy p on restricted for delete using (true);
            create policy r on restricted as restrictive using (id > 0);
            create table not_granted (id int);
            revoke all on not_granted from anon, authenticated;
            grant select on not_granted to anon;
            alter table not_granted enable row level security;
            create policy p on not_granted for delete using (true);
            create table for_servers (id int);
            alter table for_servers enable row level security;
            create policy p on for_servers to service_role using (true) with check (true);
            create table row_security_off (id int);
            create policy p on row_security_off using (true);",
        rules: "",
        finds: &["public.bad_all", "public.bad_insert", "public.bad_restricted", "public.bad_update"],
        fix: Fix::Sql,
    },
    Case {
        rule: Rule::PolicyAlwaysTrue,
        severity: Severity::Note,
        objects: "
            create table read_by_all (id int, hidden boolean);
            alter table read_by_all enable row level security;
            create policy p on read_by_all for select using (true);
            create table for_sale (id int, hidden boolean);
            alter table for_sale enable row level security;
            create policy p on for_sale for select using (not hidden);",
        rules: "",
        finds: &["public.read_by_all"],
        fix: Fix::Sql,
    },
];
