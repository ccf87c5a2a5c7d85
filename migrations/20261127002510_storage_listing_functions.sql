-- The functions by which SQL on Supabase lists objects: under the caller's policies, prefixes taken letter by letter (no
-- character is a wildcard), names in the order of bytes, by the index on bucket and name.
--
-- They are made in schema goforward and moved: a schema that Supabase made has its own, which stay.

-- The first text behind all that begin with this one; beyond any name if there is none.
create function goforward.text_behind(prefix text) returns text
    language sql immutable parallel safe
    set search_path = pg_catalog, pg_temp
    as $$
        select case
            when prefix = '' then repeat(chr(1114111), 4)
            when ascii(right(prefix, 1)) = 1114111 then goforward.text_behind(left(prefix, -1))
            -- Between the two lie no characters.
            when ascii(right(prefix, 1)) = 55295 then left(prefix, -1) || chr(57344)
            else left(prefix, -1) || chr(ascii(right(prefix, 1)) + 1)
        end
    $$;

-- From one entry to the next, an object or all that a delimiter folds into one: a folder costs as much as an object, however
-- much is in it. `bound` is where to begin: at it, or descending before it.
create function goforward.storage_walk(
    bucket text, prefix text, delimiter text, most integer, bound text, descending boolean,
    out name text, out id uuid, out metadata jsonb, out updated_at timestamptz, out created_at timestamptz,
    out last_accessed_at timestamptz
) returns setof record
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    -- The index has the order. A plan that is made for any bounds takes them to be narrow, and would sort what is in them.
    set enable_sort = off
    as $$
#variable_conflict use_variable
declare
    behind text := goforward.text_behind(prefix);
    object storage.objects;
    cut    integer;
begin
    -- Parameters have the collation of any argument; the index has that of the column for buckets.
    for entry in 1 .. most loop
        if descending then
            select found.* into object from storage.objects as found
            where found.bucket_id = bucket collate "default" and found.name collate "C" >= prefix
                and found.name collate "C" < least(bound collate "C", behind collate "C")
            order by found.name collate "C" desc limit 1;
        else
            select found.* into object from storage.objects as found
            where found.bucket_id = bucket collate "default" and found.name collate "C" < behind
                and found.name collate "C" >= greatest(bound collate "C", prefix collate "C")
            order by found.name collate "C" limit 1;
        end if;
        exit when object.id is null;
        cut := position(nullif(delimiter, '') in substr(object.name, length(prefix) + 1));
        if cut > 0 then
            name := left(object.name, length(prefix) + cut + length(delimiter) - 1);
            id := null;
            metadata := null;
            updated_at := null;
            created_at := null;
            last_accessed_at := null;
            bound := case when descending then name else goforward.text_behind(name) end;
        else
            name := object.name;
            id := object.id;
            metadata := object.metadata;
            updated_at := object.updated_at;
            created_at := object.created_at;
            last_accessed_at := object.last_accessed_at;
            -- No name has a character below.
            bound := case when descending then name else name || chr(1) end;
        end if;
        return next;
    end loop;
end
$$;

-- Keys behind one that was listed, which may be folded, and names behind any text.
create function goforward.list_objects_with_delimiter(
    _bucket_id text, prefix_param text, delimiter_param text, max_keys integer default 100, start_after text default '',
    next_token text default '', sort_order text default 'asc'
) returns table (
    name text, id uuid, metadata jsonb, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz
)
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    as $$
declare
    descending boolean := lower(sort_order) = 'desc';
    of_token   text := case
        when next_token = '' or descending then nullif(next_token, '')
        when delimiter_param <> '' and right(next_token, length(delimiter_param)) = delimiter_param
            then goforward.text_behind(next_token)
        else next_token || chr(1)
    end;
    of_start   text := case
        when start_after = '' or descending then nullif(start_after, '')
        else start_after || chr(1)
    end;
begin
    return query select walked.* from goforward.storage_walk(
        _bucket_id, coalesce(prefix_param, ''), delimiter_param, coalesce(max_keys, 100),
        case when descending then least(of_token collate "C", of_start collate "C")
            else coalesce(greatest(of_token collate "C", of_start collate "C"), '') end,
        descending) as walked;
end
$$;

-- One level of folders below a prefix. `key` is the last part of a name; folders have a slash at the end of theirs.
create function goforward.search_v2(
    prefix text, bucket_name text, limits integer default 100, levels integer default 1, start_after text default '',
    sort_order text default 'asc', sort_column text default 'name', sort_column_after text default ''
) returns table (
    key text, name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz,
    metadata jsonb
)
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    as $$
declare
    below      text := coalesce(prefix, '');
    descending boolean := lower(sort_order) = 'desc';
    by_change  boolean := lower(sort_column) = 'updated_at';
    -- Of the same precision as what it is compared with.
    behind     timestamptz := coalesce(date_trunc('milliseconds', nullif(sort_column_after, '')::timestamptz), 'epoch');
begin
    if lower(coalesce(sort_column, 'name')) not in ('created_at', 'updated_at') then
        return query
            select split_part(walked.name, '/', levels), walked.name, walked.id, walked.updated_at, walked.created_at,
                walked.last_accessed_at, walked.metadata
            from goforward.storage_walk(
                bucket_name, below, '/', coalesce(limits, 100),
                case when descending then nullif(start_after, '')
                    when right(start_after, 1) = '/' then goforward.text_behind(start_after)
                    when start_after <> '' then start_after || chr(1)
                    else '' end,
                descending) as walked;
        return;
    end if;
    return query
        with objects as (
            select object.*, nullif(position('/' in substr(object.name, length(below) + 1)), 0) as cut
            from storage.objects as object
            where object.bucket_id = bucket_name and object.name collate "C" >= below
                and object.name collate "C" < goforward.text_behind(below)
        ), entries as (
            select left(objects.name, length(below) + objects.cut) as name, null::uuid as id,
                null::timestamptz as updated_at, null::timestamptz as created_at, null::timestamptz as last_accessed_at,
                null::jsonb as metadata, 'epoch'::timestamptz as moment
            from objects where objects.cut is not null group by 1
            union all
            select objects.name, objects.id, objects.updated_at, objects.created_at, objects.last_accessed_at,
                objects.metadata, coalesce(date_trunc('milliseconds',
                    case when by_change then objects.updated_at else objects.created_at end), 'epoch')
            from objects where objects.cut is null
        )
        select split_part(entries.name, '/', levels), entries.name, entries.id, entries.updated_at, entries.created_at,
            entries.last_accessed_at, entries.metadata
        from entries
        where coalesce(start_after, '') = ''
            or not descending and (entries.moment, entries.name collate "C") > (behind, start_after)
            or descending and (entries.moment, entries.name collate "C") < (behind, start_after)
        order by case when not descending then entries.moment end, case when descending then entries.moment end desc,
            case when not descending then entries.name end collate "C",
            case when descending then entries.name end collate "C" desc
        limit coalesce(limits, 100);
end
$$;

-- The entries of one level below a prefix, by the part of their names at that level; `search` is how that part begins, in
-- capitals or not. Folders come first unless names are what is sorted by.
create function goforward.search(
    prefix text, bucketname text, limits integer default 100, levels integer default 1, offsets integer default 0,
    search text default '', sortcolumn text default 'name', sortorder text default 'asc'
) returns table (
    name text, id uuid, updated_at timestamptz, created_at timestamptz, last_accessed_at timestamptz, metadata jsonb
)
    language plpgsql stable
    set search_path = pg_catalog, pg_temp
    as $$
declare
    below      text := coalesce(prefix, '');
    descending boolean := lower(sortorder) = 'desc';
    by_column  text := lower(coalesce(sortcolumn, 'name'));
begin
    return query
        with objects as (
            select object.*, cardinality(object.path_tokens) > levels as is_deeper
            from storage.objects as object
            where object.bucket_id = bucketname and object.name collate "C" >= below
                and object.name collate "C" < goforward.text_behind(below)
                and cardinality(object.path_tokens) >= levels
                and lower(left(object.path_tokens[levels], length(search))) = lower(search)
        ), entries as (
            select objects.path_tokens[levels] as name, null::uuid as id, null::timestamptz as updated_at,
                null::timestamptz as created_at, null::timestamptz as last_accessed_at, null::jsonb as metadata
            from objects where objects.is_deeper group by 1
            union all
            select objects.path_tokens[levels], objects.id, objects.updated_at, objects.created_at,
                objects.last_accessed_at, objects.metadata
            from objects where not objects.is_deeper
        ), sorted as (
            select entries.*, case by_column
                when 'updated_at' then entries.updated_at
                when 'created_at' then entries.created_at
                when 'last_accessed_at' then entries.last_accessed_at
            end as moment
            from entries
        )
        select sorted.name, sorted.id, sorted.updated_at, sorted.created_at, sorted.last_accessed_at, sorted.metadata
        from sorted
        order by by_column in ('updated_at', 'created_at', 'last_accessed_at') and sorted.id is not null,
            case when not descending then sorted.moment end, case when descending then sorted.moment end desc,
            case when not descending then sorted.name end collate "C",
            case when descending then sorted.name end collate "C" desc
        limit coalesce(limits, 100) offset greatest(offsets, 0);
end
$$;

do $$
declare
    made regprocedure;
begin
    for made in
        select oid::regprocedure from pg_proc
        where pronamespace = 'goforward'::regnamespace and proname in ('list_objects_with_delimiter', 'search', 'search_v2')
    loop
        if exists (
            select from pg_proc as theirs, pg_proc as ours
            where ours.oid = made and theirs.pronamespace = 'storage'::regnamespace and theirs.proname = ours.proname
        ) then
            execute format('drop function %s', made);
        else
            execute format('alter function %s set schema storage', made);
        end if;
    end loop;
end
$$;
