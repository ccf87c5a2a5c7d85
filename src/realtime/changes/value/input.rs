//! Texts as PostgreSQL's input functions read them, as far as all supported versions agree.

/// As `uuid_in`: hexadecimal digits in either case, a hyphen allowed after every second byte, braces around it allowed.
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let mut rest = inner.as_bytes();
    let mut bytes = [0; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        let ([high, low], after) = rest.split_first_chunk::<2>()?;
        *byte = digit(*high)? << 4 | digit(*low)?;
        rest = after;
        if index % 2 == 1 && index < 15 {
            rest = rest.strip_prefix(b"-").unwrap_or(rest);
        }
    }
    rest.is_empty().then_some(bytes)
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

/// As `uuid_out`.
pub(super) fn uuid_text(bytes: [u8; 16]) -> String {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text
}

/// Decimal digits with a sign. Blanks, underscores and other bases, which versions read differently, are left out.
pub(super) fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain { text.parse().ok() } else { None }
}

/// The words of the documentation without blanks around them and without their other prefixes.
pub(super) fn boolean(text: &str) -> Option<bool> {
    const TRUE: [&str; 6] = ["true", "t", "yes", "y", "on", "1"];
    const FALSE: [&str; 6] = ["false", "f", "no", "n", "off", "0"];
    let is_in = |words: [&str; 6]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    match (is_in(TRUE), is_in(FALSE)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123abcd-4567-89ef-0123-456789abcdef";

    #[test]
    fn a_uuid_reads_as_in_every_spelling_of_postgresql() {
        let bytes = uuid(ID).unwrap();
        assert_eq!(uuid_text(bytes), ID);
        for spelling in [
            "0123ABCD-4567-89EF-0123-456789ABCDEF",
            "{0123abcd-4567-89ef-0123-456789abcdef}",
            "0123abcd456789ef0123456789abcdef",
            "0123-abcd-4567-89ef-0123-4567-89ab-cdef",
        ] {
            assert_eq!(uuid(spelling), Some(bytes), "{spelling}");
        }
    }

    #[test]
    fn what_postgresql_refuses_is_no_uuid() {
        for text in
            ["", "x", " 0123abcd-4567-89ef-0123-456789abcdef", "0123abcd-4567-89ef-0123-456789abcde", "{"]
        {
            assert_eq!(uuid(text), None, "{text}");
        }
        for (from, to) in [("abcd-", "abc-d"), ("0123abcd", "{0123abcd"), ("cdef", "cdef-"), ("a", "ä")] {
            assert_eq!(uuid(&ID.replace(from, to)), None);
        }
    }

    #[test]
    fn an_integer_is_digits_with_a_sign() {
        for (text, number) in
            [("5", Some(5)), ("-05", Some(-5)), ("+7", Some(7)), ("9223372036854775808", None)]
        {
            assert_eq!(integer(text), number, "{text}");
        }
        for text in ["", "-", " 5", "5 ", "1_000", "0x10", "1.0", "--5", "٣"] {
            assert_eq!(integer(text), None, "{text}");
        }
    }

    #[test]
    fn a_boolean_is_a_word() {
        assert_eq!(boolean("TRUE"), Some(true));
        assert_eq!(boolean("off"), Some(false));
        assert_eq!(boolean("o"), None);
        assert_eq!(boolean(" true"), None);
    }
}
