-- Messages between nodes that do not fit into a notification: the notification names the row. See src/kernel/db/bus.rs.
-- Nothing is lost with them that matters, so they are not written to the log of transactions.

create unlogged table goforward.bus_messages (
    sender  bigint not null,
    number  bigint not null,
    frame   bytea not null,
    kept_at timestamptz not null default clock_timestamp(),
    primary key (sender, number)
) with (
    -- Rows live for a minute.
    autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0
);

comment on column goforward.bus_messages.sender is 'A connection of a node, by a random number.';
comment on table goforward.bus_messages is 'Large messages between nodes, for a minute.';

create index bus_messages_kept_at on goforward.bus_messages (kept_at);
