//! The grammar's manual: tables of what clients may write, what it means, and what they are told when it is wrong.

mod errors;
mod filters;
mod fuzz;
mod limits;
mod requests;
mod selects;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{ParseConfig, RequestError, RequestParts, parse};
use crate::rest::core::query::QueryParams;
use crate::rest::core::request::ApiRequest;

fn config() -> ParseConfig {
    ParseConfig {
        schemas: vec!["test".to_owned()],
        root_function: None,
        root_enabled: true,
        allow_transaction_end: true,
    }
}

/// A request as a test writes it.
struct Request<'a> {
    method: Method,
    url: &'a str,
    headers: &'a [(&'a str, &'a str)],
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn get(url: &'a str) -> Self {
        Self { method: Method::GET, url, headers: &[], body: b"" }
    }

    fn of(method: &str, url: &'a str, headers: &'a [(&'a str, &'a str)], body: &'a str) -> Self {
        Self { method: method.parse().unwrap(), url, headers, body: body.as_bytes() }
    }

    fn parse(&self) -> Result<ApiRequest, RequestError> {
        self.parse_with(&config())
    }

    fn parse_with(&self, config: &ParseConfig) -> Result<ApiRequest, RequestError> {
        let (path, query) = self.url.split_once('?').unwrap_or((self.url, ""));
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let parts =
            RequestParts { method: &self.method, resource_path: path, path, query, headers: &headers };
        parse(&parts, config, Bytes::copy_from_slice(self.body))
    }
}

fn query(query: &str) -> Result<QueryParams, RequestError> {
    super::params::parse(query, false)
}

/// Encodes what would end a parameter or be decoded.
fn encode(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}
