-- Caches in front of the server are told what they must not serve any more: by a job for each change, written with it.

create table goforward.storage_settings (
    is_single    boolean primary key default true check (is_single),
    tells_caches boolean not null default false
);
insert into goforward.storage_settings default values;

comment on table goforward.storage_settings is 'What triggers need to know of the configuration; written as a server starts.';

-- At most a thousand names are told at a time.
create or replace function goforward.storage_tell_of_removed() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if exists (select from goforward.storage_settings where tells_caches) then
        insert into goforward.jobs (kind, payload, max_attempts)
        select 'storage.purge', jsonb_build_object('bucket', bucket_id, 'names', jsonb_agg(name)), 15
        from (
            select bucket_id, name, (row_number() over (partition by bucket_id) - 1) / 1000 as batch
            from old_rows
            where name is not null
        ) as numbered
        group by bucket_id, batch;
    end if;
    return null;
end
$$;

create or replace function goforward.storage_tell_of_changed() returns trigger
    language plpgsql security definer
    set search_path = pg_catalog, pg_temp
    as $$
begin
    if exists (select from goforward.storage_settings where tells_caches) then
        insert into goforward.jobs (kind, payload, max_attempts)
        select 'storage.purge', jsonb_build_object('bucket', bucket_id, 'names', jsonb_agg(name)), 15
        from (
            select former.bucket_id, former.name,
                (row_number() over (partition by former.bucket_id) - 1) / 1000 as batch
            from old_rows as former
            left join new_rows as present using (id)
            where former.name is not null
                and (former.bucket_id, former.name, former.version)
                    is distinct from (present.bucket_id, present.name, present.version)
        ) as numbered
        group by bucket_id, batch;
    end if;
    return null;
end
$$;

create trigger goforward_tell_of_removed after delete on storage.objects
    referencing old table as old_rows
    for each statement execute function goforward.storage_tell_of_removed();
create trigger goforward_tell_of_changed after update on storage.objects
    referencing old table as old_rows new table as new_rows
    for each statement execute function goforward.storage_tell_of_changed();

revoke all on function goforward.storage_tell_of_removed(), goforward.storage_tell_of_changed() from public;
