//! Constants of array types as PostgreSQL prints them: `{a,b}`.

/// The items, if they are plain words: quotes, blanks, NULL and arrays in arrays are left to PostgreSQL.
pub(super) fn list_constant(text: &str) -> Option<Vec<String>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    if inner.is_empty() {
        return Some(Vec::new());
    }
    let is_plain = |item: &&str| {
        let is_word = item.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@'));
        is_word && !item.is_empty() && !item.eq_ignore_ascii_case("null")
    };
    inner.split(',').map(|item| is_plain(&item).then(|| item.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::list_constant;

    #[test]
    fn plain_words_are_items() {
        assert_eq!(list_constant("{a,b-c}"), Some(vec!["a".to_owned(), "b-c".to_owned()]));
        assert_eq!(list_constant("{}"), Some(Vec::new()));
        for text in ["a", "{a", "{a,}", "{a,NULL}", "{\"a b\"}", "{{a},{b}}", "{ a}"] {
            assert_eq!(list_constant(text), None, "{text}");
        }
    }
}
