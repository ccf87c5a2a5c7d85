-- The schema auth of a Supabase project of mid-2023, compact: without the tables and columns that came later, with the key
-- that identities had, and with what an application hangs on it.
create schema if not exists auth;

create type auth.aal_level as enum ('aal1', 'aal2', 'aal3');
create type auth.code_challenge_method as enum ('s256', 'plain');
create type auth.factor_status as enum ('unverified', 'verified');
create type auth.factor_type as enum ('totp', 'webauthn');

create table auth.users (
    instance_id uuid, id uuid primary key, aud varchar(255), role varchar(255), email varchar(255),
    encrypted_password varchar(255), email_confirmed_at timestamptz, invited_at timestamptz,
    confirmation_token varchar(255), confirmation_sent_at timestamptz, recovery_token varchar(255),
    recovery_sent_at timestamptz, email_change_token_new varchar(255), email_change varchar(255),
    email_change_sent_at timestamptz, last_sign_in_at timestamptz, raw_app_meta_data jsonb, raw_user_meta_data jsonb,
    is_super_admin boolean, created_at timestamptz, updated_at timestamptz,
    phone text default null constraint users_phone_key unique, phone_confirmed_at timestamptz,
    phone_change text default '', phone_change_token varchar(255) default '', phone_change_sent_at timestamptz,
    confirmed_at timestamptz generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
    email_change_token_current varchar(255) default '',
    email_change_confirm_status smallint default 0 check (email_change_confirm_status between 0 and 2),
    banned_until timestamptz, reauthentication_token varchar(255) default '', reauthentication_sent_at timestamptz,
    is_sso_user boolean not null default false, deleted_at timestamptz
);
create unique index users_email_partial_key on auth.users (email) where (is_sso_user = false);

create table auth.identities (
    id text not null, user_id uuid not null references auth.users (id) on delete cascade, identity_data jsonb not null,
    provider text not null, last_sign_in_at timestamptz, created_at timestamptz, updated_at timestamptz,
    email text generated always as (lower(identity_data ->> 'email')) stored,
    constraint identities_pkey primary key (provider, id)
);
create table auth.sessions (
    id uuid primary key, user_id uuid not null references auth.users (id) on delete cascade, created_at timestamptz,
    updated_at timestamptz, factor_id uuid, aal auth.aal_level, not_after timestamptz
);
create table auth.refresh_tokens (
    instance_id uuid, id bigserial primary key, token varchar(255) constraint refresh_tokens_token_unique unique,
    user_id varchar(255), revoked boolean, created_at timestamptz, updated_at timestamptz, parent varchar(255),
    session_id uuid references auth.sessions (id) on delete cascade
);
create table auth.mfa_factors (
    id uuid primary key, user_id uuid not null references auth.users (id) on delete cascade, friendly_name text,
    factor_type auth.factor_type not null, status auth.factor_status not null, created_at timestamptz not null,
    updated_at timestamptz not null, secret text
);
create table auth.mfa_challenges (
    id uuid primary key, factor_id uuid not null, created_at timestamptz not null, verified_at timestamptz,
    ip_address inet not null,
    constraint mfa_challenges_auth_factor_id_fkey foreign key (factor_id) references auth.mfa_factors (id) on delete cascade
);
create table auth.mfa_amr_claims (
    session_id uuid not null references auth.sessions (id) on delete cascade, created_at timestamptz not null,
    updated_at timestamptz not null, authentication_method text not null, id uuid constraint amr_id_pk primary key,
    constraint mfa_amr_claims_session_id_authentication_method_pkey unique (session_id, authentication_method)
);
create table auth.flow_state (
    id uuid primary key, user_id uuid, auth_code text not null, code_challenge_method auth.code_challenge_method not null,
    code_challenge text not null, provider_type text not null, provider_access_token text, provider_refresh_token text,
    created_at timestamptz, updated_at timestamptz, authentication_method text not null
);
create table auth.audit_log_entries (
    instance_id uuid, id uuid primary key, payload json, created_at timestamptz,
    ip_address varchar(64) not null default ''
);
create table auth.instances (
    id uuid primary key, uuid uuid, raw_base_config text, created_at timestamptz, updated_at timestamptz
);
create table auth.schema_migrations (version varchar(255) primary key);
create table auth.sso_providers (id uuid primary key, resource_id text);

create function auth.uid() returns uuid language sql stable
    as $$ select nullif(current_setting('request.jwt.claim.sub', true), '')::uuid $$;
create function auth.role() returns text language sql stable
    as $$ select nullif(current_setting('request.jwt.claim.role', true), '')::text $$;

insert into auth.users (id, email, encrypted_password, email_confirmed_at, raw_app_meta_data)
values ('00000000-0000-4000-8000-000000000001', 'ada@example.com', '$2a$10$imported', now(), '{"provider": "email"}');
insert into auth.identities (id, user_id, identity_data, provider)
values ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000001', '{"email": "Ada@example.com"}', 'email');
insert into auth.sessions (id, user_id, aal)
values ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001', 'aal1');
insert into auth.refresh_tokens (token, user_id, session_id)
values ('abcdefghijkl', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002');

-- What an application hangs on it.
create view auth.people as select id, phone, email, confirmed_at from auth.users;
