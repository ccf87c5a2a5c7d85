-- The protocol of S3: its access keys, and uploads in parts.

create table goforward.storage_s3_keys (
    access_key_id text primary key,
    name          text not null default '',
    -- What signatures are made with, so that it cannot be kept as a hash: sealed under a key that is not in the database.
    secret        text not null,
    claims        jsonb not null check (jsonb_typeof(claims -> 'role') = 'string'),
    created_at    timestamptz not null default now()
);

comment on table goforward.storage_s3_keys is
    'Long-lived access keys of the S3 protocol. Whoever signs with one acts under the role and claims that stand here.';

-- Parts live as long as their row here.
create trigger goforward_blob_left after delete on storage.s3_multipart_uploads_parts
    for each row execute function goforward.storage_blob_left();

create index if not exists goforward_multipart_uploads_age on storage.s3_multipart_uploads (created_at);

-- An upload that nobody completes does not keep its bucket from being removed.
alter table storage.s3_multipart_uploads drop constraint if exists s3_multipart_uploads_bucket_id_fkey;
alter table storage.s3_multipart_uploads add constraint s3_multipart_uploads_bucket_id_fkey
    foreign key (bucket_id) references storage.buckets (id) on delete cascade;
alter table storage.s3_multipart_uploads_parts drop constraint if exists s3_multipart_uploads_parts_bucket_id_fkey;
alter table storage.s3_multipart_uploads_parts add constraint s3_multipart_uploads_parts_bucket_id_fkey
    foreign key (bucket_id) references storage.buckets (id) on delete cascade;
