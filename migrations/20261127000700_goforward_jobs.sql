-- Work that is done after a request: a row is written in the transaction that wants it, and workers take it from there.
-- See src/jobs.

create table goforward.jobs (
    id           bigint generated always as identity primary key,
    kind         text not null,
    payload      jsonb not null default '{}',
    state        text not null default 'queued' check (state in ('queued', 'running', 'done', 'dead')),
    run_at       timestamptz not null default now(),
    attempts     integer not null default 0 check (attempts >= 0),
    max_attempts integer not null check (max_attempts > 0),
    dedupe_key   text,
    locked_until timestamptz,
    last_error   text,
    created_at   timestamptz not null default now(),
    finished_at  timestamptz,
    constraint jobs_running_have_a_lease check ((state = 'running') = (locked_until is not null)),
    constraint jobs_finished_have_an_end check ((state in ('done', 'dead')) = (finished_at is not null))
) with (
    -- Rows live for seconds: dead ones must go before the index of due jobs is full of them.
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0
);

comment on table goforward.jobs is 'Queued and running jobs, done ones for a while, and dead ones: those that failed too often.';
comment on column goforward.jobs.attempts is 'How often the job was taken: tells the worker that has it from one that had it.';
comment on column goforward.jobs.locked_until is 'A running job whose worker has not reported by then is taken again.';
comment on column goforward.jobs.dedupe_key is 'At most one unfinished job has it.';

create index jobs_due on goforward.jobs (run_at, id) where state = 'queued';
create index jobs_leased on goforward.jobs (locked_until) where state = 'running';
create index jobs_finished on goforward.jobs (finished_at) where state in ('done', 'dead');
create unique index jobs_unfinished_dedupe_key on goforward.jobs (dedupe_key)
    where dedupe_key is not null and state in ('queued', 'running');

create table goforward.job_schedules (
    name         text primary key,
    next_run_at  timestamptz not null,
    last_run_at  timestamptz
);

comment on table goforward.job_schedules is
    'When each job that runs regularly is due: of all nodes the one that moves next_run_at enqueues it.';
