//! The columns that hold sealed values, read and written anew in batches (`goforward keys rotate`).

use sqlx::postgres::PgConnection;

/// Rows of one statement.
const BATCH: i64 = 500;

/// Where sealed values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Secrets of authenticator apps. Those of another system may be in the clear.
    TotpSecrets,
    /// Access tokens of identity providers.
    ProviderAccessTokens,
    /// Refresh tokens of identity providers.
    ProviderRefreshTokens,
    /// Mails and messages that wait or failed.
    Letters,
}

impl Place {
    pub(crate) const ALL: [Self; 4] =
        [Self::TotpSecrets, Self::ProviderAccessTokens, Self::ProviderRefreshTokens, Self::Letters];

    /// A batch after the row `$1`, of at most `$2`.
    fn page(self) -> &'static str {
        match self {
            Self::TotpSecrets => {
                "select id::text as id, id::text as bound_to, secret as value from auth.mfa_factors
                 where factor_type = 'totp' and secret <> '' and ($1::text is null or id > $1::uuid)
                 order by mfa_factors.id limit $2"
            }
            Self::ProviderAccessTokens => {
                "select id::text as id, id::text as bound_to, provider_access_token as value from auth.flow_state
                 where provider_access_token like 'gfv1.%' and ($1::text is null or id > $1::uuid)
                 order by flow_state.id limit $2"
            }
            Self::ProviderRefreshTokens => {
                "select id::text as id, id::text as bound_to, provider_refresh_token as value from auth.flow_state
                 where provider_refresh_token like 'gfv1.%' and ($1::text is null or id > $1::uuid)
                 order by flow_state.id limit $2"
            }
            Self::Letters => {
                "select id::text as id, coalesce(payload ->> 'id', '') as bound_to, payload ->> 'sealed' as value
                 from goforward.jobs
                 where payload ->> 'sealed' is not null and ($1::text is null or id > $1::bigint)
                 order by jobs.id limit $2"
            }
        }
    }

    /// Puts the values `$3` in the rows `$1`, where these still hold `$2`.
    fn replacement(self) -> &'static str {
        match self {
            Self::TotpSecrets => {
                "update auth.mfa_factors as held set secret = new.value
                 from unnest($1::text[], $2::text[], $3::text[]) as new (id, was, value)
                 where held.id = new.id::uuid and held.secret = new.was"
            }
            Self::ProviderAccessTokens => {
                "update auth.flow_state as held set provider_access_token = new.value
                 from unnest($1::text[], $2::text[], $3::text[]) as new (id, was, value)
                 where held.id = new.id::uuid and held.provider_access_token = new.was"
            }
            Self::ProviderRefreshTokens => {
                "update auth.flow_state as held set provider_refresh_token = new.value
                 from unnest($1::text[], $2::text[], $3::text[]) as new (id, was, value)
                 where held.id = new.id::uuid and held.provider_refresh_token = new.was"
            }
            Self::Letters => {
                "update goforward.jobs as held
                 set payload = jsonb_set(held.payload, '{sealed}', to_jsonb(new.value))
                 from unnest($1::text[], $2::text[], $3::text[]) as new (id, was, value)
                 where held.id = new.id::bigint and held.payload ->> 'sealed' = new.was"
            }
        }
    }
}

/// A value where it is.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(crate) struct Held {
    /// The row.
    pub(crate) id: String,
    /// What the value is sealed for, beside its purpose.
    pub(crate) bound_to: String,
    /// The value, as it is stored.
    pub(crate) value: String,
}

/// A value that is to take another's place.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    /// What it replaces.
    pub(crate) held: Held,
    /// The new value.
    pub(crate) value: String,
}

/// Makes statements of this connection fail where row-level security would hide rows from them: what is not seen would
/// count as done.
pub(crate) async fn see_every_row(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("set row_security = off").execute(connection).await.map(drop)
}

/// The next values after a row, from the first on where none is named; whether there may be more.
pub(crate) async fn page(
    connection: &mut PgConnection,
    place: Place,
    after: Option<&str>,
) -> Result<(Vec<Held>, bool), sqlx::Error> {
    let held: Vec<Held> = sqlx::query_as(place.page()).bind(after).bind(BATCH).fetch_all(connection).await?;
    let is_full = i64::try_from(held.len()).unwrap_or(i64::MAX) == BATCH;
    Ok((held, is_full))
}

/// Puts values in the place of others, in one statement; how many still were there.
pub(crate) async fn replace(
    connection: &mut PgConnection,
    place: Place,
    replacements: &[Replacement],
) -> Result<u64, sqlx::Error> {
    let column = |text: fn(&Replacement) -> &str| replacements.iter().map(text).collect::<Vec<&str>>();
    sqlx::query(place.replacement())
        .bind(column(|new| &new.held.id))
        .bind(column(|new| &new.held.value))
        .bind(column(|new| &new.value))
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}
