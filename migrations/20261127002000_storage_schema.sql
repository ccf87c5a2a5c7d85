-- What programs on Supabase know of schema storage: buckets and objects with their policies, and the functions that policies
-- and queries use.
--
-- A schema that Supabase made is completed in place: what is there stays, with its rows and policies. Left out are tables of
-- services that goforward does not have (vectors, analytics).

do $$
begin
    if to_regtype('storage.buckettype') is null then
        create type storage.buckettype as enum ('STANDARD', 'ANALYTICS', 'VECTOR');
    end if;
end
$$;

create table if not exists storage.buckets (
    id                 text primary key,
    name               text not null,
    owner              uuid,
    created_at         timestamptz default now(),
    updated_at         timestamptz default now(),
    public             boolean default false,
    avif_autodetection boolean default false,
    file_size_limit    bigint,
    allowed_mime_types text[],
    owner_id           text,
    type               storage.buckettype not null default 'STANDARD'
);
alter table storage.buckets
    add column if not exists public boolean default false,
    add column if not exists avif_autodetection boolean default false,
    add column if not exists file_size_limit bigint,
    add column if not exists allowed_mime_types text[],
    add column if not exists owner_id text,
    add column if not exists type storage.buckettype not null default 'STANDARD',
    add column if not exists versioning_status text not null default 'DISABLED';
create unique index if not exists bname on storage.buckets (name);

create table if not exists storage.objects (
    id               uuid primary key default gen_random_uuid(),
    bucket_id        text references storage.buckets (id),
    name             text,
    owner            uuid,
    created_at       timestamptz default now(),
    updated_at       timestamptz default now(),
    last_accessed_at timestamptz default now(),
    metadata         jsonb,
    path_tokens      text[] generated always as (string_to_array(name, '/')) stored,
    version          text,
    owner_id         text,
    user_metadata    jsonb
);
alter table storage.objects
    add column if not exists version text,
    add column if not exists owner_id text,
    add column if not exists user_metadata jsonb,
    add column if not exists archived_at timestamptz,
    add column if not exists is_delete_marker boolean not null default false,
    add column if not exists is_versioned boolean not null default false;
create unique index if not exists bucketid_objname on storage.objects (bucket_id, name);
-- Lists are in the order of bytes, whatever the collation of the database.
create index if not exists idx_objects_bucket_id_name on storage.objects (bucket_id, name collate "C");
create index if not exists objects_owner_id_index on storage.objects (owner_id);

comment on table storage.buckets is 'Folders of the highest level, each with its own limits. Policies here decide who sees and changes which.';
comment on table storage.objects is
    'What is stored; the bytes lie elsewhere, under "version". Policies here decide who reads, writes and removes what.';
comment on column storage.buckets.owner is 'Deprecated: use owner_id.';
comment on column storage.objects.owner is 'Deprecated: use owner_id.';
comment on column storage.objects.version is 'Names the bytes; another with every write.';

create table if not exists storage.s3_multipart_uploads (
    id               text primary key,
    in_progress_size bigint not null default 0,
    upload_signature text not null default '',
    bucket_id        text not null references storage.buckets (id),
    key              text not null collate "C",
    version          text not null,
    owner_id         text,
    created_at       timestamptz not null default now(),
    user_metadata    jsonb
);
alter table storage.s3_multipart_uploads
    add column if not exists user_metadata jsonb,
    add column if not exists metadata jsonb;
create index if not exists idx_multipart_uploads_list on storage.s3_multipart_uploads (bucket_id, key, created_at);

create table if not exists storage.s3_multipart_uploads_parts (
    id          uuid primary key default gen_random_uuid(),
    upload_id   text not null references storage.s3_multipart_uploads (id) on delete cascade,
    size        bigint not null default 0,
    part_number integer not null,
    bucket_id   text not null references storage.buckets (id),
    key         text not null collate "C",
    etag        text not null,
    owner_id    text,
    version     text not null,
    created_at  timestamptz not null default now()
);
create index if not exists s3_multipart_uploads_parts_upload_index
    on storage.s3_multipart_uploads_parts (upload_id, part_number);

alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
alter table storage.s3_multipart_uploads enable row level security;
alter table storage.s3_multipart_uploads_parts enable row level security;

do $$
declare
    named text;
begin
    for named in select rolname from pg_roles where rolname in ('anon', 'authenticated', 'service_role') loop
        execute format('grant all on storage.buckets, storage.objects to %I', named);
        execute format('grant select on storage.s3_multipart_uploads, storage.s3_multipart_uploads_parts to %I', named);
    end loop;
end
$$;

create or replace function storage.foldername(name text) returns text[]
    language sql immutable parallel safe
    as $$ select (string_to_array($1, '/'))[1:cardinality(string_to_array($1, '/')) - 1] $$;

create or replace function storage.filename(name text) returns text
    language sql immutable parallel safe
    as $$ select (string_to_array($1, '/'))[cardinality(string_to_array($1, '/'))] $$;

create or replace function storage.extension(name text) returns text
    language sql immutable parallel safe
    as $$
        select case when position('.' in last) > 0 then reverse(split_part(reverse(last), '.', 1)) else '' end
        from (select (string_to_array($1, '/'))[cardinality(string_to_array($1, '/'))] as last) as segment
    $$;

create or replace function storage.operation() returns text
    language sql stable
    as $$ select nullif(current_setting('storage.operation', true), '') $$;

create or replace function storage.allow_only_operation(expected_operation text) returns boolean
    language sql stable
    as $$
        select coalesce(
            regexp_replace(nullif(current_setting('storage.operation', true), ''), '^storage\.', '')
                = regexp_replace(nullif($1, ''), '^storage\.', ''), false)
    $$;

create or replace function storage.allow_any_operation(expected_operations text[]) returns boolean
    language sql stable
    as $$
        select coalesce(bool_or(
            regexp_replace(nullif(current_setting('storage.operation', true), ''), '^storage\.', '')
                = regexp_replace(nullif(expected, ''), '^storage\.', '')), false)
        from unnest($1) as expected
    $$;

create or replace function storage.get_size_by_bucket() returns table (size bigint, bucket_id text)
    language sql stable
    as $$
        select sum((objects.metadata ->> 'size')::bigint)::bigint, objects.bucket_id
        from storage.objects as objects
        group by objects.bucket_id
    $$;

comment on function storage.operation() is
    'What is being done, as in storage.object.upload: for policies on storage.objects and storage.buckets.';

create or replace function storage.update_updated_at_column() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    new.updated_at = now();
    return new;
end
$$;

-- The bytes would stay behind, and nobody would know of the deletion who needs to.
create or replace function storage.protect_delete() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if coalesce(current_setting('storage.allow_delete_query', true), 'false') <> 'true' then
        raise exception 'Direct deletion from storage tables is not allowed. Use the Storage API instead.'
            using errcode = '42501',
                  hint = 'This prevents accidental data loss from orphaned objects.';
    end if;
    return null;
end
$$;

create or replace function storage.enforce_bucket_name_length() returns trigger
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if length(new.name) > 100 then
        raise exception 'bucket name "%" is too long (% characters). Max is 100.', new.name, length(new.name);
    end if;
    return new;
end
$$;

create or replace trigger update_objects_updated_at before update on storage.objects
    for each row execute function storage.update_updated_at_column();
create or replace trigger protect_objects_delete before delete on storage.objects
    for each statement execute function storage.protect_delete();
create or replace trigger protect_buckets_delete before delete on storage.buckets
    for each statement execute function storage.protect_delete();
create or replace trigger protect_objects_truncate before truncate on storage.objects
    for each statement execute function storage.protect_delete();
create or replace trigger protect_buckets_truncate before truncate on storage.buckets
    for each statement execute function storage.protect_delete();
create or replace trigger enforce_bucket_name_length_trigger before insert or update of name on storage.buckets
    for each row execute function storage.enforce_bucket_name_length();
