//! Who sees what of a table's changes. PostgreSQL decides, by the policies of the table over the images of the rows, under
//! the role and claims of the viewer; where a policy is of a shape that is understood, the same is decided here.
//!
//! One statement asks about many images for one group of viewers. It never holds the claims of two, it is read-only, and it
//! has a limit of time. What fails is not seen.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::filter::{Filter, SqlValue};
use super::registry::Viewer;
use crate::catalog::model::Mask;
use crate::kernel::db::wire::DbError;
use crate::kernel::random::Random;
use crate::kernel::sql::SqlBuf;
use crate::policy::store::mask::masked;
use crate::realtime::caller_query::{CallerQueries, is_outage};
use crate::realtime::pauses::pauses;
use crate::realtime::store::row_policies::{Deed, RowPolicies};
use crate::realtime::store::tables::Table;

/// The longest that the policies of one table may take for one group.
const TIME_LIMIT: &str = "1s";
/// How often a statement that PostgreSQL gave up is sent again.
const MOST_REFUSALS: u32 = 10;

/// What is asked about images of rows.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    /// The table.
    pub(super) table: &'a Table,
    /// The policies; none: they were decided otherwise, and everything asked about is seen.
    pub(super) policies: Option<&'a RowPolicies>,
    /// Filters that only PostgreSQL can tell.
    pub(super) filters: &'a [&'a Filter],
    /// Columns that are shown masked.
    pub(super) masks: &'a [(&'a str, &'a Mask)],
}

/// What was found, of one image.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct Finding {
    /// Whether the row is seen.
    pub(super) seen: bool,
    /// Which filters match, in the order of the question.
    pub(super) matches: Vec<bool>,
    /// The masked values.
    pub(super) masked: Option<Box<RawValue>>,
}

/// The way to the database for viewers.
#[derive(Clone)]
pub(super) struct Eyes {
    queries: CallerQueries,
    random: Random,
}

impl Eyes {
    pub(super) fn new(queries: CallerQueries, random: Random) -> Self {
        Self { queries, random }
    }

    /// Asks about images of rows, each a JSON object. The findings are in their order; an error means that none may be
    /// seen. An outage is waited for.
    pub(super) async fn look(
        &self,
        viewer: &Viewer,
        question: &Question<'_>,
        images: &[&RawValue],
    ) -> Result<Vec<Finding>, DbError> {
        let (mut pauses, mut refusals) = (pauses(&self.random), 0);
        loop {
            match self.ask(viewer, question, images).await {
                // A policy may raise what looks like an outage: that is not waited for without end.
                Err(error) if is_outage(&error) && refusals < MOST_REFUSALS => {
                    refusals += u32::from(error.sql().is_some() || matches!(error, DbError::Timeout));
                    tracing::debug!(kind = "app", "changes wait for the database: {error}");
                    pauses.sit_out().await;
                }
                other => return other,
            }
        }
    }

    async fn ask(
        &self,
        viewer: &Viewer,
        question: &Question<'_>,
        images: &[&RawValue],
    ) -> Result<Vec<Finding>, DbError> {
        let found = self.queries.ask((&viewer.caller, None), question.sql(images), TIME_LIMIT).await?;
        serde_json::from_slice(&found).map_err(|_| DbError::Internal("findings that cannot be read"))
    }
}

impl Question<'_> {
    /// The images stand outside of the scope in which expressions are read: within it there are only the table's own columns,
    /// under the table's own name.
    fn sql(&self, images: &[&RawValue]) -> SqlBuf {
        let mut array = String::from("[");
        for (place, image) in images.iter().enumerate() {
            if place > 0 {
                array.push(',');
            }
            array.push_str(image.get());
        }
        array.push(']');
        let (schema, name) = (&self.table.name.schema, &self.table.name.name);
        let mut sql = SqlBuf::new();
        sql.lit(
            "select coalesce(json_agg(json_build_object('seen', seen, 'matches', matches, 'masked', masked) ",
        );
        sql.lit("order by \"goforward place\"), '[]')::text from jsonb_array_elements(").bind_text(&array);
        sql.lit(
            "::jsonb) with ordinality as \"goforward images\" (\"goforward image\", \"goforward place\") ",
        );
        // What is asked of a row beyond its being seen must not be able to tell of one that is not, nor to fail on it.
        sql.lit("cross join lateral (select \"goforward seen\" as seen, json_build_array(");
        sql.join(", ", self.filters, |sql, filter| {
            sql.lit("case when \"goforward seen\" then ");
            write_filter(sql, self.table, filter);
            sql.lit(" else false end");
        });
        sql.lit(") as matches, case when \"goforward seen\" then json_build_object(");
        sql.join(", ", self.masks, |sql, (column, mask)| {
            sql.bind_text(column).lit("::text, ");
            masked(sql, mask, |sql| {
                sql.ident(name).lit(".").ident(column);
            });
        });
        sql.lit(") end as masked from (select ").ident(name).lit(".*, coalesce((");
        match self.policies {
            Some(policies) => policies.condition(Deed::Select, &mut sql),
            None => {
                sql.lit("true");
            }
        }
        sql.lit("), false) as \"goforward seen\" from jsonb_populate_record(null::").name(schema, name);
        sql.lit(", \"goforward image\") as ").ident(name).lit(" offset 0) as ").ident(name);
        sql.lit(" offset 0) as looked");
        sql
    }
}

/// Writes the conditions of a filter; one that is NULL does not match.
fn write_filter(sql: &mut SqlBuf, table: &Table, filter: &Filter) {
    let name = &table.name.name;
    sql.lit("coalesce((");
    sql.join(" and ", &filter.conditions, |sql, condition| {
        let condition = condition.sql();
        let type_name = condition.column;
        sql.lit(if condition.is_negated { "not (" } else { "(" });
        sql.ident(name).lit(".").ident(condition.column).lit(" ").lit(condition.operator).lit(" ");
        match condition.value {
            SqlValue::Nothing => {}
            SqlValue::OfColumnType(text) => {
                sql.bind_text(text).lit("::text");
                cast(sql, table, type_name, "");
            }
            SqlValue::ListOfColumnType(texts) => {
                sql.lit("(array[");
                sql.join(", ", texts, |sql, text| {
                    sql.bind_text(text).lit("::text");
                });
                sql.lit("]::text[]");
                cast(sql, table, type_name, "[]");
                sql.lit(")");
            }
            SqlValue::Text(text) => {
                sql.bind_text(text).lit("::text");
            }
        }
        sql.lit(")");
    });
    sql.lit("), false)");
}

/// Casts to the type of a column, whatever it is called.
fn cast(sql: &mut SqlBuf, table: &Table, column: &str, suffix: &'static str) {
    if let Some(found) = table.columns.iter().find(|found| found.column.name == column) {
        sql.lit("::").catalog_sql(&found.type_sql).lit(suffix);
    }
}

/// Whether a filter that only PostgreSQL can tell is one that it takes: asked once, when it is subscribed to.
pub(super) async fn try_filter(
    eyes: &Eyes,
    viewer: &Viewer,
    table: &Table,
    filter: &Filter,
) -> Result<(), DbError> {
    let question = Question { table, policies: None, filters: &[filter], masks: &[] };
    // Of texts, as patterns are looked at only where there is something to match.
    let texts = filter.conditions.iter().filter(|condition| condition.column.is_text);
    let row: Map<String, Value> =
        texts.map(|condition| (condition.column.name.clone(), Value::from("a"))).collect();
    let row = serde_json::value::to_raw_value(&row).map_err(|_| DbError::Internal("a row of texts"))?;
    eyes.ask(viewer, &question, &[&*row]).await.map(|_| ())
}
