-- What goforward itself keeps about stored bytes: which are there and why, and how much is allowed.

-- One row for every blob that the backend holds or may hold. It is written before the first byte, and goes after the last.
create table goforward.storage_blobs (
    version    text primary key,
    -- writing: somebody says so, and touches the row while it lasts; part: an upload that is not whole has it; stored: an
    -- object has it; dead: to be removed.
    state      text not null default 'writing' check (state in ('writing', 'part', 'stored', 'dead')),
    touched_at timestamptz not null default now()
);
create index storage_blobs_open_index on goforward.storage_blobs (touched_at) where state in ('writing', 'dead');

comment on table goforward.storage_blobs is
    'The bytes that the storage backend holds or may hold. Rows that are "dead", or "writing" and long untouched, are swept, '
    'bytes first; a "part" is dead with the row that names it.';

-- How much may lie in a bucket, or be one owner's. Counted only where a limit is set.
create table goforward.storage_quotas (
    kind        text not null check (kind in ('bucket', 'owner')),
    id          text not null,
    quota_bytes bigint not null check (quota_bytes >= 0),
    used_bytes  bigint not null default 0,
    primary key (kind, id)
);

comment on table goforward.storage_quotas is
    'The most bytes of a bucket or an owner, and how many there are; changed with each object, in its transaction.';

-- Bytes that no object has any more are dead with the transaction that said so.
create or replace function goforward.storage_blob_left() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if old.version is not null then
        -- A row that somebody made for bytes of another object takes nothing away with it.
        update goforward.storage_blobs set state = 'dead', touched_at = now()
        where version = old.version
            and not exists (select from storage.objects as object where object.version = old.version);
    end if;
    return null;
end
$$;

create trigger goforward_blob_left after delete on storage.objects
    for each row execute function goforward.storage_blob_left();
create trigger goforward_blob_replaced after update of version on storage.objects
    for each row when (old.version is distinct from new.version) execute function goforward.storage_blob_left();

-- Counts what is added and taken away. One that would go beyond is refused, also when many come at once: they wait for the
-- row of the quota.
create or replace function goforward.storage_count(kind text, id text, delta bigint) returns void
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
#variable_conflict use_variable
declare
    counted record;
begin
    if id is null or delta = 0 then
        return;
    end if;
    update goforward.storage_quotas as quota set used_bytes = greatest(quota.used_bytes + delta, 0)
    where quota.kind = kind and quota.id = id
    returning quota.used_bytes, quota.quota_bytes into counted;
    if delta > 0 and counted.used_bytes > counted.quota_bytes then
        raise exception 'The quota of this % is exceeded', kind
            using errcode = 'GFQTA', hint = 'Remove objects, or ask for a larger quota.';
    end if;
end
$$;
revoke all on function goforward.storage_count(text, text, bigint) from public;

create or replace function goforward.storage_counted() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
declare
    before bigint := 0;
    after  bigint := 0;
begin
    if tg_op <> 'INSERT' then
        before := coalesce((old.metadata ->> 'size')::bigint, 0);
    end if;
    if tg_op <> 'DELETE' then
        after := coalesce((new.metadata ->> 'size')::bigint, 0);
    end if;
    if tg_op = 'UPDATE' and old.bucket_id is not distinct from new.bucket_id
        and old.owner_id is not distinct from new.owner_id then
        perform goforward.storage_count('bucket', new.bucket_id, after - before);
        perform goforward.storage_count('owner', new.owner_id, after - before);
        return null;
    end if;
    if tg_op <> 'INSERT' then
        perform goforward.storage_count('bucket', old.bucket_id, -before);
        perform goforward.storage_count('owner', old.owner_id, -before);
    end if;
    if tg_op <> 'DELETE' then
        perform goforward.storage_count('bucket', new.bucket_id, after);
        perform goforward.storage_count('owner', new.owner_id, after);
    end if;
    return null;
end
$$;

create trigger goforward_counted after insert or delete on storage.objects
    for each row execute function goforward.storage_counted();
create trigger goforward_recounted after update of metadata, bucket_id, owner_id on storage.objects
    for each row
    when (old.metadata -> 'size' is distinct from new.metadata -> 'size'
        or old.bucket_id is distinct from new.bucket_id or old.owner_id is distinct from new.owner_id)
    execute function goforward.storage_counted();

create index objects_version_index on storage.objects (version);

-- Triggers need no right to be called; nobody is to hang these functions on tables of their own.
revoke all on function goforward.storage_blob_left(), goforward.storage_counted() from public;
