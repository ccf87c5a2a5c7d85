-- What programs on Supabase know of schema realtime: the messages with their policies, how SQL sends them, the publications.
--
-- A schema that Supabase made is completed in place: what is there stays, with its rows and policies. Left out is what only
-- Supabase's own server uses: apply_rls and the types wal_column and wal_rls.

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('action', 'enum (''INSERT'', ''UPDATE'', ''DELETE'', ''TRUNCATE'', ''ERROR'')'),
            ('equality_op', 'enum (''eq'', ''neq'', ''lt'', ''lte'', ''gt'', ''gte'', ''in'')'),
            ('user_defined_filter', '(column_name text, op realtime.equality_op, value text)')
        ) as type (name, definition)
    loop
        if to_regtype('realtime.' || wanted.name) is null then
            execute format('create type realtime.%I as %s', wanted.name, wanted.definition);
        end if;
    end loop;
end
$$;

create or replace function realtime.topic() returns text
    language sql stable
    as $$ select nullif(current_setting('realtime.topic', true), '')::text $$;

comment on function realtime.topic() is
    'The name of the channel that is asked for, for policies on realtime.messages; NULL outside of such a question.';

create table if not exists realtime.messages (
    topic          text not null,
    extension      text not null,
    payload        jsonb,
    event          text,
    private        boolean default false,
    updated_at     timestamp not null default (now() at time zone 'utc'),
    inserted_at    timestamp not null default (now() at time zone 'utc'),
    id             uuid not null default gen_random_uuid(),
    constraint messages_pkey primary key (id, inserted_at)
) partition by range (inserted_at);
alter table realtime.messages
    add column if not exists payload jsonb,
    add column if not exists event text,
    add column if not exists private boolean default false,
    add column if not exists binary_payload bytea;
alter table realtime.messages enable row level security;

comment on table realtime.messages is
    'What SQL sends to channels: every row that is committed is delivered, and kept for a while. Policies here decide who '
    'may join a private channel (SELECT) and send to it (INSERT).';

do $$
declare
    named text;
begin
    if not exists (select from pg_constraint
                   where conrelid = 'realtime.messages'::regclass and conname = 'messages_one_payload') then
        alter table realtime.messages add constraint messages_one_payload
            check (payload is null or binary_payload is null);
    end if;
    if (select relkind = 'p' from pg_class where oid = 'realtime.messages'::regclass)
        and (select partdefid = 0 from pg_partitioned_table where partrelid = 'realtime.messages'::regclass) then
        -- A message of a day that has no partition of its own is kept here.
        create table realtime.messages_default partition of realtime.messages default;
    end if;
    -- In an order of their own, as roles that policies speak of; which of them exist depends on what the owner may make.
    for named in select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role') loop
        execute format('grant select, insert, update on realtime.messages to %I', named);
    end loop;
end
$$;

-- What is replayed to those who join late.
create index if not exists messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
    where extension = 'broadcast' and private is true;

-- Runs with the rights of the caller, so policies on realtime.messages decide. A message that cannot be sent never fails
-- the transaction of whoever sends it.
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true) returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $function$
#variable_conflict use_variable
declare
    message  uuid := gen_random_uuid();
    previous text := coalesce(current_setting('realtime.topic', true), '');
begin
    begin
        perform set_config('realtime.topic', topic, true);
        insert into realtime.messages (id, payload, event, topic, private, extension)
        values (message,
                case when jsonb_typeof(payload) = 'object' and not payload ? 'id'
                     then payload || jsonb_build_object('id', message) else payload end,
                event, topic, private, 'broadcast');
        perform set_config('realtime.topic', previous, true);
    exception when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
    end;
end
$function$;

create or replace function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
    returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $function$
#variable_conflict use_variable
declare
    previous text := coalesce(current_setting('realtime.topic', true), '');
begin
    begin
        perform set_config('realtime.topic', topic, true);
        insert into realtime.messages (binary_payload, event, topic, private, extension)
        values (payload, event, topic, private, 'broadcast');
        perform set_config('realtime.topic', previous, true);
    exception when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
    end;
end
$function$;

-- For triggers of applications: sends what happened to a row.
create or replace function realtime.broadcast_changes(topic_name text, event_name text, operation text, table_name text,
    table_schema text, new record, old record, level text default 'ROW') returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $function$
begin
    if level = 'STATEMENT' then
        raise exception 'realtime.broadcast_changes sends rows: use it in a trigger FOR EACH ROW';
    end if;
    perform realtime.send(
        jsonb_build_object('old_record', old, 'record', new, 'operation', operation, 'table', table_name,
            'schema', table_schema),
        event_name, topic_name);
end
$function$;

-- An index on claims needs an immutable function; a role's name changes with its oid only where roles are renamed.
create or replace function realtime.to_regrole(role_name text) returns regrole
    language sql immutable
    as $$ select role_name::regrole $$;

create table if not exists realtime.subscription (
    id              bigint generated always as identity primary key,
    subscription_id uuid not null,
    entity          regclass not null,
    filters         realtime.user_defined_filter[] not null default '{}',
    claims          jsonb not null,
    claims_role     regrole not null generated always as (realtime.to_regrole(claims ->> 'role')) stored,
    created_at      timestamp not null default (now() at time zone 'utc'),
    action_filter   text default '*'
);
alter table realtime.subscription
    add column if not exists action_filter text default '*',
    add column if not exists selected_columns text[];

comment on table realtime.subscription is
    'Where Supabase keeps who listens to what. Here for SQL that names it; goforward keeps that in memory.';

-- To be made by whoever may create in the database, which the login goforward need not; without them nothing is captured
-- until somebody makes them.
do $$
declare
    service text := current_setting('role');
begin
    perform set_config('role', 'none', true);
    begin
        if not exists (select from pg_publication where pubname = 'supabase_realtime') then
            create publication supabase_realtime;
        end if;
        if not exists (select from pg_publication where pubname = 'supabase_realtime_messages_publication') then
            create publication supabase_realtime_messages_publication for table realtime.messages;
        end if;
    exception when insufficient_privilege then
        raise notice 'the publications of realtime are not made: %', sqlerrm;
    end;
    perform set_config('role', service, true);
end
$$;
