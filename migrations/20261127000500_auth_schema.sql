-- The tables of accounts, as programs on Supabase know them: apps reference auth.users and put triggers on it.
--
-- A schema that Supabase made, from 2023 on, is completed in place: every statement finds what is there and adds the rest,
-- under the names that Supabase gives, so that a column or an index is never there twice. Nothing is dropped, and no row
-- is changed. Secrets in these tables are written as digests or encrypted; the comments say where that differs.
--
-- Nobody is granted anything, service_role included, as in Supabase projects: the rows hold password hashes. Row-level
-- security without policies stands behind that, should somebody grant too much; it does not bind the owner.

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('aal_level', '''aal1'', ''aal2'', ''aal3'''),
            ('code_challenge_method', '''s256'', ''plain'''),
            ('factor_status', '''unverified'', ''verified'''),
            ('factor_type', '''totp'', ''webauthn'', ''phone'''),
            ('one_time_token_type', '''confirmation_token'', ''reauthentication_token'', ''recovery_token'', '
                '''email_change_token_new'', ''email_change_token_current'', ''phone_change_token''')
        ) as enum (name, labels)
    loop
        if to_regtype('auth.' || wanted.name) is null then
            execute format('create type auth.%I as enum (%s)', wanted.name, wanted.labels);
        end if;
    end loop;
end
$$;

alter type auth.factor_type add value if not exists 'phone';

-- Tables are made with their key alone: the list of columns below serves new and existing ones.

create table if not exists auth.users (id uuid primary key);
alter table auth.users
    add column if not exists instance_id uuid,
    add column if not exists aud varchar(255),
    add column if not exists role varchar(255),
    add column if not exists email varchar(255),
    add column if not exists encrypted_password varchar(255),
    add column if not exists email_confirmed_at timestamptz,
    add column if not exists invited_at timestamptz,
    add column if not exists confirmation_token varchar(255),
    add column if not exists confirmation_sent_at timestamptz,
    add column if not exists recovery_token varchar(255),
    add column if not exists recovery_sent_at timestamptz,
    add column if not exists email_change_token_new varchar(255),
    add column if not exists email_change varchar(255),
    add column if not exists email_change_sent_at timestamptz,
    add column if not exists last_sign_in_at timestamptz,
    add column if not exists raw_app_meta_data jsonb,
    add column if not exists raw_user_meta_data jsonb,
    add column if not exists is_super_admin boolean,
    add column if not exists created_at timestamptz,
    add column if not exists updated_at timestamptz,
    add column if not exists phone text,
    add column if not exists phone_confirmed_at timestamptz,
    add column if not exists phone_change text default '',
    add column if not exists phone_change_token varchar(255) default '',
    add column if not exists phone_change_sent_at timestamptz,
    add column if not exists email_change_token_current varchar(255) default '',
    add column if not exists email_change_confirm_status smallint default 0
        constraint users_email_change_confirm_status_check check (email_change_confirm_status between 0 and 2),
    add column if not exists banned_until timestamptz,
    add column if not exists reauthentication_token varchar(255) default '',
    add column if not exists reauthentication_sent_at timestamptz,
    add column if not exists is_sso_user boolean not null default false,
    add column if not exists deleted_at timestamptz,
    add column if not exists is_anonymous boolean not null default false;
-- By itself: an expression sees no column that its own statement adds.
alter table auth.users
    add column if not exists confirmed_at timestamptz
        generated always as (least(email_confirmed_at, phone_confirmed_at)) stored;

comment on table auth.users is 'One row an account, anonymous and deleted ones included.';
comment on column auth.users.encrypted_password is 'A password hash in PHC form, or one imported from another system.';
comment on column auth.users.confirmation_token is 'Not used, like the other token columns: see auth.one_time_tokens.';

create unique index if not exists users_email_partial_key on auth.users (email) where is_sso_user = false;
create unique index if not exists users_phone_key on auth.users (phone);
create index if not exists users_instance_id_idx on auth.users (instance_id);
create index if not exists users_instance_id_email_idx on auth.users (instance_id, lower(email));
create index if not exists users_created_at_id_idx on auth.users (created_at desc, id desc);
create index if not exists users_anonymous_created_at_idx on auth.users (created_at) where is_anonymous;

-- Until the end of 2023 the provider's name for the user was the key, and was called id.
do $$
begin
    if exists (
        select from pg_catalog.pg_attribute
        where attrelid = to_regclass('auth.identities') and attname = 'id' and atttypid = 'text'::regtype
    ) then
        alter table auth.identities drop constraint identities_pkey;
        alter table auth.identities rename column id to provider_id;
        alter table auth.identities add column id uuid not null default gen_random_uuid() primary key;
    end if;
end
$$;

create table if not exists auth.identities (id uuid primary key default gen_random_uuid());
alter table auth.identities
    add column if not exists provider_id text not null,
    add column if not exists user_id uuid not null,
    add column if not exists identity_data jsonb not null,
    add column if not exists provider text not null,
    add column if not exists last_sign_in_at timestamptz,
    add column if not exists created_at timestamptz,
    add column if not exists updated_at timestamptz;
alter table auth.identities
    add column if not exists email text generated always as (lower(identity_data ->> 'email')) stored;

comment on table auth.identities is 'The ways in which a user signs in: one row a provider.';

create unique index if not exists identities_provider_id_provider_unique on auth.identities (provider_id, provider);
create index if not exists identities_user_id_idx on auth.identities (user_id);
create index if not exists identities_email_idx on auth.identities (email text_pattern_ops);

create table if not exists auth.sessions (id uuid primary key);
alter table auth.sessions
    add column if not exists user_id uuid not null,
    add column if not exists created_at timestamptz,
    add column if not exists updated_at timestamptz,
    add column if not exists factor_id uuid,
    add column if not exists aal auth.aal_level,
    add column if not exists not_after timestamptz,
    add column if not exists refreshed_at timestamp,
    add column if not exists user_agent text,
    add column if not exists ip inet,
    add column if not exists tag text,
    add column if not exists oauth_client_id uuid,
    add column if not exists refresh_token_hmac_key text,
    add column if not exists refresh_token_counter bigint,
    add column if not exists scopes text
        constraint sessions_scopes_length check (char_length(scopes) <= 4096);

comment on table auth.sessions is 'One row a sign-in; it ends with the row.';
comment on column auth.sessions.refreshed_at is 'UTC.';
comment on column auth.sessions.refresh_token_hmac_key is
    'No key: the generation of one that derives from a secret outside of the database, so that no dump refreshes a session.';
comment on column auth.sessions.refresh_token_counter is 'The number of the refresh token that is valid now.';

create index if not exists sessions_user_id_idx on auth.sessions (user_id);
create index if not exists user_id_created_at_idx on auth.sessions (user_id, created_at);
create index if not exists sessions_not_after_idx on auth.sessions (not_after desc);

create table if not exists auth.refresh_tokens (id bigserial primary key);
alter table auth.refresh_tokens
    add column if not exists instance_id uuid,
    add column if not exists token varchar(255),
    add column if not exists user_id varchar(255),
    add column if not exists revoked boolean,
    add column if not exists created_at timestamptz,
    add column if not exists updated_at timestamptz,
    add column if not exists parent varchar(255),
    add column if not exists session_id uuid;

comment on table auth.refresh_tokens is
    'Refresh tokens that another system issued, as sha256:<hex> from the first start on; used once, then their session has its own.';

create unique index if not exists refresh_tokens_token_unique on auth.refresh_tokens (token);
create index if not exists refresh_tokens_session_id_revoked_idx on auth.refresh_tokens (session_id, revoked);
create index if not exists refresh_tokens_instance_id_user_id_idx on auth.refresh_tokens (instance_id, user_id);
create index if not exists refresh_tokens_parent_idx on auth.refresh_tokens (parent);
create index if not exists refresh_tokens_updated_at_idx on auth.refresh_tokens (updated_at desc);

create table if not exists auth.mfa_factors (id uuid primary key);
alter table auth.mfa_factors
    add column if not exists user_id uuid not null,
    add column if not exists friendly_name text,
    add column if not exists factor_type auth.factor_type not null,
    add column if not exists status auth.factor_status not null,
    add column if not exists created_at timestamptz not null,
    add column if not exists updated_at timestamptz not null,
    add column if not exists secret text,
    add column if not exists phone text,
    add column if not exists last_challenged_at timestamptz,
    add column if not exists web_authn_credential jsonb,
    add column if not exists web_authn_aaguid uuid,
    add column if not exists last_webauthn_challenge_data jsonb;

comment on column auth.mfa_factors.secret is 'Encrypted (gfv1.…); that of an imported factor becomes so at the first start.';

create unique index if not exists mfa_factors_user_friendly_name_unique
    on auth.mfa_factors (friendly_name, user_id) where trim(friendly_name) <> '';
create unique index if not exists unique_phone_factor_per_user on auth.mfa_factors (user_id, phone);
create index if not exists mfa_factors_user_id_idx on auth.mfa_factors (user_id);
create index if not exists factor_id_created_at_idx on auth.mfa_factors (user_id, created_at);

create table if not exists auth.mfa_challenges (id uuid primary key);
alter table auth.mfa_challenges
    add column if not exists factor_id uuid not null,
    add column if not exists created_at timestamptz not null,
    add column if not exists verified_at timestamptz,
    add column if not exists ip_address inet not null,
    add column if not exists otp_code text,
    add column if not exists web_authn_session_data jsonb;

comment on column auth.mfa_challenges.otp_code is 'A digest of the code.';

create index if not exists mfa_challenges_factor_id_idx on auth.mfa_challenges (factor_id);
create index if not exists mfa_challenge_created_at_idx on auth.mfa_challenges (created_at desc);

create table if not exists auth.mfa_amr_claims (id uuid constraint amr_id_pk primary key);
alter table auth.mfa_amr_claims
    add column if not exists session_id uuid not null,
    add column if not exists created_at timestamptz not null,
    add column if not exists updated_at timestamptz not null,
    add column if not exists authentication_method text not null;

comment on table auth.mfa_amr_claims is 'How the user of a session proved who they are: the claim amr.';

create unique index if not exists mfa_amr_claims_session_id_authentication_method_pkey
    on auth.mfa_amr_claims (session_id, authentication_method);

create table if not exists auth.one_time_tokens (id uuid primary key);
alter table auth.one_time_tokens
    add column if not exists user_id uuid not null,
    add column if not exists token_type auth.one_time_token_type not null,
    add column if not exists token_hash text not null
        constraint one_time_tokens_token_hash_check check (char_length(token_hash) > 0),
    add column if not exists relates_to text not null,
    add column if not exists created_at timestamp not null default now(),
    add column if not exists updated_at timestamp not null default now();

comment on column auth.one_time_tokens.token_hash is
    'HMAC-SHA256 in hexadecimal, under a secret outside of the database, of what is mailed.';
comment on column auth.one_time_tokens.created_at is 'UTC.';

create unique index if not exists one_time_tokens_user_id_token_type_key on auth.one_time_tokens (user_id, token_type);
create index if not exists one_time_tokens_token_hash_hash_idx on auth.one_time_tokens using hash (token_hash);
create index if not exists one_time_tokens_relates_to_hash_idx on auth.one_time_tokens using hash (relates_to);
create index if not exists one_time_tokens_created_at_idx on auth.one_time_tokens (created_at);

create table if not exists auth.flow_state (id uuid primary key);
alter table auth.flow_state
    add column if not exists user_id uuid,
    add column if not exists auth_code text,
    add column if not exists code_challenge_method auth.code_challenge_method,
    add column if not exists code_challenge text,
    add column if not exists provider_type text not null,
    add column if not exists provider_access_token text,
    add column if not exists provider_refresh_token text,
    add column if not exists created_at timestamptz,
    add column if not exists updated_at timestamptz,
    add column if not exists authentication_method text not null,
    add column if not exists auth_code_issued_at timestamptz,
    add column if not exists invite_token text,
    add column if not exists referrer text,
    add column if not exists oauth_client_state_id uuid,
    add column if not exists linking_target_id uuid,
    add column if not exists email_optional boolean not null default false;
-- Flows without PKCE have none of them.
alter table auth.flow_state
    alter column auth_code drop not null,
    alter column code_challenge_method drop not null,
    alter column code_challenge drop not null;

comment on table auth.flow_state is 'Sign-ins that left for a provider or a mailbox and have not come back yet.';
comment on column auth.flow_state.auth_code is 'A digest of the code.';
comment on column auth.flow_state.provider_access_token is 'Encrypted (gfv1.…), as is provider_refresh_token.';

create index if not exists idx_auth_code on auth.flow_state (auth_code);
create index if not exists idx_user_id_auth_method on auth.flow_state (user_id, authentication_method);
create index if not exists flow_state_created_at_idx on auth.flow_state (created_at desc);

create table if not exists auth.oauth_client_states (id uuid primary key);
alter table auth.oauth_client_states
    add column if not exists provider_type text not null,
    add column if not exists code_verifier text,
    add column if not exists created_at timestamptz not null;

comment on table auth.oauth_client_states is 'What we must remember towards a provider while a user is there.';
comment on column auth.oauth_client_states.code_verifier is 'Encrypted (gfv1.…).';

create index if not exists idx_oauth_client_states_created_at on auth.oauth_client_states (created_at);

create table if not exists auth.custom_oauth_providers (id uuid primary key default gen_random_uuid());
alter table auth.custom_oauth_providers
    add column if not exists provider_type text not null
        constraint custom_oauth_providers_provider_type_check check (provider_type in ('oauth2', 'oidc')),
    add column if not exists identifier text not null,
    add column if not exists name text not null,
    add column if not exists client_id text not null,
    add column if not exists client_secret text not null,
    add column if not exists acceptable_client_ids text[] not null default '{}',
    add column if not exists scopes text[] not null default '{}',
    add column if not exists pkce_enabled boolean not null default true,
    add column if not exists attribute_mapping jsonb not null default '{}',
    add column if not exists authorization_params jsonb not null default '{}',
    add column if not exists enabled boolean not null default true,
    add column if not exists email_optional boolean not null default false,
    add column if not exists issuer text,
    add column if not exists discovery_url text,
    add column if not exists skip_nonce_check boolean not null default false,
    add column if not exists cached_discovery jsonb,
    add column if not exists discovery_cached_at timestamptz,
    add column if not exists authorization_url text,
    add column if not exists token_url text,
    add column if not exists userinfo_url text,
    add column if not exists jwks_uri text,
    add column if not exists custom_claims_allowlist text[] not null default '{}',
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();

comment on table auth.custom_oauth_providers is 'Providers that an administrator added at run time.';
comment on column auth.custom_oauth_providers.client_secret is 'Encrypted (gfv1.…).';

create unique index if not exists custom_oauth_providers_identifier_key on auth.custom_oauth_providers (identifier);

create table if not exists auth.webauthn_credentials (id uuid primary key default gen_random_uuid());
alter table auth.webauthn_credentials
    add column if not exists user_id uuid not null,
    add column if not exists credential_id bytea not null,
    add column if not exists public_key bytea not null,
    add column if not exists attestation_type text not null default '',
    add column if not exists aaguid uuid,
    add column if not exists sign_count bigint not null default 0,
    add column if not exists transports jsonb not null default '[]',
    add column if not exists backup_eligible boolean not null default false,
    add column if not exists backed_up boolean not null default false,
    add column if not exists friendly_name text not null default '',
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now(),
    add column if not exists last_used_at timestamptz;

comment on table auth.webauthn_credentials is 'Passkeys, with which a user signs in without a password.';

create unique index if not exists webauthn_credentials_credential_id_key on auth.webauthn_credentials (credential_id);
create index if not exists webauthn_credentials_user_id_idx on auth.webauthn_credentials (user_id);

create table if not exists auth.webauthn_challenges (id uuid primary key default gen_random_uuid());
alter table auth.webauthn_challenges
    add column if not exists user_id uuid,
    add column if not exists challenge_type text not null
        constraint webauthn_challenges_challenge_type_check
        check (challenge_type in ('signup', 'registration', 'authentication')),
    add column if not exists session_data jsonb not null,
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists expires_at timestamptz not null;

create index if not exists webauthn_challenges_user_id_idx on auth.webauthn_challenges (user_id);
create index if not exists webauthn_challenges_expires_at_idx on auth.webauthn_challenges (expires_at);

create table if not exists auth.audit_log_entries (id uuid primary key);
alter table auth.audit_log_entries
    add column if not exists instance_id uuid,
    add column if not exists payload json,
    add column if not exists created_at timestamptz,
    add column if not exists ip_address varchar(64) not null default '';

create index if not exists audit_logs_instance_id_idx on auth.audit_log_entries (instance_id);
create index if not exists audit_log_entries_created_at_idx on auth.audit_log_entries (created_at desc);

-- These two hold nothing of ours. Dumps have rows for them.
create table if not exists auth.instances (id uuid primary key);
alter table auth.instances
    add column if not exists uuid uuid,
    add column if not exists raw_base_config text,
    add column if not exists created_at timestamptz,
    add column if not exists updated_at timestamptz;

create table if not exists auth.schema_migrations (version varchar(255) primary key);

-- What belongs to a user, a session or a factor goes with it.
do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('identities_user_id_fkey', 'identities', 'user_id', 'users'),
            ('sessions_user_id_fkey', 'sessions', 'user_id', 'users'),
            ('refresh_tokens_session_id_fkey', 'refresh_tokens', 'session_id', 'sessions'),
            ('mfa_factors_user_id_fkey', 'mfa_factors', 'user_id', 'users'),
            ('mfa_challenges_auth_factor_id_fkey', 'mfa_challenges', 'factor_id', 'mfa_factors'),
            ('mfa_amr_claims_session_id_fkey', 'mfa_amr_claims', 'session_id', 'sessions'),
            ('one_time_tokens_user_id_fkey', 'one_time_tokens', 'user_id', 'users'),
            ('webauthn_credentials_user_id_fkey', 'webauthn_credentials', 'user_id', 'users'),
            ('webauthn_challenges_user_id_fkey', 'webauthn_challenges', 'user_id', 'users')
        ) as foreign_key (name, holder, field, target)
    loop
        if not exists (
            select from pg_catalog.pg_constraint as made
            join pg_catalog.pg_attribute as held on held.attrelid = made.conrelid and made.conkey = array[held.attnum]
            where made.contype = 'f'
                and made.conrelid = to_regclass('auth.' || wanted.holder)
                and made.confrelid = to_regclass('auth.' || wanted.target)
                and held.attname = wanted.field
        ) then
            execute format(
                'alter table auth.%I add constraint %I foreign key (%I) references auth.%I (id) on delete cascade',
                wanted.holder, wanted.name, wanted.field, wanted.target);
        end if;
    end loop;
end
$$;

do $$
declare
    name text;
begin
    foreach name in array array[
        'users', 'identities', 'sessions', 'refresh_tokens', 'mfa_factors', 'mfa_challenges', 'mfa_amr_claims',
        'one_time_tokens', 'flow_state', 'oauth_client_states', 'custom_oauth_providers', 'webauthn_credentials',
        'webauthn_challenges', 'audit_log_entries', 'instances', 'schema_migrations']
    loop
        if not (select relrowsecurity from pg_catalog.pg_class where oid = to_regclass('auth.' || name)) then
            execute format('alter table auth.%I enable row level security', name);
        end if;
    end loop;
end
$$;
