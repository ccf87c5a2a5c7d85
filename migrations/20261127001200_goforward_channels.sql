-- What an operator says about channels: for all whose name fits the pattern. See src/realtime.

create table goforward.channels (
    id                  uuid primary key default gen_random_uuid(),
    pattern             text not null unique check (length(pattern) between 1 and 255),
    private_only        boolean not null default false,
    roles               text[] check (cardinality(roles) > 0),
    max_members         integer check (max_members > 0),
    max_payload_bytes   integer check (max_payload_bytes > 0),
    messages_per_second integer check (messages_per_second > 0),
    replay              boolean not null default false,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now()
);

comment on table goforward.channels is 'Rules for channels by name. Of several that fit the longest pattern counts.';
comment on column goforward.channels.pattern is 'A name, in which each * stands for any text.';
comment on column goforward.channels.private_only is 'Whether only private joins are accepted.';
comment on column goforward.channels.roles is 'The roles that may join; NULL for all.';
comment on column goforward.channels.max_members is 'The most joins on one node; NULL, as below, for the limit of the server.';
comment on column goforward.channels.replay is 'Whether broadcasts of clients are kept for those who join later.';
