-- Uploads that come in several requests by TUS: what has arrived of each, and in which blobs.

create table goforward.tus_uploads (
    version       uuid primary key,
    bucket_id     text not null,
    name          text not null,
    owner_id      text,
    -- Whether a signed URL lets it be written, in place of a caller's policies.
    is_signed     boolean not null,
    upsert        boolean not null,
    content_type  text,
    cache_control text,
    user_metadata jsonb,
    -- `Upload-Metadata` as the client sent it.
    said          text not null,
    -- Null until the client says it.
    length        bigint check (length >= received),
    received      bigint not null default 0,
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null,
    -- Who is writing. Renewed while they do, so that a holder that is gone does not lock the upload for ever.
    holder        uuid,
    held_until    timestamptz,
    -- Whether another has come that wants to go on: a holder that hears nothing from its client then lets go.
    is_wanted     boolean not null default false,
    -- When its object was there.
    finished_at   timestamptz
);
create index tus_uploads_expiry_index on goforward.tus_uploads (expires_at);
create index tus_uploads_bucket_index on goforward.tus_uploads (bucket_id) where finished_at is null;
create index tus_uploads_owner_index on goforward.tus_uploads (owner_id) where finished_at is null;
comment on table goforward.tus_uploads is 'Resumable uploads (TUS), until they expire.';

create table goforward.tus_parts (
    upload uuid not null references goforward.tus_uploads (version) on delete cascade,
    starts bigint not null check (starts >= 0),
    size   bigint not null check (size > 0),
    blob   text not null unique,
    primary key (upload, starts)
);
comment on table goforward.tus_parts is 'What has arrived of resumable uploads: which blob has the bytes from where on.';

-- The bytes of a part that no upload has any more are dead with the transaction that said so.
create or replace function goforward.storage_part_left() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    update goforward.storage_blobs set state = 'dead', touched_at = now() where version = old.blob;
    return null;
end
$$;

create trigger goforward_part_left after delete on goforward.tus_parts
    for each row execute function goforward.storage_part_left();

revoke all on function goforward.storage_part_left() from public;
