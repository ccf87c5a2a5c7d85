//! Expressions of template languages: a text that would be evaluated if it were ever taken for a template.

/// Where an expression begins, in the languages that servers use: Jinja, Handlebars, EL, Ruby, ERB, FreeMarker, Velocity,
/// Thymeleaf.
const OPENINGS: [&str; 12] =
    ["{{", "{%", "${", "#{", "<%", "*{", "[[$", "<#assign", "#set(", "#foreach(", "{php}", "{$smarty"];

/// Names by which expressions leave their sandbox.
const NAMES: [&str; 5] = ["__class__", "__globals__", "__import__(", "__subclasses__", "t(java.lang"];

/// Whether a text in lower case holds an expression.
pub(super) fn is_expression(text: &str) -> bool {
    let bytes = text.as_bytes();
    let opens = |byte: u8| memchr::memchr(byte, bytes).is_some();
    let may_open = opens(b'{') || opens(b'<') || opens(b'#') || opens(b'[');
    may_open && OPENINGS.iter().any(|opening| text.contains(opening))
        || opens(b'_') | opens(b'(') && NAMES.iter().any(|name| text.contains(name))
}
