//! Reading cookies (RFC 6265 section 5.4).

use http::HeaderMap;
use http::header::COOKIE;

/// All cookies as sent, name and value, in order. Values lose their quotes; pairs without a name are left out.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.trim(), unquoted(value.trim())))
        .filter(|(name, _)| !name.is_empty())
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_all_lines_are_read_in_order() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, "a=1; b=\"two\";=nameless; broken".parse().unwrap());
        headers.append(COOKIE, "c=x=y".parse().unwrap());

        let found: Vec<_> = cookies(&headers).collect();

        assert_eq!(found, [("a", "1"), ("b", "two"), ("c", "x=y")]);
    }
}
