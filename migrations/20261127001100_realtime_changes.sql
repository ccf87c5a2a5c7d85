-- Changes of tables, written down in the transaction that makes them, until every node has read them and those who were
-- away have had their time to come back. See src/realtime/changes.
--
-- Captured are the tables of the publication supabase_realtime. Nobody but the login goforward reads what is written here:
-- it holds whole rows, and who may see them is decided when they are delivered.

-- A ring of partitions: one is written to, and before the next one is, it is emptied. So nothing is ever created or dropped
-- while the server works, and emptying waits for nobody but transactions that have written there.
create table realtime.changes (
    seq        bigint generated always as identity,
    xid        xid8 not null default pg_current_xact_id(),
    written_at timestamptz not null default clock_timestamp(),
    relation   oid not null,
    slot       smallint not null,
    size       integer not null,
    kind       "char" not null,
    old        jsonb,
    new        jsonb
) partition by list (slot);

comment on table realtime.changes is
    'What happened to captured tables. Order within a transaction is seq; when a transaction is seen is told by its xid.';
comment on column realtime.changes.relation is 'The table; of a partition the root.';
comment on column realtime.changes.slot is 'Which partition it lies in: realtime.slot at that time.';
comment on column realtime.changes.size is 'About how many bytes the images take, so that they can be read in bounded steps.';
comment on column realtime.changes.kind is
    'I, U, D: a row was inserted, updated, deleted. T: the table was truncated. M: a row of realtime.messages.';

-- With seq, so that a transaction of any size is read in order and in steps.
create index changes_by_transaction on realtime.changes (xid, seq);

do $$
begin
    for slot in 0..7 loop
        -- Emptied before old rows would be of interest to a vacuum; analysed, for plans know nothing else.
        execute format(
            'create table realtime.changes_%s partition of realtime.changes for values in (%s)
                 with (autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_scale_factor = 0.2)', slot, slot);
    end loop;
end
$$;
-- A lost partition never fails a write.
create table realtime.changes_default partition of realtime.changes default;

-- Two numbers that every write looks at. Sequences, for everybody sees at once where they stand, and they are read in a
-- tenth of the time that a row takes.
create sequence realtime.slot as smallint minvalue 0 maxvalue 7 start 0;
create sequence realtime.idle minvalue 0 start 0;

comment on sequence realtime.slot is 'The partition of realtime.changes that is written to.';
comment on sequence realtime.idle is
    'Until when some node may be asleep, in seconds since 1970; the nodes themselves are in realtime.readers.';

select setval('realtime.slot', 0), setval('realtime.idle', 0);

create table realtime.retention (
    is_current boolean primary key default true check (is_current),
    epoch      uuid not null default gen_random_uuid(),
    horizon    xid8 not null default '0',
    removed    pg_snapshot not null default pg_current_snapshot(),
    opened_at  timestamptz not null default clock_timestamp()
);
insert into realtime.retention default values;

comment on table realtime.retention is 'What is gone of realtime.changes.';
comment on column realtime.retention.epoch is 'To be changed by hand after a restore that PostgreSQL cannot tell from a restart.';
comment on column realtime.retention.horizon is 'The highest transaction of which anything was removed.';
comment on column realtime.retention.removed is 'What was visible at that time: nothing of any other transaction was removed.';
comment on column realtime.retention.opened_at is 'Since when the present partition is written to.';

-- Unlogged: a crash wakes all nodes anyway, and marks need no flush.
create unlogged table realtime.readers (
    node    uuid primary key,
    idle    boolean not null,
    seen_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

comment on table realtime.readers is
    'The nodes that read changes. Those that are idle are to be woken; the others look by themselves all the time.';

-- NOTIFY takes a lock of the whole server until the commit is on disk, so it is sent only where somebody sleeps, and once.
-- It is a hint: whoever misses it looks a quarter of a second later. The first change of a transaction leaves a row here if
-- somebody sleeps at that moment; at the end it is looked whether that is still so. (As a trigger with a condition on the
-- changes themselves it would cost every write a fifth more, since conditions are compiled anew by every statement.)
create unlogged table realtime.hints (xid xid8 not null default pg_current_xact_id());

comment on table realtime.hints is 'Always empty: rows go in the transaction that makes them.';

create function realtime.hint() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    as $function$
begin
    delete from realtime.hints where xid = new.xid;
    -- In a transaction that is being prepared NOTIFY would be an error. At the end of a message there is no query any more.
    if exists (select from realtime.readers where idle and seen_at > clock_timestamp() - interval '5 seconds')
        and coalesce(current_query(), '') !~* '^\s*prepare\s+transaction' then
        notify goforward_changes;
    end if;
    return null;
end
$function$;

create constraint trigger hint after insert on realtime.hints
    deferrable initially deferred
    for each row execute function realtime.hint();

-- Names of tables and columns of applications are in scope only as whole rows.
create function realtime.capture() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    as $function$
declare
    root   oid := coalesce(pg_partition_root(tg_relid), tg_relid);
    before jsonb;
    after  jsonb;
begin
    if tg_op = 'INSERT' then
        after := to_jsonb(new);
    elsif tg_op = 'UPDATE' then
        before := to_jsonb(old);
        after := to_jsonb(new);
    elsif tg_op = 'DELETE' then
        before := to_jsonb(old);
    -- Emptying a partitioned table comes here once for each of its partitions.
    elsif 'T' = (select change.kind from realtime.changes as change
                 where change.xid = pg_current_xact_id() and change.relation = root order by change.seq desc limit 1) then
        return null;
    end if;
    -- A table that was captured by itself and became a partition has two triggers until the first is removed.
    if root <> tg_relid and tg_level = 'ROW' and tg_name = '0_goforward_capture_' || tg_relid
        and exists (select from pg_trigger
                    where tgrelid = root and tgfoid = 'realtime.capture()'::regprocedure and tgtype & 1 = 1) then
        return null;
    end if;
    insert into realtime.changes (relation, slot, size, kind, old, new)
    values (root, pg_sequence_last_value('realtime.slot'),
            coalesce(pg_column_size(before), 0) + coalesce(pg_column_size(after), 0),
            (coalesce(tg_argv[0], left(tg_op, 1)))::"char", before, after);
    if pg_sequence_last_value('realtime.idle') >= extract(epoch from clock_timestamp())
        and current_setting('goforward.hinted', true) is distinct from pg_current_xact_id()::text then
        perform set_config('goforward.hinted', pg_current_xact_id()::text, true);
        insert into realtime.hints default values;
    end if;
    return null;
end
$function$;

-- Messages come the same way. A server that has delivered one itself and only keeps it says so.
create trigger "0_goforward_capture" after insert on realtime.messages
    for each row when (current_setting('goforward.delivered', true) is distinct from 'on')
    execute function realtime.capture('M');

-- Makes the triggers that the publication asks for and removes the others; returns the tables where that is still to be
-- done, and why. To be called by the owner of the tables, again and again: a table in use is never waited for long, since
-- whoever comes after us would wait behind us.
--
-- Triggers run in the order of their names, hence the digit: what a trigger of the application changes further comes after
-- what set it off. The table's oid keeps names apart where one captured table becomes a partition of another.
create function realtime.sync_capture() returns table (relation regclass, problem text)
    language plpgsql
    set search_path = pg_catalog, pg_temp
    set lock_timeout = '50ms'
    as $function$
#variable_conflict use_column
declare
    publication pg_publication;
    listed      oid[] := '{}';
    step        record;
begin
    select * into publication from pg_publication where pubname = 'supabase_realtime';
    -- Whole schemas can be published from PostgreSQL 15 on.
    if to_regclass('pg_catalog.pg_publication_namespace') is not null then
        execute 'select coalesce(array_agg(class.oid), ''{}'') from pg_publication_namespace
                 join pg_class as class on class.relnamespace = pnnspid where pnpubid = $1'
        into listed using publication.oid;
    end if;
    for step in
        with wanted as (
            select class.oid from pg_class as class
            join pg_namespace as space on space.oid = class.relnamespace
            where class.relkind in ('r', 'p') and class.relpersistence = 'p'
              and space.nspname not in ('auth', 'extensions', 'goforward', 'graphql_public', 'information_schema',
                                        'realtime', 'storage')
              and space.nspname !~ '^pg_'
              and (publication.puballtables or class.oid = any (listed) or exists (
                  select from pg_publication_rel where prpubid = publication.oid and prrelid = class.oid))
        ), root as (
            -- Row triggers of a partitioned table are those of its partitions too.
            select oid from wanted where not exists (
                select from pg_partition_ancestors(wanted.oid) as ancestor
                where ancestor.relid <> wanted.oid and ancestor.relid in (select oid from wanted))
        ), due as (
            select oid, 1 + case when publication.pubinsert then 4 else 0 end
                          + case when publication.pubdelete then 8 else 0 end
                          + case when publication.pubupdate then 16 else 0 end as type
            from root where publication.pubinsert or publication.pubdelete or publication.pubupdate
            union
            select coalesce(member.relid, root.oid), 32 from root
            left join pg_partition_tree(root.oid) as member on true
            where publication.pubtruncate
        ), present as (
            select tgrelid as oid, tgtype as type, tgname as name from pg_trigger
            join pg_class as class on class.oid = tgrelid
            where tgfoid = 'realtime.capture()'::regprocedure and tgparentid = 0
              and class.relnamespace <> 'realtime'::regnamespace
        )
        select present.oid, format('drop trigger %I on %s', name, oid::regclass) as statement, 1 as place
        from present where not exists (select from due where due.oid = present.oid and due.type = present.type)
        union all
        select due.oid, format('create trigger %I after %s on %s for each %s execute function realtime.capture()',
                   case when type = 32 then '0_goforward_capture_truncate_' else '0_goforward_capture_' end || oid,
                   array_to_string(array[
                       case when type & 4 > 0 then 'insert' end, case when type & 8 > 0 then 'delete' end,
                       case when type & 16 > 0 then 'update' end, case when type & 32 > 0 then 'truncate' end], ' or '),
                   oid::regclass, case when type & 1 > 0 then 'row' else 'statement' end), 2
        from due join pg_class as class using (oid)
        where class.relkind in ('r', 'p')
          and not exists (select from present where due.oid = present.oid and due.type = present.type)
        order by place, oid
    loop
        begin
            execute step.statement;
        exception when others then
            relation := step.oid;
            problem := sqlerrm;
            return next;
        end;
    end loop;
end
$function$;

revoke all on function realtime.hint(), realtime.capture(), realtime.sync_capture() from public;
