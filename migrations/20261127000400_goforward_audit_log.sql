-- The audit log (see docs/guides/audit.md): who read and wrote what in the tables whose rules ask for a record.
--
-- Writes are recorded by triggers, in the transaction that writes, so REST, functions and plain SQL leave the same trace.
-- Who asked comes from the setting goforward.context, which the server signs: SQL that a caller reaches can read its own
-- and spoil it, but make none. Nobody but the login goforward can read the log or the key.

create table goforward.audit_log (
    id            bigint generated always as identity primary key,
    occurred_at   timestamptz not null default clock_timestamp(),
    transaction   xid8 not null default pg_current_xact_id(),
    verb          text not null,
    schema_name   text,
    table_name    text,
    key           jsonb,
    old_values    jsonb,
    new_values    jsonb,
    row_count     bigint,
    outcome       text not null default 'done' check (outcome in ('done', 'refused', 'failed')),
    error_code    text,
    actor         text,
    role          text,
    ip            inet,
    agent         text,
    session       text,
    request_id    text,
    database_role text not null,
    proved        boolean not null
);

comment on table goforward.audit_log is
    'Who read and wrote what. Append-only: records go by goforward.forget_audit_records alone, which leaves one itself.';
comment on column goforward.audit_log.key is 'The primary key of the row, as it was before a change.';
comment on column goforward.audit_log.old_values is 'Of an update only the columns that changed.';
comment on column goforward.audit_log.proved is
    'Whether the server vouches for actor, role, ip, agent, session and request_id; they are NULL where it does not.';

create index audit_log_by_time on goforward.audit_log using brin (occurred_at);
create index audit_log_by_table on goforward.audit_log (schema_name, table_name, id);
create index audit_log_by_actor on goforward.audit_log (actor, id) where actor is not null;

-- What the server signs contexts with: HMAC-SHA256 in the form that sha256() can compute (RFC 2104).
create table goforward.audit_key (
    is_current boolean primary key default true check (is_current),
    secret     bytea not null,
    inner_pad  bytea not null,
    outer_pad  bytea not null
);

comment on table goforward.audit_key is 'Secret: whoever reads it can speak for any actor in the audit log.';

-- 4 x 122 random bits, of which sha256 keeps 256.
with random as (
    select sha256(convert_to(string_agg(gen_random_uuid()::text, ''), 'UTF8')) as secret from generate_series(1, 4)
)
insert into goforward.audit_key (secret, inner_pad, outer_pad)
select random.secret, pads.inner_pad, pads.outer_pad
from random cross join lateral (
    select string_agg(set_byte('\x00', 0, block.byte # 54), '' order by block.place) as inner_pad,
           string_agg(set_byte('\x00', 0, block.byte # 92), '' order by block.place) as outer_pad
    from (select place, case when place < 32 then get_byte(random.secret, place) else 0 end as byte
          from generate_series(0, 63) as place) as block
) as pads;

-- Which transaction used a context: a second one that shows it has stolen it.
create table goforward.audit_nonces (
    nonce       uuid primary key,
    transaction xid8 not null,
    seen_at     timestamptz not null default clock_timestamp()
);

create index audit_nonces_by_time on goforward.audit_nonces using brin (seen_at);

create type goforward.audit_origin as (
    actor text, role text, ip inet, agent text, session text, request_id text, database_role text, proved boolean
);

-- Where the current statement comes from. `1.<64 hexadecimal digits>.<JSON>` is the form of a context; what was not
-- signed by the server, is older than a quarter of an hour, or was used by another transaction proves nothing.
create function goforward.current_audit_origin() returns goforward.audit_origin
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $function$
declare
    setting text := coalesce(current_setting('goforward.context', true), '');
    origin  goforward.audit_origin;
    pads    goforward.audit_key;
    context jsonb;
    mac     bytea;
begin
    -- Inside a function with the rights of its owner the setting still names the role that the session switched to.
    origin.database_role := coalesce(nullif(current_setting('role'), 'none'), session_user);
    origin.proved := false;
    if setting !~ '^1\.[0-9a-f]{64}\.' then
        return origin;
    end if;
    select * into strict pads from goforward.audit_key;
    mac := sha256(pads.outer_pad || sha256(pads.inner_pad || convert_to('1.' || substr(setting, 68), 'UTF8')));
    -- Compared by digests that nobody can foresee, as the time that a comparison takes tells how far two values agree.
    if sha256(pads.outer_pad || mac) <> sha256(pads.outer_pad || decode(substr(setting, 3, 64), 'hex')) then
        return origin;
    end if;
    context := substr(setting, 68);
    if abs(extract(epoch from clock_timestamp()) - (context ->> 'at')::numeric / 1000) > 900 then
        return origin;
    end if;
    -- Waits for another transaction that shows the same context at this moment.
    insert into goforward.audit_nonces (nonce, transaction)
    values ((context ->> 'nonce')::uuid, pg_current_xact_id())
    on conflict (nonce) do nothing;
    if not found and not exists (select from goforward.audit_nonces as used
                   where used.nonce = (context ->> 'nonce')::uuid and used.transaction = pg_current_xact_id()) then
        return origin;
    end if;
    origin.actor := context ->> 'actor';
    origin.role := context ->> 'role';
    origin.ip := context ->> 'ip';
    origin.agent := context ->> 'agent';
    origin.session := context ->> 'session';
    origin.request_id := context ->> 'request_id';
    origin.proved := true;
    return origin;
end
$function$;

-- The columns of a primary key with their values; NULL without one.
create function goforward.audit_row_key(image jsonb, columns text[]) returns jsonb
    language sql immutable
    set search_path = pg_catalog, pg_temp
    as 'select jsonb_object_agg(name, image -> name) from unnest(columns) as name';

-- One record a row, whatever the size of the statement; of TRUNCATE, which shows no rows, one a table. The columns of the
-- changed table are in scope only where nothing but the whole row is named: any of them may be called like a variable.
create function goforward.record_table_change() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    as $function$
declare
    origin      goforward.audit_origin;
    key_columns text[];
    unpaired    bigint := 0;
begin
    if tg_op = 'INSERT' then
        if not exists (select from new_rows) then return null; end if;
    elsif tg_op = 'UPDATE' then
        -- Old and new rows come in the same order. Where a trigger held back a row on its way to another partition there
        -- are fewer new ones: which pairs belong together is unknown then, and each row is recorded by itself.
        select case when count(*) <> (select count(*) from new_rows) then count(*) else 0 end
        into unpaired from old_rows;
        if not exists (select from old_rows) then return null; end if;
    elsif tg_op = 'DELETE' then
        if not exists (select from old_rows) then return null; end if;
    end if;
    origin := goforward.current_audit_origin();
    select array_agg(a.attname::text) into key_columns
    from pg_index as i
    join pg_attribute as a
        on a.attrelid = i.indrelid and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1])
    where i.indrelid = tg_relid and i.indisprimary;

    if tg_op = 'INSERT' then
        insert into goforward.audit_log (verb, schema_name, table_name, key, new_values,
            actor, role, ip, agent, session, request_id, database_role, proved)
        select 'insert', tg_table_schema, tg_table_name,
               goforward.audit_row_key(after.image, key_columns), after.image, (origin).*
        from (select to_jsonb(r.*) as image from new_rows as r) as after;
    elsif tg_op = 'DELETE' then
        insert into goforward.audit_log (verb, schema_name, table_name, key, old_values,
            actor, role, ip, agent, session, request_id, database_role, proved)
        select 'delete', tg_table_schema, tg_table_name,
               goforward.audit_row_key(before.image, key_columns), before.image, (origin).*
        from (select to_jsonb(r.*) as image from old_rows as r) as before;
    elsif tg_op = 'UPDATE' then
        insert into goforward.audit_log (verb, schema_name, table_name, key, old_values, new_values,
            actor, role, ip, agent, session, request_id, database_role, proved)
        select 'update', tg_table_schema, tg_table_name,
               goforward.audit_row_key(coalesce(before.image, after.image), key_columns),
               case when before.image is not null then coalesce(changes.old_values, '{}') end,
               case when after.image is not null then coalesce(changes.new_values, '{}') end, (origin).*
        from (select row_number() over () as place, to_jsonb(r.*) as image from old_rows as r) as before
        full join (select row_number() over () as place, to_jsonb(r.*) as image from new_rows as r) as after
            on before.place = after.place + unpaired
        cross join lateral (
            -- As text, since 1.0 and 1.00 are equal and yet a change.
            select jsonb_object_agg(name, before.image -> name) as old_values,
                   jsonb_object_agg(name, after.image -> name) as new_values
            from jsonb_object_keys(coalesce(before.image, after.image)) as name
            where (before.image -> name)::text is distinct from (after.image -> name)::text
        ) as changes;
    else
        insert into goforward.audit_log (verb, schema_name, table_name,
            actor, role, ip, agent, session, request_id, database_role, proved)
        select 'truncate', tg_table_schema, tg_table_name, (origin).*;
    end if;
    return null;
end
$function$;

-- Records stay: of all statements that could take one away, only a delete by forget_audit_records passes, which has left
-- a record of its own in the same transaction.
create function goforward.keep_audit_records() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $function$
begin
    if tg_op = 'DELETE' then
        if not exists (
            select from forgotten
            where forgotten.occurred_at >= coalesce((
                select max((record.new_values ->> 'before')::timestamptz) from goforward.audit_log as record
                where record.transaction = pg_current_xact_id() and record.verb = 'forget'
                    and record.schema_name is null and record.table_name is null), '-infinity')
        ) then
            return null;
        end if;
    end if;
    raise exception using
        errcode = 'insufficient_privilege',
        message = 'records of the audit log are never changed or removed',
        hint = 'Old ones are removed by goforward.forget_audit_records(before).';
end
$function$;

create trigger keep_records_changed before update or truncate on goforward.audit_log
    for each statement execute function goforward.keep_audit_records();
create trigger keep_records_deleted after delete on goforward.audit_log referencing old table as forgotten
    for each statement execute function goforward.keep_audit_records();
alter table goforward.audit_log enable always trigger keep_records_changed;
alter table goforward.audit_log enable always trigger keep_records_deleted;

-- Removes the records from before a time that is at least a day ago, and says so in the log. Gives their number.
create function goforward.forget_audit_records(before timestamptz) returns bigint
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $function$
declare
    forgotten bigint;
begin
    if before is null or before > now() - interval '1 day' then
        raise exception using
            errcode = 'invalid_parameter_value', message = 'records of the last day are kept in any case';
    end if;
    select count(*) into forgotten from goforward.audit_log where occurred_at < before;
    insert into goforward.audit_log (verb, new_values, row_count, database_role, proved)
    values ('forget', jsonb_build_object('before', before), forgotten, session_user, false);
    delete from goforward.audit_log where occurred_at < before;
    get diagnostics forgotten = row_count;
    return forgotten;
end
$function$;

revoke all on function goforward.current_audit_origin(), goforward.audit_row_key(jsonb, text[]),
    goforward.record_table_change(), goforward.keep_audit_records(), goforward.forget_audit_records(timestamptz)
    from public;
