create table goforward.auth_challenge_attempts (
    challenge_id uuid primary key references auth.mfa_challenges (id) on delete cascade,
    attempts     integer not null default 0 check (attempts >= 0)
);

comment on table goforward.auth_challenge_attempts is 'Answers tried to a challenge of a second factor.';
