//! What is kept of what a mail server says: its codes. Its words may hold addresses, or links of the mail itself.

/// The code of a reply (RFC 5321 section 4.2) and the enhanced one behind it (RFC 3463), as in `550 5.1.1`; `status` where
/// the code was taken off already.
pub(super) fn codes(status: Option<u16>, text: &str) -> String {
    let mut words = text.split(|c: char| c.is_ascii_whitespace() || c == '-').filter(|word| !word.is_empty());
    let is_code = |word: &&str| word.len() == 3 && word.bytes().all(|byte| byte.is_ascii_digit());
    let code =
        status.map(|status| status.to_string()).or_else(|| words.next().filter(is_code).map(str::to_owned));
    let Some(code) = code else { return "something that is no reply".to_owned() };
    // Where the code was taken off, some leave it in the text all the same.
    let rest = words.find(|word| *word != code);
    match rest.filter(|word| is_enhanced(word)) {
        Some(enhanced) => format!("{code} {enhanced}"),
        None => code,
    }
}

/// Class, subject and detail: `5.7.26`.
fn is_enhanced(word: &str) -> bool {
    let mut parts = word.split('.');
    let class = parts.next().is_some_and(|class| matches!(class, "2" | "4" | "5"));
    let mut number = || {
        let digits =
            |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        parts.next().is_some_and(digits)
    };
    class && number() && number() && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_kept_and_words_are_not() {
        for (status, text, expected) in [
            (None, "550 5.1.1 <ada@example.com>: no such user", "550 5.1.1"),
            (None, "550-5.7.26 see https://example.com/?token=1\r\n550 5.7.26 bye", "550 5.7.26"),
            (None, "421 shutting down", "421"),
            (None, "421", "421"),
            (None, "ada@example.com", "something that is no reply"),
            (None, "", "something that is no reply"),
            (Some(450), "4.2.1 mailbox of ada@example.com is busy", "450 4.2.1"),
            (Some(450), "450 4.2.1 mailbox busy", "450 4.2.1"),
            (Some(550), "ada@example.com is unknown", "550"),
            (Some(550), "5.1.1.1 no", "550"),
            (Some(550), "", "550"),
        ] {
            assert_eq!(codes(status, text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_said_no_more_than_codes_is_kept(text: String) {
            let kept = codes(Some(550), &text);
            proptest::prop_assert!(kept.len() <= 13 && kept.bytes().all(|byte| byte.is_ascii_digit() || b". ".contains(&byte)));
        }
    }
}
