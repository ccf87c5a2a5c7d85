-- The rules of tables (see docs/guides/table-security.md): one row a table, every version kept, and a notice to all nodes
-- of goforward in the transaction that changes one. Column names are those of the API. A column that a later version adds
-- must be NULL while it is off, so that this version can tell whether it may ignore it.

create table goforward.table_security (
    schema_name       text not null,
    table_name        text not null,
    active            boolean not null default true,
    display_name      text,
    description       text,
    require_auth      boolean not null default false,
    require_verified  boolean not null default false,
    require_mfa       boolean not null default false,
    allowed_roles     text[] not null default '{}',
    require_ownership boolean not null default false,
    ownership_column  text,
    public_read       boolean not null default false,
    public_write      boolean not null default false,
    ip_allowlist      text[] not null default '{}',
    rate_limit        jsonb,
    audit_actions     text[] not null default '{}',
    readable_fields   text[] not null default '{}',
    writable_fields   text[] not null default '{}',
    hidden_fields     text[] not null default '{}',
    field_permissions jsonb not null default '{}',
    custom_filters    jsonb not null default '{}',
    table_oid         oid,
    version           bigint not null default 1,
    created_at        timestamptz not null default now(),
    created_by        text,
    updated_at        timestamptz not null default now(),
    updated_by        text,
    primary key (schema_name, table_name)
);

comment on table goforward.table_security is
    'Rules about who may do what with a table, beside its grants and row policies. A row that cannot be read closes its table.';

create table goforward.table_security_history (
    id            bigint generated always as identity primary key,
    schema_name   text not null,
    table_name    text not null,
    version       bigint not null,
    action        text not null check (action in ('created', 'changed', 'deleted')),
    rules         jsonb,
    changed_at    timestamptz not null default now(),
    changed_by    text
);

create index table_security_history_of_table on goforward.table_security_history (schema_name, table_name, id);

comment on table goforward.table_security_history is
    'Every version of the rules of every table, deleted ones included; written by triggers only.';

-- Counts versions and looks the table up, whoever writes the row: plain SQL too.
create function goforward.count_table_security_version() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $function$
begin
    -- Tells a table that was renamed; by its name alone it would be one without rules.
    new.table_oid := (
        select c.oid from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = new.schema_name and c.relname = new.table_name);
    if tg_op = 'UPDATE' then
        new.version := old.version + 1;
        new.created_at := old.created_at;
        new.created_by := old.created_by;
    else
        -- A table whose rules were deleted and made again goes on counting, so that an old ETag never fits.
        new.version := 1 + coalesce((
            select max(h.version) from goforward.table_security_history as h
            where h.schema_name = new.schema_name and h.table_name = new.table_name), 0);
        new.created_at := now();
        new.created_by := coalesce(new.created_by, new.updated_by, current_user);
    end if;
    new.updated_at := now();
    new.updated_by := coalesce(new.updated_by, current_user);
    return new;
end
$function$;

create function goforward.keep_table_security_version() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    as $function$
begin
    if tg_op = 'DELETE' then
        insert into goforward.table_security_history (schema_name, table_name, version, action, rules, changed_by)
        values (old.schema_name, old.table_name, old.version + 1, 'deleted', null,
                coalesce(nullif(current_setting('goforward.changed_by', true), ''), session_user));
    else
        insert into goforward.table_security_history (schema_name, table_name, version, action, rules, changed_by)
        values (new.schema_name, new.table_name, new.version,
                case tg_op when 'INSERT' then 'created' else 'changed' end,
                jsonb_strip_nulls(to_jsonb(new) - array['schema_name', 'table_name', 'table_oid', 'version', 'created_at',
                                                        'created_by', 'updated_at', 'updated_by']),
                new.updated_by);
    end if;
    notify pgrst, 'reload schema';
    return null;
end
$function$;

revoke all on function goforward.count_table_security_version(), goforward.keep_table_security_version() from public;

create trigger count_version before insert or update on goforward.table_security
    for each row execute function goforward.count_table_security_version();
create trigger keep_version after insert or update or delete on goforward.table_security
    for each row execute function goforward.keep_table_security_version();

-- Tables of this schema have no grants for roles of callers, and functions only where they are meant for them.
-- The mask `hash`: equal values stay equal, and nobody without the key can try values. Roles of callers may call it, since
-- it runs in their queries; only through it do they reach the key.
create table goforward.mask_key (
    only_row boolean primary key default true check (only_row),
    key      bytea not null
);

insert into goforward.mask_key (key)
select sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));

create function goforward.mask_hash(value text) returns text
    language sql stable strict parallel safe
    security definer
    set search_path = pg_catalog, pg_temp
    as $function$
    select encode(sha256(key || sha256(key || convert_to(value, 'UTF8'))), 'hex') from goforward.mask_key
$function$;

comment on function goforward.mask_hash(text) is 'The SHA-256 of a value with the key of this database, for masked columns.';

grant usage on schema goforward to public;
