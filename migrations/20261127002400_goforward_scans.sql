-- What a scanner said of stored bytes. It is said of a version, so that neither a new name nor new bytes inherit it.

alter table goforward.storage_blobs
    -- null: stored while nothing was scanned. Nobody reads what is pending or quarantined. skipped: too large for the scanner,
    -- and served all the same; released: an operator knows better.
    add column scan text check (scan in ('pending', 'clean', 'skipped', 'quarantined', 'released')),
    add column scan_found text,
    add column scanned_at timestamptz;

comment on column goforward.storage_blobs.scan is
    'What a scanner said. What is pending or quarantined cannot be read; null was stored while nothing was scanned.';
comment on column goforward.storage_blobs.scan_found is 'What was found, where it is quarantined or was.';

create index storage_blobs_held_index on goforward.storage_blobs (touched_at) where scan in ('pending', 'quarantined');
