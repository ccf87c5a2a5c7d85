-- Jobs at the times of cron expressions, kept as rows: whoever owns the database adds, changes and ends them by SQL.
-- See src/jobs/cron.rs.

create table goforward.cron_schedules (
    name        text primary key check (name <> ''),
    expression  text not null,
    kind        text not null check (kind <> ''),
    payload     jsonb not null default '{}' check (jsonb_typeof(payload) = 'object'),
    enabled     boolean not null default true,
    next_run_at timestamptz check (isfinite(next_run_at)),
    last_run_at timestamptz,
    last_error  text,
    created_at  timestamptz not null default now()
);

comment on table goforward.cron_schedules is
    'Jobs that are enqueued at the times of a cron expression, in UTC: once for all nodes, and once for all times missed.';
comment on column goforward.cron_schedules.expression is
    'Minute, hour, day of month, month, day of week; or @hourly, @daily, @weekly, @monthly, @yearly.';
comment on column goforward.cron_schedules.kind is 'The kind of the job; one that no node knows waits in the queue.';
comment on column goforward.cron_schedules.next_run_at is
    'Of all nodes the one that moves it enqueues the job. NULL: new or changed, and the next node to look sets it.';
comment on column goforward.cron_schedules.last_error is 'Why there is no next time. Changing the expression clears it.';

create function goforward.start_cron_schedule_anew() returns trigger
language plpgsql set search_path = '' as $function$
begin
    new.next_run_at := null;
    new.last_error := null;
    return new;
end
$function$;

revoke all on function goforward.start_cron_schedule_anew() from public;

create trigger start_anew before update on goforward.cron_schedules
    for each row when (old.expression is distinct from new.expression or old.enabled is distinct from new.enabled)
    execute function goforward.start_cron_schedule_anew();
