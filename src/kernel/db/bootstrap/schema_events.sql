-- Tells every goforward on this database that its schema changed, in the transaction that changed it.
-- To be run by a superuser: only they create event triggers. The function belongs to that superuser, since it runs
-- with the rights of whoever changes the schema.

create or replace function goforward.announce_schema_change() returns event_trigger
    language plpgsql
    set search_path = pg_catalog
    as $function$
begin
    if tg_event = 'sql_drop' then
        if not exists (select from pg_event_trigger_dropped_objects() as dropped where not dropped.is_temporary) then
            return;
        end if;
    elsif not exists (
        select from pg_event_trigger_ddl_commands() as command
        where command.schema_name is distinct from 'pg_temp'
          and command.command_tag not in ('REFRESH MATERIALIZED VIEW', 'REINDEX')
    ) then
        return;
    end if;
    notify pgrst, 'reload schema';
end
$function$;

revoke all on function goforward.announce_schema_change() from public;

drop event trigger if exists goforward_schema_changed;
create event trigger goforward_schema_changed on ddl_command_end
    execute function goforward.announce_schema_change();

drop event trigger if exists goforward_schema_dropped;
create event trigger goforward_schema_dropped on sql_drop
    execute function goforward.announce_schema_change();

-- What joins the publication supabase_realtime is captured from the transaction on that says so. Where that is not possible
-- now, because the table is in use or belongs to somebody else, the server does it later.
create or replace function goforward.follow_publication() returns event_trigger
    language plpgsql
    set search_path = pg_catalog
    as $function$
begin
    if has_function_privilege(to_regprocedure('realtime.sync_capture()')::oid, 'execute')
        and exists (select from pg_event_trigger_ddl_commands() as command
                    where command.schema_name is distinct from 'pg_temp') then
        perform realtime.sync_capture();
    end if;
exception when others then
    raise debug 'capture does not follow the publication yet: %', sqlerrm;
end
$function$;

revoke all on function goforward.follow_publication() from public;

drop event trigger if exists goforward_publication_changed;
create event trigger goforward_publication_changed on ddl_command_end
    when tag in ('CREATE PUBLICATION', 'ALTER PUBLICATION', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
    execute function goforward.follow_publication();
