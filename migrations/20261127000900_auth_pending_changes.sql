-- Finds the account that waits for a new address or number to be confirmed, without a look at every other account.

create index if not exists users_email_change_idx on auth.users (email_change) where email_change <> '';
create index if not exists users_phone_change_idx on auth.users (phone_change) where phone_change <> '';
