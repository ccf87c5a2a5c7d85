-- What a captured row costs whoever writes it. Nearly all of that is preparing the statement that keeps it, once for every
-- row: each function in it is looked up and checked anew, each query in a condition starts the executor. So the common way
-- through the function has one statement that holds what cannot be had otherwise, and what is rare lies behind conditions.

-- The size of a row is told by the row itself, where it is read. Hence no compression: it would hide the size, bound how
-- much is read at once to nothing, and take more time than all else.
alter table realtime.changes drop column size;
alter table realtime.changes alter column old set storage external, alter column new set storage external;

do $$
declare
    partition regclass;
begin
    -- Out of line go only rows that fill a page: each piece there costs as much as a row of its own.
    for partition in select relid from pg_partition_tree('realtime.changes') where isleaf loop
        execute format('alter table %s set (toast_tuple_target = 8160)', partition);
    end loop;
end
$$;

create function realtime.leave_hint() returns void
    language plpgsql
    set search_path = pg_catalog, pg_temp
    as $function$
begin
    if pg_sequence_last_value('realtime.idle') >= extract(epoch from clock_timestamp())
        and current_setting('goforward.hinted', true) is distinct from pg_current_xact_id()::text then
        perform set_config('goforward.hinted', pg_current_xact_id()::text, true);
        insert into realtime.hints default values;
    end if;
end
$function$;

comment on function realtime.leave_hint() is 'What the first change of a transaction does if somebody may be asleep.';

-- Names of tables and columns of applications are in scope only as whole rows.
create or replace function realtime.capture() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    as $function$
declare
    root oid := coalesce(pg_partition_root(tg_relid), tg_relid);
begin
    if root <> tg_relid then
        -- A table that was captured by itself and became a partition has two triggers until the first is removed.
        if tg_level = 'ROW' and tg_name = '0_goforward_capture_' || tg_relid
            and exists (select from pg_trigger
                        where tgrelid = root and tgfoid = 'realtime.capture()'::regprocedure and tgtype & 1 = 1) then
            return null;
        end if;
    end if;
    if tg_op = 'INSERT' then
        insert into realtime.changes (relation, slot, kind, new)
        values (root, pg_sequence_last_value('realtime.slot'), 'I', to_jsonb(new));
    elsif tg_op = 'UPDATE' then
        insert into realtime.changes (relation, slot, kind, old, new)
        values (root, pg_sequence_last_value('realtime.slot'), 'U', to_jsonb(old), to_jsonb(new));
    elsif tg_op = 'DELETE' then
        insert into realtime.changes (relation, slot, kind, old)
        values (root, pg_sequence_last_value('realtime.slot'), 'D', to_jsonb(old));
    -- Emptying a partitioned table comes here once for each of its partitions.
    elsif 'T' is distinct from (select change.kind from realtime.changes as change
                                where change.xid = pg_current_xact_id() and change.relation = root
                                order by change.seq desc limit 1) then
        insert into realtime.changes (relation, slot, kind)
        values (root, pg_sequence_last_value('realtime.slot'), 'T');
    end if;
    if pg_sequence_last_value('realtime.idle') > 0 then
        perform realtime.leave_hint();
    end if;
    return null;
end
$function$;

create function realtime.capture_message() returns trigger
    language plpgsql
    security definer
    set search_path = pg_catalog, pg_temp
    as $function$
begin
    insert into realtime.changes (relation, slot, kind, new)
    values ('realtime.messages'::regclass, pg_sequence_last_value('realtime.slot'), 'M', to_jsonb(new));
    if pg_sequence_last_value('realtime.idle') > 0 then
        perform realtime.leave_hint();
    end if;
    return null;
end
$function$;

-- Messages come the same way. A server that has delivered one itself and only keeps it says so.
drop trigger "0_goforward_capture" on realtime.messages;
create trigger "0_goforward_capture" after insert on realtime.messages
    for each row when (current_setting('goforward.delivered', true) is distinct from 'on')
    execute function realtime.capture_message();

revoke all on function realtime.leave_hint(), realtime.capture_message() from public;
