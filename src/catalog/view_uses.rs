//! Reads PostgreSQL's stored form of a view for the columns that it uses otherwise than by showing them. Pure text work.
//!
//! Exact for a view that is one SELECT over relations; of any other (subqueries, set operations, common table
//! expressions, joins with USING) it says that it cannot tell, and everything that the view reads counts as used.

use std::collections::BTreeSet;

use super::view_tree::Reader;

/// The columns that a view uses in conditions, joins, orders and expressions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ViewUses {
    /// By OID of the relation and number of the column; `None` if every column that the view reads must count.
    pub(super) columns: Option<BTreeSet<(u32, i16)>>,
    /// Whether it uses rows as a whole somewhere.
    pub(super) whole_rows: bool,
}

/// What the stored query says.
pub(super) fn uses(ev_action: &str) -> ViewUses {
    let text = ev_action.as_bytes();
    let whole_rows = variables(text).any(|variable| variable.column == 0);
    ViewUses { columns: simple_uses(text), whole_rows }
}

/// `None` where the form is not simple enough, or not a query at all.
fn simple_uses(text: &[u8]) -> Option<BTreeSet<(u32, i16)>> {
    // The action is a list of one query: "({QUERY :key value ...})".
    let query = Reader::inside(text).next_token().filter(|group| group.starts_with(b"{QUERY"))?;
    let mut relations = None;
    let mut used = Vec::new();
    let mut reader = Reader::inside(query);
    while let Some(key) = reader.next_token() {
        let value = match key {
            key if key.starts_with(b":") => reader.next_token()?,
            _ => continue,
        };
        match key {
            b":rtable" => relations = Some(range_table(value)?),
            b":rteperminfos" => {}
            b":setOperations" | b":cteList" if value != b"<>" => return None,
            b":hasSubLinks" if value != b"false" => return None,
            b":targetList" => {
                let mut entries = Reader::inside(value);
                while let Some(entry) = entries.next_token() {
                    used.extend(variables(entry).skip(usize::from(shows_a_column(entry))));
                }
            }
            _ => used.extend(variables(value)),
        }
    }
    let relations = relations?;
    used.into_iter()
        // Columns with negative numbers are PostgreSQL's own.
        .filter(|variable| variable.column >= 0)
        .map(|variable| match relations.get(variable.range.checked_sub(1)?)? {
            Some(relation) if variable.column > 0 && variable.levels_up == 0 => {
                Some((*relation, variable.column))
            }
            _ => None,
        })
        .collect()
}

/// The relations of a range table, by position; `None` inside for a join, `None` for anything else.
fn range_table(value: &[u8]) -> Option<Vec<Option<u32>>> {
    let mut entries = Reader::inside(value);
    let mut found = Vec::new();
    while let Some(entry) = entries.next_token() {
        let (mut kind, mut relation) = (None::<u8>, None);
        let mut reader = Reader::inside(entry);
        while let Some(key) = reader.next_token() {
            match key {
                b":rtekind" => kind = reader.number(),
                b":relid" => relation = reader.number(),
                key if key.starts_with(b":") => {
                    reader.next_token();
                }
                _ => {}
            }
        }
        found.push(match kind? {
            0 => Some(relation?),
            2 => None,
            _ => return None,
        });
    }
    Some(found)
}

/// Whether an entry of the target list is a bare column that is shown and neither grouped nor ordered by.
fn shows_a_column(entry: &[u8]) -> bool {
    let (mut is_bare, mut is_shown, mut is_unsorted) = (false, false, false);
    let mut reader = Reader::inside(entry);
    while let Some(key) = reader.next_token() {
        let value = match key {
            key if key.starts_with(b":") => reader.next_token().unwrap_or_default(),
            _ => continue,
        };
        match key {
            b":expr" => is_bare = value.starts_with(b"{VAR "),
            b":resjunk" => is_shown = value == b"false",
            b":ressortgroupref" => is_unsorted = value == b"0",
            _ => {}
        }
    }
    is_bare && is_shown && is_unsorted
}

/// A reference to a column.
struct Variable {
    range: usize,
    column: i16,
    levels_up: u32,
}

/// Every reference to a column in a piece of a query. Inside names, brackets stand behind a `\`.
fn variables(text: &[u8]) -> impl Iterator<Item = Variable> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            match text[at] {
                b'\\' => at += 2,
                b'{' if text[at..].starts_with(b"{VAR ") => {
                    let node = &text[at..];
                    at += 1;
                    return Some(variable(node));
                }
                _ => at += 1,
            }
        }
        None
    })
}

fn variable(node: &[u8]) -> Variable {
    let mut found = Variable { range: 0, column: 0, levels_up: 0 };
    let mut reader = Reader::inside(node);
    while let Some(key) = reader.next_token() {
        match key {
            b":varno" => found.range = reader.number().unwrap_or(0),
            b":varattno" => found.column = reader.number().unwrap_or(0),
            b":varlevelsup" => found.levels_up = reader.number().unwrap_or(u32::MAX),
            key if key.starts_with(b":") => {
                reader.next_token();
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(rtable: &str, rest: &str, targets: &str) -> String {
        format!(
            "({{QUERY :commandType 1 :hasSubLinks false :cteList <> :rtable ({rtable}) {rest} :targetList ({targets}) :setOperations <>}})"
        )
    }

    fn target(expr: &str, sort: u8) -> String {
        format!("{{TARGETENTRY :expr {expr} :resno 1 :resname a :ressortgroupref {sort} :resjunk false}}")
    }

    fn var(range: usize, column: i16) -> String {
        format!("{{VAR :varno {range} :varattno {column} :vartype 25 :varlevelsup 0}}")
    }

    const TABLE: &str = "{RANGETBLENTRY :alias <> :eref {ALIAS :aliasname t :colnames (\"a\")} :rtekind 0 :relid 16400 :relkind r}";

    fn used(text: &str) -> Option<Vec<(u32, i16)>> {
        uses(text).columns.map(|columns| columns.into_iter().collect())
    }

    #[test]
    fn a_column_that_is_only_shown_is_not_used() {
        let shown = view(TABLE, ":jointree {FROMEXPR :quals <>}", &target(&var(1, 2), 0));
        assert_eq!(used(&shown), Some(vec![]));
    }

    #[test]
    fn conditions_orders_and_expressions_use_columns() {
        let condition = format!(":jointree {{FROMEXPR :quals {{OPEXPR :args ({} {{CONST}})}}}}", var(1, 3));
        let text = view(TABLE, &condition, &target(&var(1, 2), 0));
        assert_eq!(used(&text), Some(vec![(16400, 3)]));
        let sorted = view(TABLE, "", &target(&var(1, 2), 1));
        assert_eq!(used(&sorted), Some(vec![(16400, 2)]));
        let computed = view(TABLE, "", &target(&format!("{{FUNCEXPR :args ({})}}", var(1, 4)), 0));
        assert_eq!(used(&computed), Some(vec![(16400, 4)]));
    }

    #[test]
    fn what_is_not_one_plain_select_cannot_be_told() {
        let subquery = "{RANGETBLENTRY :rtekind 1 :subquery {QUERY}}";
        assert_eq!(used(&view(subquery, "", &target(&var(1, 2), 0))), None);
        let join = format!("{TABLE} {{RANGETBLENTRY :rtekind 2 :jointype 0}}");
        assert_eq!(used(&view(&join, "", &target(&var(1, 2), 0))), Some(vec![]));
        assert_eq!(used(&view(&join, "", &target(&format!("{{RELABELTYPE :arg {}}}", var(2, 1)), 0))), None);
        assert_eq!(used("({QUERY :cteList ({COMMONTABLEEXPR}) :rtable <>})"), None);
        for text in ["", "(", "({QUERY", "<>", "({QUERY :rtable"] {
            assert_eq!(used(text), None, "{text}");
        }
    }

    #[test]
    fn whole_rows_are_told() {
        let text = view(TABLE, "", &target(&format!("{{FUNCEXPR :args ({})}}", var(1, 0)), 0));
        assert_eq!(uses(&text), ViewUses { columns: None, whole_rows: true });
    }
}
