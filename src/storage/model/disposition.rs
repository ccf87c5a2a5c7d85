//! `Content-Disposition` of downloads that are to be saved under a name (RFC 6266, RFC 8187).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// `attr-char` of RFC 8187 beside letters and digits stays as it is.
const OUTSIDE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The longest name in bytes that is written.
const LONGEST: usize = 1024;

/// The header for `?download=name`; an empty name leaves the client to find one. Both parts are percent-encoded, so that
/// no name can end the header or a quoted text in it.
pub(in crate::storage) fn attachment(name: &str) -> String {
    if name.is_empty() {
        return "attachment;".to_owned();
    }
    let mut end = name.len().min(LONGEST);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let encoded = utf8_percent_encode(&name[..end], OUTSIDE).to_string();
    format!("attachment; filename={encoded}; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_written_for_old_and_new_clients() {
        assert_eq!(attachment(""), "attachment;");
        assert_eq!(attachment("a b.txt"), "attachment; filename=a%20b.txt; filename*=UTF-8''a%20b.txt");
        assert_eq!(attachment("ä.txt"), "attachment; filename=%C3%A4.txt; filename*=UTF-8''%C3%A4.txt");
    }

    proptest! {
        #[test]
        fn h11_no_name_splits_the_header(name in "\\PC*|(.|\r|\n|\"|;|\\\\)*") {
            let header = attachment(&name);
            prop_assert!(http::HeaderValue::from_str(&header).is_ok());
            prop_assert!(header.matches(';').count() <= 2 && !header.contains('"') && !header.contains('\\'));
        }
    }
}
