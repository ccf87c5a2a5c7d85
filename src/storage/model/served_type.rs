//! How a stored type is served so that it cannot script the origin of the API (threat H09).
//!
//! HTML is shown as text, as Supabase's storage does it. What a browser would run or render as a document of its own (XML,
//! SVG, MHTML, scripts) keeps its type, and is put into a sandbox without scripts and offered to be saved.

use super::object::UNKNOWN_TYPE;

/// What is said of the content beside the type as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct ServedType {
    /// `Content-Type`.
    pub(in crate::storage) content_type: String,
    /// Whether it goes into a sandbox, and is offered to be saved.
    pub(in crate::storage) is_active: bool,
}

/// The header that takes every right from a document.
pub(in crate::storage) const SANDBOX: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox";

/// What the types begin with that a browser shows as a document of its own, or runs.
const ACTIVE: [&str; 11] = [
    "application/ecmascript",
    "application/javascript",
    "application/x-javascript",
    "application/x-shockwave-flash",
    "application/xhtml",
    "image/svg",
    "message/",
    "multipart/",
    "text/ecmascript",
    "text/html",
    "text/javascript",
];

/// How a declared type is served.
pub(in crate::storage) fn served_type(declared: &str) -> ServedType {
    let bare = declared.split(';').next().unwrap_or_default();
    let parameters = &declared[bare.len()..];
    let bare = bare.trim().to_ascii_lowercase();
    let is_active =
        bare.contains("xml") || bare.contains("xsl") || ACTIVE.iter().any(|active| bare.starts_with(active));
    let content_type = match bare.as_str() {
        "text/html" if is_one_type(&bare, parameters) => format!("text/plain{parameters}"),
        _ if is_one_type(&bare, parameters) => declared.to_owned(),
        _ => UNKNOWN_TYPE.to_owned(),
    };
    let is_fit = http::HeaderValue::from_str(&content_type).is_ok();
    ServedType { content_type: if is_fit { content_type } else { UNKNOWN_TYPE.to_owned() }, is_active }
}

/// Whether it is a type and nothing else: browsers take the last of a list, whatever the first one is.
fn is_one_type(bare: &str, parameters: &str) -> bool {
    let is_token = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "!#$&^_.+-".contains(c))
    };
    let outside_quotes: String = parameters.split('"').step_by(2).collect();
    bare.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
        && !outside_quotes.contains(',')
        && parameters.matches('"').count().is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h09_html_is_shown_as_text_and_other_documents_go_into_a_sandbox() {
        for (declared, content_type, is_active) in [
            ("text/html; charset=utf-8", "text/plain; charset=utf-8", true),
            ("TEXT/HTML", "text/plain", true),
            ("image/svg+xml", "image/svg+xml", true),
            ("application/xml", "application/xml", true),
            ("text/xsl", "text/xsl", true),
            ("application/xhtml+xml", "application/xhtml+xml", true),
            ("multipart/related", "multipart/related", true),
            ("message/rfc822", "message/rfc822", true),
            ("text/javascript", "text/javascript", true),
            ("image/png", "image/png", false),
            ("application/pdf", "application/pdf", false),
            ("text/plain;charset=UTF-8", "text/plain;charset=UTF-8", false),
            ("nonsense", UNKNOWN_TYPE, false),
            ("image/png, text/html", UNKNOWN_TYPE, false),
            ("image/png;x=,text/html", UNKNOWN_TYPE, false),
            ("image/png;x=\", text/html", UNKNOWN_TYPE, false),
            ("video/mp4; codecs=\"avc1, mp4a\"", "video/mp4; codecs=\"avc1, mp4a\"", false),
            ("text/plain\r\nx: y", UNKNOWN_TYPE, false),
        ] {
            let served = served_type(declared);
            assert_eq!(
                (served.content_type.as_str(), served.is_active),
                (content_type, is_active),
                "{declared:?}"
            );
        }
    }
}
