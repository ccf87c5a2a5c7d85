//! The template language that is accepted: a small part of Jinja, and the variables of Supabase's templates. Pure.
//!
//! `{{ .ConfirmationURL }}` and `{{ .Data.name }}`, as Supabase writes them, become `{{ ConfirmationURL }}` and
//! `{{ Data.name }}`. Everything else of Go's template language is refused with its line.
//!
//! Of Jinja, a template can print, choose (`if`) and repeat (`for`). It cannot assign, define or join text: without
//! these, no expression is larger than what went in, so that the limits on run time and output hold for memory too.

use std::fmt::Write;

/// A template that is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct SyntaxError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong there, for whoever wrote the template.
    pub reason: String,
}

/// The tags that a template may use.
const TAGS: [&str; 6] = ["if", "elif", "else", "endif", "for", "endfor"];

/// Words that start an action in Go's templates, and mean nothing in an expression of ours.
const GO_WORDS: [&str; 12] = [
    "if", "else", "end", "range", "with", "template", "define", "block", "break", "continue", "index",
    "printf",
];

/// The template with Supabase's variables spelled as ours.
pub(super) fn accept(source: &str) -> Result<String, SyntaxError> {
    let mut accepted = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = opening(rest) {
        let line = source[..source.len() - rest.len() + at].matches('\n').count() + 1;
        let wrong = |reason: String| SyntaxError { line, reason };
        let (text, from_opening) = rest.split_at(at);
        let (open, close) = match &from_opening[..2] {
            "{{" => ("{{", "}}"),
            "{%" => ("{%", "%}"),
            _ => ("{#", "#}"),
        };
        let body = &from_opening[2..];
        let end = if open == "{#" { body.find(close) } else { closing(body, close) };
        let end = end.ok_or_else(|| wrong(format!("`{open}` without `{close}`")))?;
        let (left, inner, right) = trimmed(&body[..end]);
        accepted.push_str(text);
        match open {
            "{{" => {
                let expression = expression(inner).map_err(wrong)?;
                // A formatted write into a string cannot fail.
                let _ = write!(accepted, "{{{{{left} {expression} {right}}}}}");
            }
            "{%" => {
                tag(inner).map_err(wrong)?;
                let _ = write!(accepted, "{{%{left} {inner} {right}%}}");
            }
            // Comments are for the author: they go, their white space marks with them.
            _ => {}
        }
        rest = &body[end + 2..];
    }
    accepted.push_str(rest);
    Ok(accepted)
}

/// Where the next tag of any kind starts.
fn opening(text: &str) -> Option<usize> {
    text.match_indices('{')
        .map(|(at, _)| at)
        .find(|at| matches!(text.as_bytes().get(at + 1), Some(b'{' | b'%' | b'#')))
}

/// Where `close` starts, outside of string literals.
fn closing(text: &str, close: &str) -> Option<usize> {
    outside_strings(text).find(|(at, _)| text[*at..].starts_with(close)).map(|(at, _)| at)
}

/// The characters that are not part of a string literal, with their places.
fn outside_strings(text: &str) -> impl Iterator<Item = (usize, char)> {
    let mut quote = None;
    let mut is_escaped = false;
    text.char_indices().filter(move |(_, c)| match quote {
        None => {
            if matches!(c, '"' | '\'') {
                quote = Some(*c);
                return false;
            }
            true
        }
        Some(_) if is_escaped => {
            is_escaped = false;
            false
        }
        Some(open) => {
            is_escaped = *c == '\\';
            if *c == open {
                quote = None;
            }
            false
        }
    })
}

/// The marks that strip white space on both sides, and what is between them.
fn trimmed(inner: &str) -> (&'static str, &str, &'static str) {
    let (left, inner) = inner.strip_prefix('-').map_or(("", inner), |inner| ("-", inner));
    let (right, inner) = inner.strip_suffix('-').map_or(("", inner), |inner| ("-", inner));
    (left, inner.trim(), right)
}

/// An expression that is printed, in our spelling.
fn expression(text: &str) -> Result<&str, String> {
    if let Some(path) = text.strip_prefix('.') {
        let is_name = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        return if path.split('.').all(is_name) { Ok(path) } else { Err(unsupported(text)) };
    }
    let first_word = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    let is_go = GO_WORDS.contains(&first_word) && !text.starts_with("if(")
        || text.starts_with("/*")
        || text.contains('$')
        || text.contains(":=")
        || has_go_variable(text);
    if is_go {
        return Err(unsupported(text));
    }
    plain_operators(text)?;
    Ok(text)
}

fn unsupported(text: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    format!(
        "`{{{{ {shown} }}}}` is Go's template language, of which only variables such as `{{{{ .ConfirmationURL }}}}` \
         are supported; write conditions as `{{% if Data.name %}}..{{% endif %}}`"
    )
}

/// Whether a `.Name` stands after white space or a bracket, as in `html .Email`.
fn has_go_variable(text: &str) -> bool {
    let mut before = ' ';
    outside_strings(text).any(|(at, c)| {
        let starts = c == '.' && (before.is_whitespace() || before == '(');
        before = c;
        starts && text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic())
    })
}

/// A tag that controls what is printed.
fn tag(text: &str) -> Result<(), String> {
    let word = text.split_whitespace().next().unwrap_or_default();
    if !TAGS.contains(&word) {
        return Err(format!("`{{% {word} %}}` is not supported, only {}", TAGS.join(", ")));
    }
    if has_go_variable(text) {
        return Err("variables have no leading dot in `{% %}`: write `Data.name`".to_owned());
    }
    plain_operators(text)
}

/// Refuses the operators that join or repeat text.
fn plain_operators(text: &str) -> Result<(), String> {
    match outside_strings(text).find(|(_, c)| matches!(c, '~' | '+' | '*')) {
        Some((_, c)) => Err(format!("the operator `{c}` is not supported: put the parts beside each other")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn variables_of_supabase_templates_become_ours() {
        for (go, ours) in [
            ("<a href=\"{{ .ConfirmationURL }}\">", "<a href=\"{{ ConfirmationURL }}\">"),
            ("{{.Token}}", "{{ Token }}"),
            ("{{- .Email -}}", "{{- Email -}}"),
            ("{{ .Data.full_name }}!", "{{ Data.full_name }}!"),
            (
                "a { b } {{ .SiteURL }}/x?token_hash={{ .TokenHash }}",
                "a { b } {{ SiteURL }}/x?token_hash={{ TokenHash }}",
            ),
        ] {
            assert_eq!(accept(go).as_deref(), Ok(ours));
        }
    }

    #[test]
    fn templates_in_our_own_language_stay_as_they_are() {
        for ours in [
            "",
            "no tags at all } }} %} { x",
            "{{ Data.name | default(\"you\") }}",
            "{{ \"}} .Email ~\" }}",
            "{{ 'it\\'s }}' }}",
            "{% if SendingTo == NewEmail %}new{% elif Data.a %}a{% else %}b{% endif %}",
            "{% for item in Data.items -%} {{ item.name }} {%- endfor %}",
            "{{ 1.5 }} {{ Data.list[0].name }} {{ Data.x if Data.x else 'y' }}",
        ] {
            assert_eq!(accept(ours).as_deref(), Ok(ours));
        }
        assert_eq!(accept("a{# {{ .Email | html }} #}b").as_deref(), Ok("ab"));
    }

    #[test]
    fn other_constructs_of_go_are_refused_with_their_line() {
        for go in [
            "{{ if .Data.name }}",
            "{{ end }}",
            "{{ else }}",
            "{{ range .Data.items }}",
            "{{ .Email | html }}",
            "{{ html .Email }}",
            "{{ index .Data \"name\" }}",
            "{{ $x := .Email }}",
            "{{ template \"footer\" . }}",
            "{{ (eq .Email .NewEmail) }}",
            "{{/* a note */}}",
            "{{ . }}",
        ] {
            let error = accept(&format!("one\ntwo {go}")).unwrap_err();
            assert_eq!(error.line, 2, "{go}");
            assert!(error.reason.contains("Go's template language"), "{go}: {error}");
        }
    }

    #[test]
    fn what_could_grow_or_read_other_templates_is_refused() {
        for source in [
            "{% include \"x\" %}",
            "{% extends 'x' %}",
            "{% import 'x' as x %}",
            "{% set x = 1 %}",
            "{% macro m() %}",
            "{% raw %}",
            "{%- filter upper %}",
            "{{ Email ~ Email }}",
            "{{ Email * 1000 }}",
            "{% if Email + Email %}",
            "{{ Email",
            "{% if .Email %}",
            "{#",
        ] {
            assert!(accept(source).is_err(), "{source}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_accepted_or_refused_and_what_was_accepted_is_accepted_again(
            text in "([a-z \n{}%#.'\"\\\\|-]|\\{\\{|\\}\\}|\\{%|%\\}|if|é){0,40}"
        ) {
            if let Ok(accepted) = accept(&text) {
                prop_assert_eq!(accept(&accepted), Ok(accepted.clone()));
            }
        }
    }
}
