-- The caller of the current request, for row-level security policies, defaults and functions.
--
-- Claims arrive as one JSON setting, request.jwt.claims; older programs set one setting per claim
-- (request.jwt.claim.<name>), which then wins. A setting that was used once in a session reads as '' afterwards,
-- so '' means "not set" everywhere. Bodies are bound when created: no search_path can redirect them, and being
-- single expressions they are inlined into policies.

create or replace function auth.jwt() returns jsonb
    language sql stable parallel safe
    return coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb;

comment on function auth.jwt() is 'All claims of the caller''s token; NULL outside a request.';

create or replace function auth.uid() returns uuid
    language sql stable parallel safe
    return nullif(coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    ), '')::uuid;

comment on function auth.uid() is 'The id of the signed-in user (claim sub); NULL for anonymous callers.';

create or replace function auth.role() returns text
    language sql stable parallel safe
    return nullif(coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    ), '');

comment on function auth.role() is 'The API role of the caller (claim role): anon, authenticated, service_role or a custom one.';

create or replace function auth.email() returns text
    language sql stable parallel safe
    return nullif(coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    ), '');

comment on function auth.email() is 'The e-mail address in the caller''s token (claim email), if any.';
