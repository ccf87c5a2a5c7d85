-- The schema realtime of a Supabase project of 2024, compact: messages without binary payloads and without a default
-- partition, with what an application hangs on them.
create schema if not exists realtime;

create type realtime.action as enum ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'ERROR');
create type realtime.equality_op as enum ('eq', 'neq', 'lt', 'lte', 'gt', 'gte', 'in');
create type realtime.user_defined_filter as (column_name text, op realtime.equality_op, value text);

create table realtime.messages (
    topic text not null, extension text not null, payload jsonb, event text, private boolean default false,
    updated_at timestamp not null default now(), inserted_at timestamp not null default now(),
    id uuid not null default gen_random_uuid(), primary key (id, inserted_at)
) partition by range (inserted_at);
alter table realtime.messages enable row level security;
create table realtime.messages_2024_11_01 partition of realtime.messages
    for values from ('2024-11-01') to ('2024-11-02');

create function realtime.topic() returns text language sql stable
    as $$ select nullif(current_setting('realtime.topic', true), '')::text $$;
create function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
    language plpgsql as $$ begin raise exception 'of another server'; end $$;
create function realtime.to_regrole(role_name text) returns regrole language sql immutable
    as $$ select role_name::regrole $$;
create function realtime.apply_rls(wal jsonb, max_record_bytes int default 1048576) returns setof jsonb
    language sql as 'select wal';

create table realtime.subscription (
    id bigint generated always as identity primary key, subscription_id uuid not null, entity regclass not null,
    filters realtime.user_defined_filter[] not null default '{}', claims jsonb not null,
    claims_role regrole not null generated always as (realtime.to_regrole(claims ->> 'role')) stored,
    created_at timestamp not null default timezone('utc', now())
);
create publication supabase_realtime;

insert into realtime.messages (topic, extension, event, inserted_at) values ('old', 'broadcast', 'kept', '2024-11-01');
create policy members on realtime.messages for select using (realtime.topic() = 'room');
