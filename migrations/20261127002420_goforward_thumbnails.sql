-- Pictures that were made ahead: each is a blob of its own, and goes with the blob that it was made of.

create table goforward.storage_thumbnails (
    source       text not null references goforward.storage_blobs (version) on delete cascade,
    -- What it is called in the cache: of size, format and version.
    key          text not null,
    blob         text not null unique,
    size         bigint not null check (size > 0),
    content_type text not null,
    primary key (source, key)
);

comment on table goforward.storage_thumbnails is
    'Pictures in the sizes of storage.thumbnails. They go as soon as the bytes are removed that they were made of.';

create trigger goforward_part_left after delete on goforward.storage_thumbnails
    for each row execute function goforward.storage_part_left();
