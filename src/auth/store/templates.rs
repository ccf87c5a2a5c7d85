//! Templates of mails that were edited: `goforward.auth_templates`.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::postgres::PgConnection;

use crate::auth::mail::{StoredTemplate, Template};

/// All of them; names that are none of ours are passed over.
pub(crate) async fn stored(pool: &PgPool) -> Result<BTreeMap<Template, StoredTemplate>, sqlx::Error> {
    type Row = (String, Option<String>, Option<String>, String);
    let rows: Vec<Row> = sqlx::query_as("select name, subject, html, text from goforward.auth_templates")
        .fetch_all(pool)
        .await?;
    let stored = rows.into_iter().filter_map(|(name, subject, html, text)| {
        let stored = StoredTemplate { subject, html, text: Some(text).filter(|text| !text.is_empty()) };
        Some((name.parse().ok()?, stored))
    });
    Ok(stored.collect())
}

/// When templates were edited.
pub(crate) async fn edited(
    connection: &mut PgConnection,
) -> Result<BTreeMap<String, DateTime<Utc>>, sqlx::Error> {
    let rows: Vec<(String, DateTime<Utc>)> =
        sqlx::query_as("select name, updated_at from goforward.auth_templates").fetch_all(connection).await?;
    Ok(rows.into_iter().collect())
}

/// Stores a template over the shipped one. A part that it does not have is the shipped one's.
pub(crate) async fn put(
    connection: &mut PgConnection,
    template: Template,
    stored: &StoredTemplate,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into goforward.auth_templates (name, subject, html, text, updated_at) values ($1, $2, $3, $4, $5)
         on conflict (name) do update set subject = excluded.subject, html = excluded.html, text = excluded.text,
            updated_at = excluded.updated_at",
    )
    .bind(template.name())
    .bind(stored.subject.as_deref())
    .bind(stored.html.as_deref())
    .bind(stored.text.as_deref().unwrap_or_default())
    .bind(now)
    .execute(connection)
    .await
    .map(drop)
}

/// Goes back to the shipped template.
pub(crate) async fn remove(connection: &mut PgConnection, template: Template) -> Result<(), sqlx::Error> {
    sqlx::query("delete from goforward.auth_templates where name = $1")
        .bind(template.name())
        .execute(connection)
        .await
        .map(drop)
}
