//! Plans as SQL. Pure: text comes from this code, quoted identifiers and binds only.
//!
//! Every statement answers rows whose leading columns are small and whose last is (a piece of) the body, so that the
//! body can be forwarded as it arrives; see [`ResultColumn`].

use crate::catalog::model::Function;
use crate::kernel::sql::SqlBuf;
use crate::rest::core::media::{MediaType, PlanFormat, PlanOption};
use crate::rest::core::plan::embed::SOURCE;
use crate::rest::core::plan::model::{
    CallAction, Handler, MutateAction, Output, ReadAction, ReadNode, Write,
};
use crate::rest::core::preferences::{CountMode, Preferences, Representation, Resolution};

mod body;
mod call;
mod field;
mod output;
mod read;
#[cfg(test)]
mod tests;
mod write;

/// The columns before the body, by position. Reads and calls have the first four, writes all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultColumn {
    /// The number of rows without limit and offset, where counting was asked for.
    Total = 0,
    /// The number of rows in the answer.
    Rows = 1,
    /// The setting `response.headers`.
    Headers = 2,
    /// The setting `response.status`.
    Status = 3,
    /// The primary key of the one row inserted, as a JSON array of `[name, value]`.
    Location = 4,
    /// How many rows an upsert inserted rather than updated.
    Inserted = 5,
}

/// How the rows of a result make up the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One row, whose last column is the body.
    Whole,
    /// A first row with the leading columns and the opening line, then one row a line.
    Lines {
        /// Whether the opening line and an end after each but the last line are wanted (CSV), or an end after each
        /// line and no opening line (NDJSON).
        has_header: bool,
    },
    /// Any number of rows with one column, one a line: an execution plan.
    PlanText,
}

/// A statement and how to read its result.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// The statement.
    pub sql: SqlBuf,
    /// Its result.
    pub shape: Shape,
    /// How many columns the result has, the body included.
    pub columns: u16,
    /// An EXPLAIN whose `Plan Rows` estimates the total.
    pub estimate: Option<SqlBuf>,
}

impl Rendered {
    fn new(sql: SqlBuf, output: &Output, columns: u16) -> Self {
        let shape = shape_of(output);
        let columns = if shape == Shape::PlanText { 1 } else { columns };
        Self { sql, shape, columns, estimate: None }
    }
}

/// Leading columns and body of reads and calls.
const READ_COLUMNS: u16 = 5;
/// Leading columns and body of writes.
const WRITE_COLUMNS: u16 = 7;

/// What counting needs to know.
#[derive(Clone, Copy, Debug)]
pub struct CountOptions {
    /// How the total is counted, if at all.
    pub mode: Option<CountMode>,
    /// The largest number of rows in an answer.
    pub max_rows: Option<u64>,
}

impl CountOptions {
    fn counts_rows(&self) -> bool {
        self.mode.is_some_and(CountMode::counts)
    }
}

const RESPONSE_SETTINGS: &str = "nullif(current_setting('response.headers', true), ''), nullif(current_setting('response.status', true), '')";

/// The statement for a read.
pub fn render_read(action: &ReadAction, count: CountOptions) -> Rendered {
    let sql = rows_statement(None, &action.tree, &action.output, count);
    let estimate = count.mode.is_some_and(CountMode::guesses).then(|| {
        let mut explain = SqlBuf::new();
        explain.lit("EXPLAIN (FORMAT JSON) ");
        read::count_query(&mut explain, &action.tree);
        explain
    });
    Rendered { estimate, ..Rendered::new(sql, &action.output, READ_COLUMNS) }
}

/// The statement for a call.
pub fn render_call(action: &CallAction, count: CountOptions) -> Rendered {
    let sql = rows_statement(Some(action), &action.tree, &action.output, count);
    Rendered::new(sql, &action.output, READ_COLUMNS)
}

/// The statement for a write.
pub fn render_mutate(action: &MutateAction, preferences: &Preferences) -> Rendered {
    let mut sql = explained(&action.output);
    let by_line = is_by_line(&action.output);
    let mut ctes = Ctes { started: false };
    ctes.open(&mut sql, SOURCE);
    write::query(&mut sql, &action.write);
    sql.lit(")");
    if by_line {
        ctes.open(&mut sql, LINES);
        read::query(&mut sql, &action.tree);
        sql.lit(")");
    }
    sql.lit(" SELECT NULL, count(*), ");
    if by_line {
        sql.lit(RESPONSE_SETTINGS).lit(", ");
        location(&mut sql, action, preferences);
        sql.lit(", ");
        inserted(&mut sql, action, preferences);
        sql.lit(", ");
        lines(&mut sql, &action.output, None, "NULL, NULL, NULL, NULL, NULL, NULL, ");
    } else {
        write_columns(&mut sql, action, preferences);
        sql.lit(" FROM (");
        if action.output.handler == Handler::None {
            // The selected columns do not matter, so they must not be able to fail.
            sql.lit("SELECT * FROM pgrst_source");
        } else {
            read::query(&mut sql, &action.tree);
        }
        sql.lit(") _postgrest_t");
    }
    Rendered::new(sql, &action.output, WRITE_COLUMNS)
}

/// What follows the counts of a write. The body is last, so that it can be forwarded as it arrives; only in an execution
/// plan it stands where PostgREST has it, since the order of columns changes nothing else there.
fn write_columns(sql: &mut SqlBuf, action: &MutateAction, preferences: &Preferences) {
    if is_explained(&action.output) {
        location(sql, action, preferences);
        sql.lit(", ");
        output::aggregate(sql, &action.output.handler, None);
        sql.lit(", ").lit(RESPONSE_SETTINGS).lit(", ");
        inserted(sql, action, preferences);
    } else {
        sql.lit(RESPONSE_SETTINGS).lit(", ");
        location(sql, action, preferences);
        sql.lit(", ");
        inserted(sql, action, preferences);
        sql.lit(", ");
        output::aggregate(sql, &action.output.handler, None);
    }
}

/// What follows the counts of a read or call; see [`write_columns`] for the order.
fn read_columns(sql: &mut SqlBuf, output: &Output, function: Option<&Function>) {
    if is_explained(output) {
        output::aggregate(sql, &output.handler, function);
        sql.lit(", ").lit(RESPONSE_SETTINGS);
    } else {
        sql.lit(RESPONSE_SETTINGS).lit(", ");
        output::aggregate(sql, &output.handler, function);
    }
}

/// The opening line, then the rows of [`LINES`] one by one behind `blanks` for the leading columns.
fn lines(sql: &mut SqlBuf, output: &Output, function: Option<&Function>, blanks: &'static str) {
    output::row_header(sql, &output.handler, LINES);
    sql.lit(" FROM ").lit(LINES).lit(" UNION ALL SELECT ").lit(blanks);
    output::row(sql, &output.handler, function);
    sql.lit(" FROM ").lit(LINES).lit(" _postgrest_t");
}

/// The statement for rows of a relation, or of a call.
fn rows_statement(
    call: Option<&CallAction>,
    tree: &ReadNode,
    output: &Output,
    count: CountOptions,
) -> SqlBuf {
    let function = call.map(|action| &*action.function);
    let mut sql = explained(output);
    let by_line = is_by_line(output);
    let counts_apart = count.counts_rows() && (count.max_rows.is_some() || !tree.range.is_all());
    let mut ctes = Ctes { started: false };
    if let Some(action) = call {
        ctes.open(&mut sql, SOURCE);
        call::query(&mut sql, &action.function, &action.call);
        sql.lit(")");
    }
    if by_line {
        ctes.open(&mut sql, LINES);
        read::query(&mut sql, tree);
        sql.lit(")");
    }
    if counts_apart {
        ctes.open(&mut sql, "pgrst_source_count");
        read::count_query(&mut sql, tree);
        if count.mode == Some(CountMode::Estimated)
            && let (None, Some(max_rows)) = (call, count.max_rows)
        {
            // One more than fits tells that there are more.
            sql.lit(" LIMIT ")
                .number(i64::try_from(max_rows).map_or(i64::MAX, |rows| rows.saturating_add(1)));
        }
        sql.lit(")");
    }
    sql.lit(if ctes.started { " SELECT " } else { "SELECT " });
    let rows = if function.is_some_and(Function::returns_single) { "1" } else { "count(*)" };
    match (count.counts_rows(), counts_apart) {
        (true, true) => sql.lit("(SELECT count(*) FROM pgrst_source_count)"),
        (true, false) => sql.lit(rows),
        (false, _) => sql.lit("NULL"),
    };
    sql.lit(", ").lit(rows).lit(", ");
    if by_line {
        sql.lit(RESPONSE_SETTINGS).lit(", ");
        lines(&mut sql, output, function, "NULL, NULL, NULL, NULL, ");
    } else {
        read_columns(&mut sql, output, function);
        sql.lit(" FROM (");
        read::query(&mut sql, tree);
        sql.lit(") _postgrest_t");
    }
    sql
}

/// The rows of a body that goes row by row; read twice, so PostgreSQL keeps them on its side.
const LINES: &str = "pgrst_lines";

/// Writes WITH before the first common table expression and commas between the others.
struct Ctes {
    started: bool,
}

impl Ctes {
    fn open(&mut self, sql: &mut SqlBuf, name: &'static str) {
        sql.lit(if self.started { ", " } else { "WITH " }).lit(name).lit(" AS (");
        self.started = true;
    }
}

fn is_by_line(output: &Output) -> bool {
    matches!(output.handler, Handler::Csv | Handler::NdJson)
}

fn is_explained(output: &Output) -> bool {
    matches!(output.media, MediaType::Plan(_))
}

fn shape_of(output: &Output) -> Shape {
    match (&output.media, &output.handler) {
        (MediaType::Plan(_), _) => Shape::PlanText,
        (_, Handler::Csv) => Shape::Lines { has_header: true },
        (_, Handler::NdJson) => Shape::Lines { has_header: false },
        _ => Shape::Whole,
    }
}

/// A statement that starts with EXPLAIN if a plan is asked for.
fn explained(output: &Output) -> SqlBuf {
    let mut sql = SqlBuf::new();
    if let MediaType::Plan(plan) = &output.media {
        sql.lit("EXPLAIN (");
        sql.lit(match plan.format {
            PlanFormat::Text => "FORMAT TEXT",
            PlanFormat::Json => "FORMAT JSON",
        });
        for option in &plan.options {
            sql.lit(match option {
                PlanOption::Analyze => ", ANALYZE",
                PlanOption::Verbose => ", VERBOSE",
                PlanOption::Settings => ", SETTINGS",
                PlanOption::Buffers => ", BUFFERS",
                PlanOption::Wal => ", WAL",
            });
        }
        sql.lit(") ");
    }
    sql
}

/// The key of the row inserted, for `Location`.
fn location(sql: &mut SqlBuf, action: &MutateAction, preferences: &Preferences) {
    match &action.write {
        Write::Insert { primary_key, .. }
            if preferences.representation == Some(Representation::HeadersOnly) && !primary_key.is_empty() =>
        {
            sql.lit("CASE WHEN count(*) = 1 THEN (SELECT json_agg(json_build_array(d.key, d.value)) FROM ");
            sql.lit(
                "(SELECT row_to_json(s) AS r FROM pgrst_source s LIMIT 1) first, json_each_text(first.r) d ",
            );
            sql.lit("WHERE d.key IN (").join(", ", primary_key, |sql, column| {
                sql.quoted(column);
            });
            sql.lit(")) END");
        }
        _ => {
            sql.lit("NULL");
        }
    }
}

/// How many rows an upsert inserted; NULL for any other write.
fn inserted(sql: &mut SqlBuf, action: &MutateAction, preferences: &Preferences) {
    let is_upsert = match &action.write {
        Write::Insert { conditions, .. } => {
            !conditions.is_empty() || preferences.resolution == Some(Resolution::MergeDuplicates)
        }
        Write::Update { .. } | Write::Delete { .. } => false,
    };
    sql.lit(if is_upsert { "nullif(current_setting('pgrst.inserted', true), '')::int" } else { "NULL" });
}
