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
