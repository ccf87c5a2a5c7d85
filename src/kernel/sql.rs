//! SQL text that cannot be injected into.
//!
//! A [`SqlBuf`] grows in three ways only: literal program text, quoted identifiers, and bound parameters.
//! Nothing takes a `String` as SQL. Pure: no I/O.

use std::fmt::Write;

use bytes::Bytes;

/// A value bound to a placeholder, in PostgreSQL's text format unless `binary`.
///
/// With `oid` 0 PostgreSQL infers the type as it does for an untyped literal, which is what a filter needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// The encoded value; `None` is NULL.
    pub value: Option<Bytes>,
    /// The type's OID, or 0 to let PostgreSQL infer it.
    pub oid: u32,
    /// Whether `value` is in the binary format of its type.
    pub binary: bool,
}

impl Param {
    /// Text of a type that PostgreSQL infers from where it stands.
    pub fn text(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), oid: 0, binary: false }
    }

    /// Raw bytes for a `bytea` (OID 17).
    pub fn bytea(value: impl Into<Bytes>) -> Self {
        Self { value: Some(value.into()), oid: 17, binary: true }
    }

    /// NULL.
    pub fn null() -> Self {
        Self { value: None, oid: 0, binary: false }
    }
}

/// The name of a type from a request (`::cast`).
///
/// Names that are grammar and not identifiers (`int`, `timestamp with time zone`) are taken from a fixed list; any other
/// is an identifier, folded to lower case as PostgreSQL folds it, and quoted. So no keyword or operator comes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeName {
    /// A name of the grammar.
    Grammar(&'static str),
    /// An identifier.
    Identifier(String),
}

/// The type names that are grammar: <https://www.postgresql.org/docs/current/datatype.html>, table 8.1 and synonyms.
const GRAMMAR_TYPES: &[&str] = &[
    "bigint",
    "bit",
    "bit varying",
    "boolean",
    "char",
    "char varying",
    "character",
    "character varying",
    "dec",
    "decimal",
    "double precision",
    "float",
    "int",
    "integer",
    "interval",
    "national character",
    "national character varying",
    "nchar",
    "nchar varying",
    "numeric",
    "real",
    "smallint",
    "time",
    "time with time zone",
    "time without time zone",
    "timestamp",
    "timestamp with time zone",
    "timestamp without time zone",
    "varchar",
];

impl TypeName {
    /// `None` where the text can be no type name.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        let name = words.join(" ");
        if let Some(known) = GRAMMAR_TYPES.iter().find(|known| **known == name) {
            return Some(Self::Grammar(known));
        }
        (words.len() == 1 && !name.contains('\0')).then_some(Self::Identifier(name))
    }
}

/// SQL text under construction together with its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlBuf {
    text: String,
    params: Vec<Param>,
}

impl SqlBuf {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// A statement that sea-query has built: its values are parameters already.
    pub fn of_select(select: &sea_query::SelectStatement) -> Self {
        let (text, values) = select.build(sea_query::PostgresQueryBuilder);
        let params = values.0.into_iter().map(|value| match value {
            sea_query::Value::String(Some(text)) => Param::text(text),
            sea_query::Value::BigInt(Some(number)) => Param::text(number.to_string()),
            sea_query::Value::BigUnsigned(Some(number)) => Param::text(number.to_string()),
            sea_query::Value::Bool(Some(value)) => Param::text(value.to_string()),
            _ => Param::null(),
        });
        Self { text, params: params.collect() }
    }

    /// Program text, as written in the source code.
    pub fn lit(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// A quoted identifier.
    pub fn ident(&mut self, name: &str) -> &mut Self {
        push_quoted(&mut self.text, name, '"');
        self
    }

    /// A quoted, schema-qualified name; an empty schema leaves the name bare.
    pub fn name(&mut self, schema: &str, name: &str) -> &mut Self {
        if !schema.is_empty() {
            self.ident(schema).lit(".");
        }
        self.ident(name)
    }

    /// A string constant holding a name from the catalog, for places where PostgreSQL takes no parameter.
    ///
    /// Written as `E'…'` where a backslash occurs, so that `standard_conforming_strings` does not matter.
    pub fn quoted(&mut self, text: &str) -> &mut Self {
        if text.contains('\\') {
            self.text.push('E');
            push_quoted(&mut self.text, &text.replace('\\', "\\\\"), '\'');
        } else {
            push_quoted(&mut self.text, text, '\'');
        }
        self
    }

    /// A number, which cannot hold syntax.
    pub fn number(&mut self, number: i64) -> &mut Self {
        let _ = write!(self.text, "{number}");
        self
    }

    /// Text that PostgreSQL itself produced as SQL (a type name by `format_type`, a default by `pg_get_expr`).
    ///
    /// The caller vouches that `text` comes from the catalog, never from a request.
    pub fn catalog_sql(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// A type, as in `cast(… as type)`.
    pub fn type_name(&mut self, name: &TypeName) -> &mut Self {
        match name {
            TypeName::Grammar(name) => self.lit(name),
            TypeName::Identifier(name) => self.ident(name),
        }
    }

    /// The next placeholder, bound to `param`.
    pub fn bind(&mut self, param: Param) -> &mut Self {
        self.params.push(param);
        let _ = write!(self.text, "${}", self.params.len());
        self
    }

    /// The next placeholder, bound to text of an inferred type.
    pub fn bind_text(&mut self, value: &str) -> &mut Self {
        self.bind(Param::text(value.as_bytes().to_vec()))
    }

    /// The items, each written by `write`, with `separator` between them.
    pub fn join<T>(
        &mut self,
        separator: &'static str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.lit(separator);
            }
            write(self, item);
        }
        self
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parameters so far, in placeholder order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// Text and parameters.
    pub fn into_parts(self) -> (String, Vec<Param>) {
        (self.text, self.params)
    }
}

/// Doubles `quote` inside; a NUL, which PostgreSQL cannot hold, ends the text.
fn push_quoted(out: &mut String, text: &str, quote: char) {
    out.push(quote);
    for c in text.chars().take_while(|c| *c != '\0') {
        if c == quote {
            out.push(quote);
        }
        out.push(c);
    }
    out.push(quote);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_double_their_quotes_and_end_at_nul() {
        let mut sql = SqlBuf::new();
        sql.name("a\"b", "c\0d");
        assert_eq!(sql.text(), "\"a\"\"b\".\"c\"");
    }

    #[test]
    fn string_constants_escape_quotes_and_backslashes() {
        let mut sql = SqlBuf::new();
        sql.quoted("it's").lit(" ").quoted("a\\'b");
        assert_eq!(sql.text(), "'it''s' E'a\\\\''b'");
    }

    #[test]
    fn values_become_placeholders() {
        let mut sql = SqlBuf::new();
        sql.lit("select ").bind_text("x'; drop").lit(", ").bind(Param::null());
        assert_eq!(sql.text(), "select $1, $2");
        assert_eq!(sql.params().len(), 2);
    }

    #[test]
    fn a_cast_cannot_leave_its_place() {
        let cast = |text: &str| {
            let mut sql = SqlBuf::new();
            sql.type_name(&TypeName::parse(text).unwrap());
            sql.text().to_owned()
        };
        assert_eq!(cast("timestamp  with time ZONE"), "timestamp with time zone");
        assert_eq!(cast("Text"), "\"text\"");
        assert_eq!(cast("select"), "\"select\"");
        assert_eq!(cast("$1"), "\"$1\"");
        assert_eq!(cast("int);drop\"x"), "\"int);drop\"\"x\"");
        assert_eq!(TypeName::parse("int); drop table x--"), None);
        assert_eq!(TypeName::parse(""), None);
    }
}
