-- Grants on whole tables that goforward replaced by grants on columns, because rules keep the other columns from the role
-- (see docs/guides/table-security.md): so that it gives back what it took and nothing else.

create table goforward.narrowed_grants (
    schema_name  text not null,
    table_name   text not null,
    role_name    text not null,
    privilege    text not null check (privilege in ('select', 'insert', 'update')),
    is_grantable boolean not null,
    taken_at     timestamptz not null default now(),
    primary key (schema_name, table_name, role_name, privilege)
);

comment on table goforward.narrowed_grants is
    'Privileges on whole tables that goforward took from roles to leave them single columns. Kept by goforward.';
