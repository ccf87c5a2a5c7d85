-- What holds however requests are put: whose an unfinished upload is, whose bytes are, and what of them counts.

-- Who began an upload: a user, a key, a role. Null in rows of before, of which the owner tells.
alter table goforward.tus_uploads add column begun_by text;
alter table storage.s3_multipart_uploads add column if not exists begun_by text;

-- Whoever may write rows by SQL could name the bytes of another object and read them. So bytes are of one object, and none
-- that are kept for something else, or for nothing any more, become an object's.
with named as (
    select id, row_number() over (partition by version order by updated_at, id) as place
    from storage.objects where version is not null
)
update storage.objects as object set version = null from named where named.id = object.id and named.place > 1;
create unique index objects_version_key on storage.objects (version) where version is not null;
drop index if exists storage.objects_version_index;

create or replace function goforward.storage_version_named() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
declare
    found_state text;
begin
    -- Locked, so that nobody gives the bytes up meanwhile. The service calls them stored in the statement that names them.
    select blob.state into found_state from goforward.storage_blobs as blob where blob.version = new.version for share;
    -- A version is a UUID as PostgreSQL writes one: any other spelling of it would name bytes that this did not find.
    if found_state <> 'stored' or new.version !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        raise exception 'The bytes of an object are set by the Storage API'
            using errcode = '42501', hint = 'Leave "version" out.';
    end if;
    return new;
end
$$;
create trigger goforward_version_named before insert on storage.objects
    for each row when (new.version is not null) execute function goforward.storage_version_named();
create trigger goforward_version_renamed before update of version on storage.objects
    for each row when (new.version is not null and new.version is distinct from old.version)
    execute function goforward.storage_version_named();

-- Parts of unfinished uploads count like objects, from their first byte that is kept to the last: they lie on the same disk.
-- As an upload is finished they go in the transaction that makes its object.
alter table goforward.tus_parts add column bucket_id text, add column owner_id text;
update goforward.tus_parts as part set bucket_id = upload.bucket_id, owner_id = upload.owner_id
from goforward.tus_uploads as upload where upload.version = part.upload;
create index tus_parts_bucket_index on goforward.tus_parts (bucket_id);
create index tus_parts_owner_index on goforward.tus_parts (owner_id);
create index if not exists goforward_multipart_parts_owner on storage.s3_multipart_uploads_parts (owner_id);
create index if not exists goforward_multipart_parts_bucket on storage.s3_multipart_uploads_parts (bucket_id);

-- Counting goes by statement: so many rows of a bucket or an owner are one change of its quota, and all take quotas in one
-- order. The lock keeps out whoever was counted otherwise.
lock table goforward.tus_parts, storage.s3_multipart_uploads_parts, storage.objects in share row exclusive mode;

create function goforward.storage_parts_counted() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if not exists (select from goforward.storage_quotas) then
        return null;
    end if;
    perform goforward.storage_count(counted.kind, counted.id, case tg_op when 'INSERT' then counted.size else -counted.size end)
    from (
        select quota.kind, quota.id, sum(part.size)::bigint as size
        from changed as part, lateral (values ('bucket', part.bucket_id), ('owner', part.owner_id)) as quota (kind, id)
        group by quota.kind, quota.id order by quota.kind, quota.id
    ) as counted;
    return null;
end
$$;
create trigger goforward_counted after insert on goforward.tus_parts
    referencing new table as changed for each statement execute function goforward.storage_parts_counted();
create trigger goforward_discounted after delete on goforward.tus_parts
    referencing old table as changed for each statement execute function goforward.storage_parts_counted();
create trigger goforward_counted after insert on storage.s3_multipart_uploads_parts
    referencing new table as changed for each statement execute function goforward.storage_parts_counted();
create trigger goforward_discounted after delete on storage.s3_multipart_uploads_parts
    referencing old table as changed for each statement execute function goforward.storage_parts_counted();

drop trigger goforward_counted on storage.objects;
drop trigger goforward_recounted on storage.objects;
drop function goforward.storage_counted();
-- The size of an object, of which only the service knows better.
create function goforward.storage_size(metadata jsonb) returns bigint
    language sql immutable parallel safe
    set search_path = pg_catalog, pg_temp
    as $$ select coalesce((metadata ->> 'size')::bigint, 0) $$;

create function goforward.storage_objects_counted() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if not exists (select from goforward.storage_quotas) then
        return null;
    end if;
    perform goforward.storage_count(counted.kind, counted.id, case tg_op when 'INSERT' then counted.size else -counted.size end)
    from (
        select quota.kind, quota.id, sum(goforward.storage_size(object.metadata))::bigint as size
        from changed as object,
            lateral (values ('bucket', object.bucket_id), ('owner', object.owner_id)) as quota (kind, id)
        group by quota.kind, quota.id order by quota.kind, quota.id
    ) as counted;
    return null;
end
$$;
create trigger goforward_counted after insert on storage.objects
    referencing new table as changed for each statement execute function goforward.storage_objects_counted();
create trigger goforward_discounted after delete on storage.objects
    referencing old table as changed for each statement execute function goforward.storage_objects_counted();

create function goforward.storage_objects_recounted() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if not exists (select from goforward.storage_quotas) then
        return null;
    end if;
    perform goforward.storage_count(counted.kind, counted.id, counted.size)
    from (
        select quota.kind, quota.id, sum(object.size)::bigint as size
        from (
            select bucket_id, owner_id, goforward.storage_size(metadata) as size from added
            union all
            select bucket_id, owner_id, -goforward.storage_size(metadata) from removed
        ) as object, lateral (values ('bucket', object.bucket_id), ('owner', object.owner_id)) as quota (kind, id)
        group by quota.kind, quota.id order by quota.kind, quota.id
    ) as counted;
    return null;
end
$$;
create trigger goforward_recounted after update on storage.objects
    referencing old table as removed new table as added
    for each statement execute function goforward.storage_objects_recounted();

-- How much there is of a bucket or an owner, unfinished uploads included: what a quota that is set begins with.
create or replace function goforward.storage_used(kind text, id text) returns bigint
    language sql stable
    set search_path = pg_catalog, pg_temp
    as $$
        select coalesce(sum(held.size), 0)::bigint
        from (
            select goforward.storage_size(metadata) as size from storage.objects
            where ($1 = 'bucket' and bucket_id = $2) or ($1 = 'owner' and owner_id = $2)
            union all
            select size from goforward.tus_parts
            where ($1 = 'bucket' and bucket_id = $2) or ($1 = 'owner' and owner_id = $2)
            union all
            select size from storage.s3_multipart_uploads_parts
            where ($1 = 'bucket' and bucket_id = $2) or ($1 = 'owner' and owner_id = $2)
        ) as held
    $$;

with part as (
    select bucket_id, owner_id, size from goforward.tus_parts
    union all
    select bucket_id, owner_id, size from storage.s3_multipart_uploads_parts
), held as (
    select quota.kind, quota.id, sum(part.size)::bigint as size
    from part, lateral (values ('bucket', part.bucket_id), ('owner', part.owner_id)) as quota (kind, id)
    group by quota.kind, quota.id
)
update goforward.storage_quotas as quota set used_bytes = quota.used_bytes + held.size
from held where held.kind = quota.kind and held.id = quota.id;

-- Until when somebody is removing these bytes. Whoever sweeps needs no transaction while the backend takes its time.
alter table goforward.storage_blobs add column claimed_until timestamptz;

-- One rule for both.
create or replace function storage.allow_only_operation(expected_operation text) returns boolean
    language sql stable
    as $$ select storage.allow_any_operation(array[$1]) $$;

-- Gives all objects that the caller sees and may change below a prefix another one, or none; how many there were. `from_end` is
-- the first text behind all that begin with the prefix.
--
-- All names change by the same length. So where one prefix is below the other, what is in the way of a new name is an old one
-- that is longer (or shorter) by as much, and moves too: names go in classes of that length, those that are in the way first.
create or replace function storage.goforward_move_prefix(
    from_bucket text, from_prefix text, from_end text, to_bucket text, to_prefix text
) returns bigint
    language plpgsql
    as $$
declare
    step      integer := length(to_prefix) - length(from_prefix);
    is_nested boolean := step <> 0 and from_bucket = to_bucket
        and (starts_with(to_prefix, from_prefix) or starts_with(from_prefix, to_prefix));
    classes   integer[] := array[0];
    class     integer;
    renamed   bigint;
    too_long  text;
    total     bigint := 0;
begin
    if is_nested then
        select array_agg(found.class order by -sign(step) * found.class) into classes
        from (
            select distinct (length(object.name) - length(from_prefix)) / abs(step) as class
            from storage.objects as object
            where object.bucket_id = from_bucket and object.name collate "C" >= from_prefix
                and (from_end is null or object.name collate "C" < from_end)
        ) as found;
    end if;
    foreach class in array coalesce(classes, array[]::integer[]) loop
        with moved as (
            update storage.objects as object
            set bucket_id = to_bucket, name = to_prefix || substr(object.name, length(from_prefix) + 1)
            where object.bucket_id = from_bucket and object.name collate "C" >= from_prefix
                and (from_end is null or object.name collate "C" < from_end)
                and (not is_nested or (length(object.name) - length(from_prefix)) / abs(step) = class)
            returning object.name
        )
        select count(*), min(moved.name) filter (where octet_length(moved.name) > 1024) into renamed, too_long from moved;
        if too_long is not null then
            raise exception using errcode = 'GFKEY', message = too_long;
        end if;
        total := total + renamed;
    end loop;
    return total;
end
$$;
comment on function storage.goforward_move_prefix(text, text, text, text, text) is
    'Moves what lies below a prefix, as far as the caller may: POST /object/move-prefix.';

revoke all on function goforward.storage_version_named(), goforward.storage_parts_counted(),
    goforward.storage_objects_counted(), goforward.storage_objects_recounted(), goforward.storage_size(jsonb),
    goforward.storage_used(text, text) from public;
