-- Columns that refer to stored objects: text with the path of one, `bucket/name`, which REST shows as what the object is.
--
-- The casts are what PostgREST calls a domain representation: they decide how a column of the domain is written from JSON and
-- read as JSON, and leave everything else (filters, order, indexes, SQL) to the text. The functions are in schema goforward,
-- which every role may use.

create domain storage.file_reference as text
    constraint file_reference_path check (value ~ '^[^/]{1,100}(/[^/]+)+$' and octet_length(value) <= 1125);

comment on domain storage.file_reference is
    'The path of a stored object, bucket/name. REST reads it as {file_id, url, filename, size, mime_type, metadata}, or null '
    'where there is no such object for the caller; it is written as the path, or as it was read.';

-- What everybody may download is what everybody may be told of, as GET /object/info/public does: not whose it is.
create function goforward.public_file(bucket text, path text, file uuid) returns storage.objects
    language plpgsql stable security definer
    set search_path = pg_catalog, pg_temp
    as $$
declare
    found_object storage.objects;
begin
    if file is null then
        select object.* into found_object
        from storage.objects as object join storage.buckets as of_it on of_it.id = object.bucket_id and of_it.public
        where object.bucket_id = bucket collate "default" and object.name = path collate "default";
    else
        select object.* into found_object
        from storage.objects as object join storage.buckets as of_it on of_it.id = object.bucket_id and of_it.public
        where object.id = file;
    end if;
    found_object.owner := null;
    found_object.owner_id := null;
    found_object.version := null;
    return found_object;
end
$$;

-- The object of that path, or of that id, for the caller: any in a public bucket, else those that policies show to whoever
-- signs a URL.
create function goforward.visible_file(
    bucket text, path text, file uuid, out object storage.objects, out is_public boolean
)
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    as $$
declare
    operation text := current_setting('storage.operation', true);
begin
    object := goforward.public_file(bucket, path, file);
    is_public := object.id is not null;
    if is_public or not has_schema_privilege('storage', 'usage') then
        return;
    end if;
    if not has_table_privilege('storage.objects', 'select') then
        return;
    end if;
    perform set_config('storage.operation', 'storage.object.sign', true);
    if file is null then
        select seen.* into object from storage.objects as seen
        where seen.bucket_id = bucket collate "default" and seen.name = path collate "default";
    else
        select seen.* into object from storage.objects as seen where seen.id = file;
    end if;
    perform set_config('storage.operation', coalesce(operation, ''), true);
end
$$;

-- As JSON. A URL needs a key, which is not here: where REST sends the answer it has set a mark that nobody can guess, and
-- puts the URL in the place of the mark and what follows it.
create function goforward.file_reference_to_json(reference storage.file_reference) returns json
    language plpgsql stable strict
    set search_path = pg_catalog, pg_temp
    as $$
declare
    bucket text := split_part(reference, '/', 1);
    seen   record;
begin
    select * into seen from goforward.visible_file(bucket, substr(reference, length(bucket) + 2), null);
    if (seen.object).id is null then
        return null;
    end if;
    return json_build_object(
        'file_id', (seen.object).id,
        'url', nullif(current_setting('goforward.url_mark', true), '')
            || case when seen.is_public then 'p' else 's' end || reference || current_setting('goforward.url_mark', true),
        'filename', split_part(reference, '/', -1),
        'size', ((seen.object).metadata ->> 'size')::bigint,
        'mime_type', (seen.object).metadata ->> 'mimetype',
        'metadata', (seen.object).user_metadata);
end
$$;

create function goforward.file_reference_from_json(written json) returns storage.file_reference
    language plpgsql stable strict
    set search_path = pg_catalog, pg_temp
    as $$
declare
    kind   text := json_typeof(written);
    said   text := case when kind = 'object' then written ->> 'file_id' else written #>> '{}' end;
    bucket text;
    path   text;
    file   uuid;
    -- Not of the table's type, which not everybody who writes a reference may name.
    seen   record;
begin
    if kind = 'null' then
        return null;
    end if;
    if kind = 'string' then
        bucket := split_part(said, '/', 1);
        path := substr(said, length(bucket) + 2);
    elsif said ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        file := said::uuid;
    end if;
    select * into seen from goforward.visible_file(bucket, path, file);
    if (seen.object).id is null then
        raise exception 'there is no file % that you may see', coalesce(to_json(left(said, 200))::text, 'in this ' || kind)
            using errcode = 'GFREF',
                  hint = 'Upload it first. Then write its path, bucket/name, or the object that was read, with its file_id.';
    end if;
    return (seen.object).bucket_id || '/' || (seen.object).name;
end
$$;

-- PostgreSQL itself ignores casts of domains, and says so: to the client, and where a superuser can help it, not to its log.
set local client_min_messages = error;
do $$
declare
    acting text := current_setting('role');
begin
    begin
        perform set_config('role', 'none', true);
        perform set_config('log_min_messages', 'error', true);
    exception when insufficient_privilege then null;
    end;
    perform set_config('role', acting, true);
end
$$;
create cast (storage.file_reference as json)
    with function goforward.file_reference_to_json(storage.file_reference) as implicit;
create cast (json as storage.file_reference)
    with function goforward.file_reference_from_json(json) as implicit;
