//! The text of a filter: `column=operator.value`, several with commas between them. Commas within brackets or double
//! quotes belong to values; within quotes a backslash makes the next character plain.

use super::{Condition, Filter, FilterError, LikePattern, Operand, Pattern, Test};
use crate::realtime::changes::value::{Column, Comparison, Datum, Kind};

/// More conditions than this are refused: they are evaluated for every change.
const MAX_CONDITIONS: usize = 100;

/// The contract's limit for the values of an `in`.
const MAX_VALUES: usize = 100;

pub(super) fn filter(text: &str, columns: &[Column]) -> Result<Filter, FilterError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Filter::default());
    }
    if text.contains('\0') {
        return Err(syntax("a NUL character is in no value"));
    }
    let segments = split(text, true);
    if segments.len() > MAX_CONDITIONS {
        return Err(syntax("too many conditions. Maximum 100"));
    }
    let conditions = segments.into_iter().map(|segment| condition(segment.trim(), columns));
    Ok(Filter { conditions: conditions.collect::<Result<_, _>>()? })
}

fn syntax(text: impl Into<String>) -> FilterError {
    FilterError::Syntax(text.into())
}

/// The parts between commas that stand in no quotes and, if `nested`, in no brackets.
fn split(text: &str, nested: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut is_quoted, mut previous) = (0, 0_usize, false, ',');
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if is_quoted => {
                characters.next();
            }
            '"' if is_quoted => is_quoted = false,
            _ if is_quoted => {}
            // Elsewhere a quote is a character like others.
            '"' if matches!(previous, '.' | '(' | ',') => is_quoted = true,
            '(' if nested => depth += 1,
            ')' if nested => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if !character.is_whitespace() {
            previous = character;
        }
    }
    parts.push(&text[start..]);
    parts
}

fn condition(segment: &str, columns: &[Column]) -> Result<Condition, FilterError> {
    if segment.is_empty() {
        return Err(syntax("filter must not contain empty segments (check for extra commas)"));
    }
    let (name, rest) = segment.split_once('=').ok_or_else(|| syntax(format!("[{segment:?}]")))?;
    let (is_negated, rest) = rest.strip_prefix("not.").map_or((false, rest), |rest| (true, rest));
    let (operator, value) = rest.split_once('.').ok_or_else(|| syntax(format!("[{rest:?}]")))?;
    let operator = Operator::parse(operator).ok_or_else(|| syntax(format!("[{operator:?}, {value:?}]")))?;
    let column = columns.iter().find(|column| column.name == name);
    let column = column.ok_or_else(|| FilterError::Column(name.to_owned()))?;
    Ok(Condition { column: column.clone(), is_negated, test: operator.test(value, column)? })
}

enum Operator {
    Compare(Comparison),
    Distinct,
    In,
    Is,
    Pattern(Pattern),
}

impl Operator {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "eq" => Self::Compare(Comparison::Equal),
            "neq" => Self::Compare(Comparison::NotEqual),
            "lt" => Self::Compare(Comparison::Less),
            "lte" => Self::Compare(Comparison::LessOrEqual),
            "gt" => Self::Compare(Comparison::Greater),
            "gte" => Self::Compare(Comparison::GreaterOrEqual),
            "in" => Self::In,
            "like" => Self::Pattern(Pattern::Like),
            "ilike" => Self::Pattern(Pattern::LikeAnyCase),
            "is" => Self::Is,
            "match" => Self::Pattern(Pattern::Match),
            "imatch" => Self::Pattern(Pattern::MatchAnyCase),
            "isdistinct" => Self::Distinct,
            _ => return None,
        })
    }

    fn test(self, value: &str, column: &Column) -> Result<Test, FilterError> {
        Ok(match self {
            Self::Compare(operator) => Test::Compare(operator, operand(value, column.kind)),
            Self::Distinct => Test::Distinct(operand(value, column.kind)),
            Self::In => Test::In(list(value, column.kind)?),
            Self::Is => is(value, column)?,
            Self::Pattern(_) if !column.is_text => {
                let name = &column.name;
                return Err(syntax(format!("patterns need a column of a text type, `{name}` is none")));
            }
            Self::Pattern(language) => {
                let pattern = unquoted(value);
                match LikePattern::parse(&pattern).filter(|_| language == Pattern::Like) {
                    Some(like) => Test::Like(like, pattern),
                    None => Test::Pattern(language, pattern),
                }
            }
        })
    }
}

fn is(value: &str, column: &Column) -> Result<Test, FilterError> {
    let test = match value.to_ascii_lowercase().as_str() {
        "null" => return Ok(Test::IsNull),
        "true" => Test::Is(Some(true)),
        "false" => Test::Is(Some(false)),
        "unknown" => Test::Is(None),
        _ => return Err(syntax("`is` filter value must be null, true, false or unknown")),
    };
    // A domain may be one of booleans.
    if !matches!(column.kind, Kind::Bool | Kind::Unknown) {
        let name = &column.name;
        return Err(syntax(format!("`is` filter value must be null, `{name}` is no boolean")));
    }
    Ok(test)
}

fn list(value: &str, kind: Kind) -> Result<Vec<Operand>, FilterError> {
    let inner = value.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let inner = inner.ok_or_else(|| syntax("`in` filter value must be wrapped by parentheses"))?.trim();
    if inner.is_empty() {
        return Ok(Vec::new());
    }
    let items = split(inner, false);
    if items.len() > MAX_VALUES {
        return Err(FilterError::TooManyValues);
    }
    let items = items.into_iter().map(|item| match item.trim() {
        "" => Err(syntax("`in` filter must not contain empty values (check for extra commas)")),
        item => Ok(operand(item, kind)),
    });
    items.collect()
}

fn operand(value: &str, kind: Kind) -> Operand {
    let text = unquoted(value);
    let value = kind.input(&text).ok().map(Datum::into_owned);
    Operand { text, value }
}

/// A value without its quotes, if it stands in quotes as a whole; else as it is.
fn unquoted(value: &str) -> String {
    let inside = || {
        let mut plain = String::new();
        let mut characters = value.strip_prefix('"')?.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => plain.push(characters.next()?),
                other => plain.push(other),
            }
        }
        characters.next().is_none().then_some(plain)
    };
    inside().unwrap_or_else(|| value.to_owned())
}
