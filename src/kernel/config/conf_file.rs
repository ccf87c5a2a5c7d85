//! Files in the form of `postgrest.conf`: one `name = value` per line, values being quoted texts, numbers,
//! true or false. In a text `$$` is one dollar. Pure: text in, settings out.

use std::path::Path;

use super::error::ConfigError;

/// One setting of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// Name as written.
    pub(super) name: String,
    /// Value without its quotes.
    pub(super) value: String,
    /// Line, from 1.
    pub(super) line: usize,
}

/// Reads all settings in order.
pub(super) fn parse(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigError> {
    let mut settings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let fail = |reason: &str| ConfigError::Syntax {
            path: path.to_owned(),
            line: index + 1,
            reason: reason.to_owned(),
        };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, rest) = line.split_once('=').ok_or_else(|| fail("expected `name = value` on one line"))?;
        let name = name.trim_end();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(plain) {
            return Err(fail("the name before `=` may hold letters, digits, `-`, `_` and `.` only"));
        }
        let value = value(rest.trim_start()).map_err(fail)?;
        settings.push(Setting { name: name.to_owned(), value, line: index + 1 });
    }
    Ok(settings)
}

/// The value after `=`, and nothing but a comment behind it.
fn value(text: &str) -> Result<String, &'static str> {
    let Some(quoted) = text.strip_prefix('"') else {
        let word = text.split('#').next().unwrap_or_default().trim_end();
        let known = matches!(word, "true" | "false" | "on" | "off") || word.parse::<f64>().is_ok();
        return if known { Ok(word.to_owned()) } else { Err("text must stand in double quotes") };
    };
    let mut value = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next().ok_or("the closing quote is missing")? {
            '"' => break,
            '\\' => value.push(escaped(&mut letters).ok_or("unknown escape; write `\\\\` for a backslash")?),
            // PostgREST wants every dollar doubled; a single one can only be meant as it stands.
            '$' => {
                let after = letters.as_str();
                if after.starts_with('(') {
                    return Err(
                        "`$(...)` is not replaced here; write the value itself, or `$$(` for these letters",
                    );
                }
                letters = after.strip_prefix('$').unwrap_or(after).chars();
                value.push('$');
            }
            other => value.push(other),
        }
    }
    let rest = letters.as_str().trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(value) } else { Err("unexpected text after the value") }
}

/// The letter that an escape stands for, after its backslash.
fn escaped(letters: &mut std::str::Chars<'_>) -> Option<char> {
    match letters.next()? {
        letter @ ('"' | '\\') => Some(letter),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' => {
            let high = four_digits(letters)?;
            if !(0xD800..0xDC00).contains(&high) {
                return char::from_u32(high);
            }
            let low = (letters.next()? == '\\' && letters.next()? == 'u').then(|| four_digits(letters))??;
            let low = (0xDC00..0xE000).contains(&low).then_some(low - 0xDC00)?;
            char::from_u32(0x10000 + ((high - 0xD800) << 10) + low)
        }
        _ => None,
    }
}

fn four_digits(letters: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |number, _| Some(number * 16 + letters.next()?.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        parse(Path::new("postgrest.conf"), text)
            .map(|settings| settings.into_iter().map(|setting| (setting.name, setting.value)).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn texts_numbers_and_switches_are_read_with_their_quoting() {
        let text = concat!(
            "# a comment\n\n",
            "db-schemas = \"test, v1\"   # behind it\n",
            "db-extra-search-path=\"public,EXTRA \\\"@/\\\\#~_-\"\n",
            "server-port = 3000\n",
            "openapi-security-active = false # no\n",
            "db-uri = \"postgres://u:p=#@h/d\"\n",
            "db-anon-role = \"\\u062a\\ud83d\\ude00\"\r\n",
            "jwt-role-claim-key = \"$$.role\"\n",
            "jwt-secret = \"a$$$$b$c$\"\n",
        );
        let expected = [
            ("db-schemas", "test, v1"),
            ("db-extra-search-path", "public,EXTRA \"@/\\#~_-"),
            ("server-port", "3000"),
            ("openapi-security-active", "false"),
            ("db-uri", "postgres://u:p=#@h/d"),
            ("db-anon-role", "\u{62a}\u{1f600}"),
            ("jwt-role-claim-key", "$.role"),
            ("jwt-secret", "a$$b$c$"),
        ];
        let expected: Vec<_> = expected.map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        assert_eq!(read(text).unwrap(), expected);
    }

    #[test]
    fn a_line_that_is_no_setting_is_refused_with_its_number() {
        for (text, reason) in [
            ("\nnonsense", "expected `name = value`"),
            ("\na b = 1", "the name before `=`"),
            ("\ndb-uri = postgres://x", "double quotes"),
            ("\ndb-uri = \"x", "closing quote"),
            ("\ndb-uri = \"\\q\"", "unknown escape"),
            ("\ndb-uri = \"\\ud800x\"", "unknown escape"),
            ("\ndb-uri = \"x\" y", "unexpected text"),
            ("\ndb-uri = \"$(DB_URI)\"", "is not replaced here"),
            ("\nimport \"other\"", "expected `name = value`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("postgrest.conf:2: ") && error.contains(reason), "{text}: {error}");
        }
    }
}
