//! The query of a request, decoded once: the signature is computed over it and the operation is read from it.

use percent_encoding::percent_decode_str;

use super::error::S3Error;

/// Names and values in the order of the request. A parameter without `=` has an empty value.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// Names only: a value may be a token or a signature.
impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl Query {
    /// Reads the query as it stood behind the `?`.
    ///
    /// Parameters that belong to the signature must be there once: which of two counts is not to be guessed.
    pub fn parse(text: Option<&str>) -> Result<Self, S3Error> {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let parameters = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        let query = Self(parameters.collect());
        let mut signing: Vec<String> = query
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .filter(|name| name.starts_with("x-amz-"))
            .collect();
        signing.sort_unstable();
        if signing.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(S3Error::invalid("A query parameter of the signature is given more than once"));
        }
        Ok(query)
    }

    /// The first value of the name, which is matched exactly.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Whether the name is there, with a value or without.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All parameters.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Bytes that are no UTF-8 are replaced; then no signature holds.
fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded_once() {
        let query = Query::parse(Some("prefix=a%2Fb+c%2525&&acl&x=")).unwrap();
        assert_eq!(query.get("prefix"), Some("a/b c%25"));
        assert!(query.has("acl") && query.has("x") && !query.has("y"));
    }

    #[test]
    fn a_signature_parameter_twice_is_refused() {
        for twice in ["X-Amz-Date=1&X-Amz-Date=2", "X-Amz-Signature=a&x-amz-signature=b"] {
            assert_eq!(Query::parse(Some(twice)).unwrap_err().code(), "InvalidRequest");
        }
        assert!(Query::parse(Some("prefix=a&prefix=b")).is_ok());
    }
}
