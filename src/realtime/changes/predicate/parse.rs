//! Reads an expression as PostgreSQL prints it, with a type for every part.
//!
//! PostgreSQL puts every operation in brackets of its own and shows every implicit cast of an operand, so no precedence
//! has to be known: where two operators stand side by side, the text is not understood. Operators without a schema are
//! those of `pg_catalog`, because the search path is empty.

use std::collections::BTreeSet;

use super::Function;
use super::claims::Reading;
use super::expression::Expression;
use super::list::list_constant;
use super::token::{Token, tokens};
use super::typed::{Part, TypeName, compared_with_list};
use crate::realtime::changes::value::{Collation, Column, Comparison, Kind, Width};

/// Longer texts are left to PostgreSQL.
const MAX_LENGTH: usize = 64 * 1024;

/// Brackets inside of each other, which bounds the stack.
const MAX_DEPTH: usize = 64;

/// The boolean expression in `text`, and the functions that it uses.
pub(super) fn condition(text: &str, columns: &[Column]) -> Option<(Expression, Vec<Function>)> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let tokens = tokens(text)?;
    let mut parser =
        Parser { tokens: &tokens, columns, functions: BTreeSet::new(), depth: 0, is_in_select: false };
    let condition = parser.expression()?.condition()?;
    parser.tokens.is_empty().then(|| (condition, parser.functions.into_iter().collect()))
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    columns: &'a [Column],
    functions: BTreeSet<Function>,
    depth: usize,
    is_in_select: bool,
}

impl<'a> Parser<'a> {
    fn next(&mut self) -> Option<&'a Token<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn eat(&mut self, token: &Token<'_>) -> bool {
        let is_next = self.tokens.first() == Some(token);
        if is_next {
            self.tokens = &self.tokens[1..];
        }
        is_next
    }

    fn word(&mut self, word: &str) -> bool {
        self.eat(&Token::Word(word))
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.eat(&Token::Sign(sign))
    }

    fn expect(&mut self, sign: &str) -> Option<()> {
        self.sign(sign).then_some(())
    }

    /// What stands between brackets: one operation.
    fn expression(&mut self) -> Option<Part> {
        if self.word("NOT") {
            let operand = self.operand()?.condition()?;
            return Some(Part::boolean(Expression::Not(Box::new(operand))));
        }
        let left = self.operand()?;
        match self.tokens.first() {
            Some(Token::Word("AND")) => self.members("AND", left).map(Expression::And).map(Part::boolean),
            Some(Token::Word("OR")) => self.members("OR", left).map(Expression::Or).map(Part::boolean),
            Some(Token::Word("IS")) => self.is(left).map(Part::boolean),
            Some(Token::Word("IN")) => self.in_query(left).map(Part::boolean),
            Some(Token::Word("COLLATE")) => self.collate(left),
            Some(Token::Sign(sign)) => match comparison(sign) {
                Some(operator) => self.comparison(operator, left).map(Part::boolean),
                None if matches!(*sign, "->" | "->>" | "#>" | "#>>") => self.json(left),
                None => Some(left),
            },
            _ => Some(left),
        }
    }

    fn members(&mut self, word: &str, first: Part) -> Option<Vec<Expression>> {
        let mut members = vec![first.condition()?];
        while self.word(word) {
            members.push(self.operand()?.condition()?);
        }
        Some(members)
    }

    fn is(&mut self, operand: Part) -> Option<Expression> {
        self.next()?;
        let is_negated = self.word("NOT");
        let Some(Token::Word(word)) = self.next() else { return None };
        let expression = match *word {
            "NULL" => operand.null_test()?,
            "TRUE" => Expression::Is(Box::new(operand.condition()?), Some(true)),
            "FALSE" => Expression::Is(Box::new(operand.condition()?), Some(false)),
            "UNKNOWN" => Expression::Is(Box::new(operand.condition()?), None),
            "DISTINCT" if self.word("FROM") => {
                let (left, right) = operand.compared(Comparison::Equal, self.operand()?)?;
                Expression::Distinct(Box::new(left), Box::new(right))
            }
            _ => return None,
        };
        Some(if is_negated { Expression::Not(Box::new(expression)) } else { expression })
    }

    /// `IN` a query, which gives one row as it reads no table. Lists have become `= ANY`.
    fn in_query(&mut self, left: Part) -> Option<Expression> {
        self.next()?;
        self.expect("(")?;
        if self.tokens.first() != Some(&Token::Word("SELECT")) {
            return None;
        }
        let (left, right) = left.compared(Comparison::Equal, self.brackets()?)?;
        Some(Expression::Compare(Comparison::Equal, Box::new(left), Box::new(right)))
    }

    fn collate(&mut self, operand: Part) -> Option<Part> {
        self.next()?;
        match (operand, self.next()?) {
            (Part::Value(Kind::Text(_), expression), Token::Name(name)) if name == "C" => {
                Some(Part::Value(Kind::Text(Collation::C), expression))
            }
            _ => None,
        }
    }

    fn comparison(&mut self, operator: Comparison, left: Part) -> Option<Expression> {
        self.next()?;
        let is_any = self.word("ANY");
        if is_any || self.word("ALL") {
            self.expect("(")?;
            let items = self.list()?;
            self.expect(")")?;
            return compared_with_list(operator, is_any, left, items);
        }
        let (left, right) = left.compared(operator, self.operand()?)?;
        Some(Expression::Compare(operator, Box::new(left), Box::new(right)))
    }

    /// An array: its items, in brackets, or a constant; with a cast.
    fn list(&mut self) -> Option<Vec<Part>> {
        if let Some(Token::Text(text)) = self.tokens.first() {
            self.next()?;
            self.expect("::")?;
            let name = self.array_of()?;
            return list_constant(text)?.iter().map(|item| Part::constant(item, name)).collect();
        }
        let items = if self.sign("(") {
            self.deeper()?;
            let items = self.list()?;
            self.depth -= 1;
            self.expect(")")?;
            items
        } else {
            self.word("ARRAY").then_some(())?;
            self.expect("[")?;
            let mut items = Vec::new();
            while !self.sign("]") {
                if !items.is_empty() {
                    self.expect(",")?;
                }
                items.push(self.expression()?);
            }
            items
        };
        if !self.sign("::") {
            return Some(items);
        }
        let name = self.array_of()?;
        items.into_iter().map(|item| item.cast(name)).collect()
    }

    /// The type of the items of an array type.
    fn array_of(&mut self) -> Option<TypeName> {
        let name = self.type_name()?;
        self.expect("[")?;
        self.expect("]")?;
        Some(name)
    }

    /// `->`, `->>`, `#>`, `#>>` of the claims.
    fn json(&mut self, left: Part) -> Option<Part> {
        let Part::Json { mut path, is_binary } = left else { return None };
        let Token::Sign(sign) = self.next()? else { return None };
        let Token::Text(text) = self.next()? else { return None };
        self.expect("::")?;
        let is_path = sign.starts_with('#');
        match (is_path, self.type_name()?) {
            (false, TypeName::Known(Kind::Text(_))) => path.push(text.as_str().into()),
            (true, TypeName::Known(Kind::Text(_))) => {
                self.expect("[")?;
                self.expect("]")?;
                path.extend(list_constant(text)?.into_iter().map(String::into_boxed_str));
            }
            _ => return None,
        }
        if !sign.ends_with(">>") {
            return Some(Part::Json { path, is_binary });
        }
        // Without a name it would be the text of all claims.
        (!path.is_empty()).then(|| Part::claim(path, Reading::Text))
    }

    /// Something that stands for itself, with casts behind it.
    fn operand(&mut self) -> Option<Part> {
        let mut part = self.primary()?;
        while self.sign("::") {
            part = part.cast(self.type_name()?)?;
        }
        Some(part)
    }

    fn primary(&mut self) -> Option<Part> {
        match self.next()? {
            Token::Sign("(") => self.brackets(),
            Token::Text(text) => {
                self.expect("::")?;
                let name = self.type_name()?;
                Part::constant(text, name)
            }
            Token::Number(digits) => {
                // PostgreSQL quotes what is no plain int4.
                digits.parse().ok().map(Part::integer)
            }
            Token::Word("true") => Some(Part::boolean(Expression::boolean(true))),
            Token::Word("false") => Some(Part::boolean(Expression::boolean(false))),
            Token::Word("NULL") => {
                self.expect("::")?;
                Part::null(self.type_name()?)
            }
            Token::Word("auth") if self.sign(".") => self.function(),
            Token::Word("current_setting") if self.sign("(") => self.setting(),
            Token::Word(name) => self.column(name),
            Token::Name(name) => self.column(name),
            Token::Sign(_) => None,
        }
    }

    fn deeper(&mut self) -> Option<()> {
        self.depth += 1;
        (self.depth <= MAX_DEPTH).then_some(())
    }

    /// Up to the closing bracket: an operation, or a query for it, which PostgreSQL then evaluates once.
    fn brackets(&mut self) -> Option<Part> {
        self.deeper()?;
        let was_in_select = self.is_in_select;
        let is_select = self.word("SELECT");
        self.is_in_select |= is_select;
        let part = self.expression()?;
        if is_select && self.word("AS") && !matches!(self.next()?, Token::Word(_) | Token::Name(_)) {
            return None;
        }
        self.expect(")")?;
        self.is_in_select = was_in_select;
        self.depth -= 1;
        Some(part)
    }

    /// After `auth.`
    fn function(&mut self) -> Option<Part> {
        let Token::Word(name) = self.next()? else { return None };
        self.expect("(")?;
        self.expect(")")?;
        let (function, part) = match *name {
            "jwt" => (Function::Jwt, Part::Json { path: Vec::new(), is_binary: true }),
            "role" => (Function::Role, Part::claim(vec!["role".into()], Reading::NotEmptyText)),
            "email" => (Function::Email, Part::claim(vec!["email".into()], Reading::NotEmptyText)),
            "uid" => {
                let text = Part::claim(vec!["sub".into()], Reading::NotEmptyText);
                (Function::Uid, text.cast(TypeName::Known(Kind::Uuid))?)
            }
            _ => return None,
        };
        self.functions.insert(function);
        Some(part)
    }

    /// After `current_setting(`: all claims.
    fn setting(&mut self) -> Option<Part> {
        if *self.next()? != Token::Text("request.jwt.claims".to_owned()) {
            return None;
        }
        self.expect("::")?;
        let is_text = matches!(self.type_name()?, TypeName::Known(Kind::Text(_)));
        let is_whole = self.sign(",") && self.word("true") && self.sign(")");
        (is_text && is_whole).then_some(Part::Setting)
    }

    fn column(&mut self, name: &str) -> Option<Part> {
        // Within a query PostgreSQL writes the table before the column: this would be something else.
        let is_plain =
            !self.is_in_select && !matches!(self.tokens.first(), Some(Token::Sign("." | "(" | "[")));
        let column = self.columns.iter().find(|column| column.name == name).filter(|_| is_plain)?;
        Some(Part::column(column))
    }

    fn type_name(&mut self) -> Option<TypeName> {
        let name = self.next()?;
        if self.sign(".") {
            return matches!(self.next()?, Token::Word(_) | Token::Name(_)).then_some(TypeName::Other);
        }
        let known = match name {
            Token::Word("uuid") => Kind::Uuid,
            Token::Word("boolean") => Kind::Bool,
            Token::Word("smallint") => Kind::Integer(Width::Two),
            Token::Word("integer") => Kind::Integer(Width::Four),
            Token::Word("bigint") => Kind::Integer(Width::Eight),
            Token::Word("text") => Kind::Text(Collation::Default),
            // With a length it would cut.
            Token::Word("character")
                if self.word("varying") && self.tokens.first() != Some(&Token::Sign("(")) =>
            {
                Kind::Text(Collation::Default)
            }
            Token::Word("jsonb") => return Some(TypeName::Json { is_binary: true }),
            Token::Word("json") => return Some(TypeName::Json { is_binary: false }),
            // Enums have a schema, which an empty search path shows.
            _ => return None,
        };
        Some(TypeName::Known(known))
    }
}

fn comparison(sign: &str) -> Option<Comparison> {
    Some(match sign {
        "=" => Comparison::Equal,
        "<>" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}
