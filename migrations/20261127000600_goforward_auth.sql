-- What accounts have with us beyond the tables of schema auth. A user that plain SQL or an import made has no row in any of
-- them and is a whole user all the same: what is missing reads as the default.
--
-- "Digest" is an HMAC-SHA256 under a secret outside of the database: whoever has a dump can neither use nor guess the value.

create table goforward.auth_usernames (
    user_id    uuid primary key references auth.users (id) on delete cascade,
    username   text not null,
    normalised text not null,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    constraint auth_usernames_normalised_key unique (normalised)
);

comment on table goforward.auth_usernames is 'The name that a user signs in with, beside address and number.';
comment on column goforward.auth_usernames.normalised is 'The form in which two names that look alike are equal.';

create table goforward.auth_user_settings (
    user_id    uuid primary key references auth.users (id) on delete cascade,
    settings   jsonb not null default '{}' check (jsonb_typeof(settings) = 'object'),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

comment on table goforward.auth_user_settings is 'What a user chose; other settings have the defaults of the configuration.';

create table goforward.auth_app_roles (
    name        text primary key check (name <> ''),
    description text not null default '',
    created_at  timestamptz not null default now()
);

comment on table goforward.auth_app_roles is 'Roles of the application, in the claim app_roles; no roles of PostgreSQL.';

insert into goforward.auth_app_roles (name, description) values ('user', 'What every user is.');

create table goforward.auth_user_roles (
    user_id    uuid not null references auth.users (id) on delete cascade,
    role       text not null references goforward.auth_app_roles (name) on update cascade on delete cascade,
    granted_at timestamptz not null default now(),
    granted_by text,
    primary key (user_id, role)
);

comment on table goforward.auth_user_roles is 'Who has which role. A user without a row has the role user.';

create index auth_user_roles_by_role on goforward.auth_user_roles (role, user_id);

create table goforward.auth_api_keys (
    id            uuid primary key default gen_random_uuid(),
    kind          text not null check (kind in ('service', 'personal', 'session')),
    user_id       uuid references auth.users (id) on delete cascade,
    session_id    uuid references auth.sessions (id) on delete cascade,
    name          text not null,
    prefix        text not null,
    digest        bytea not null check (octet_length(digest) = 32),
    scopes        jsonb check (jsonb_typeof(scopes) = 'array'),
    ip_allowlist  cidr[] not null default '{}',
    expires_at    timestamptz,
    created_at    timestamptz not null default now(),
    last_used_at  timestamptz,
    revoked_at    timestamptz,
    rotated_from  uuid references goforward.auth_api_keys (id) on delete set null,
    overlap_until timestamptz,
    constraint auth_api_keys_digest_key unique (digest),
    constraint auth_api_keys_of_a_user check (kind = 'service' or user_id is not null),
    constraint auth_api_keys_of_a_session check ((kind = 'session') = (session_id is not null))
);

comment on column goforward.auth_api_keys.prefix is 'The first characters of the key, by which people tell it.';
comment on column goforward.auth_api_keys.scopes is 'NULL: whatever its user, or a service, may do.';
comment on column goforward.auth_api_keys.ip_allowlist is 'Empty: from any address.';
comment on column goforward.auth_api_keys.rotated_from is 'The key that this one replaces.';
comment on column goforward.auth_api_keys.overlap_until is 'Replaced; works until then.';

create index auth_api_keys_by_user on goforward.auth_api_keys (user_id, created_at) where user_id is not null;
create index auth_api_keys_by_session on goforward.auth_api_keys (session_id) where session_id is not null;
create index auth_api_keys_by_predecessor on goforward.auth_api_keys (rotated_from) where rotated_from is not null;
create index auth_api_keys_by_expiry on goforward.auth_api_keys (expires_at) where expires_at is not null;

create table goforward.auth_recovery_codes (
    id         bigint generated always as identity primary key,
    user_id    uuid not null references auth.users (id) on delete cascade,
    digest     bytea not null check (octet_length(digest) = 32),
    created_at timestamptz not null default now(),
    used_at    timestamptz,
    constraint auth_recovery_codes_key unique (user_id, digest)
);

comment on table goforward.auth_recovery_codes is 'Codes for users who lost their second factor; each works once.';

-- The step of the last code that was taken: the same code is not taken twice (RFC 6238 section 5.2).
create table goforward.auth_totp_steps (
    factor_id uuid primary key references auth.mfa_factors (id) on delete cascade,
    last_step bigint not null
);

create table goforward.auth_lockouts (
    kind              text not null,
    digest            bytea not null check (octet_length(digest) = 32),
    user_id           uuid references auth.users (id) on delete cascade,
    failures          integer not null default 0 check (failures >= 0),
    window_started_at timestamptz not null,
    locked_until      timestamptz,
    primary key (kind, digest)
);

comment on table goforward.auth_lockouts is 'Failed sign-ins, counted by what is behind the digest: an account at an address, an address.';
comment on column goforward.auth_lockouts.user_id is 'Where the account exists: so that an administrator can unlock it.';

create index auth_lockouts_by_user on goforward.auth_lockouts (user_id) where user_id is not null;
create index auth_lockouts_by_window on goforward.auth_lockouts (window_started_at);

create table goforward.auth_known_devices (
    user_id       uuid not null references auth.users (id) on delete cascade,
    digest        bytea not null check (octet_length(digest) = 32),
    first_seen_at timestamptz not null default now(),
    last_seen_at  timestamptz not null default now(),
    primary key (user_id, digest)
);

comment on table goforward.auth_known_devices is 'Devices on which a user has signed in: failures of others do not lock them out.';

create index auth_known_devices_by_last_seen on goforward.auth_known_devices (last_seen_at);

create table goforward.auth_token_attempts (
    token_id       uuid primary key references auth.one_time_tokens (id) on delete cascade,
    wrong_attempts integer not null default 0 check (wrong_attempts >= 0)
);

comment on table goforward.auth_token_attempts is
    'Wrong values tried for a one-time token. A new token must have a new id, or it starts with the count of the old one.';

create table goforward.auth_blocklist (
    kind       text not null check (kind in ('email_domains', 'usernames', 'words')),
    value      text not null check (value <> ''),
    created_at timestamptz not null default now(),
    created_by text,
    primary key (kind, value)
);

comment on table goforward.auth_blocklist is 'What nobody can sign up with.';

create table goforward.auth_templates (
    name       text primary key,
    subject    text,
    html       text,
    text       text not null,
    updated_at timestamptz not null default now(),
    updated_by text
);

comment on table goforward.auth_templates is 'Templates of mails and short messages that were edited; others are the shipped ones.';

create table goforward.auth_welcomed (
    user_id     uuid primary key references auth.users (id) on delete cascade,
    welcomed_at timestamptz not null default now()
);

comment on table goforward.auth_welcomed is 'Who got the welcome mail.';

create table goforward.security_events (
    id          bigint generated always as identity primary key,
    occurred_at timestamptz not null default now(),
    kind        text not null,
    severity    text not null check (severity in ('info', 'warning', 'critical')),
    actor       text,
    ip          inet,
    agent       text,
    session     text,
    request_id  text,
    details     jsonb not null default '{}'
);

comment on table goforward.security_events is 'What somebody should look at: theft of a token, lockouts, attacks.';

create index security_events_by_time on goforward.security_events using brin (occurred_at);
create index security_events_by_kind on goforward.security_events (kind, id);
create index security_events_by_actor on goforward.security_events (actor, id) where actor is not null;
