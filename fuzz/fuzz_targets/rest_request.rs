//! Any request whatsoever goes through the REST parser: it must not panic, hang, or blame the server.
//!
//! The first bytes choose method and shape, so that the fuzzer reaches every part of the grammar from one target.
#![no_main]

use arbitrary::Arbitrary;
use bytes::Bytes;
use goforward::rest::core::parse::{ParseConfig, RequestParts, parse};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    method: u8,
    call: bool,
    path: &'a str,
    parameter: u8,
    query: &'a str,
    headers: Vec<(u8, &'a [u8])>,
    body: &'a [u8],
}

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::PUT, Method::DELETE, Method::OPTIONS];

/// What stands in front of the query, so that its text is read as a value of that parameter.
const PARAMETERS: [&str; 8] = ["", "select=", "order=", "or=(", "a=", "columns=", "limit=", "a=in.("];

const HEADERS: [&str; 6] = ["accept", "content-type", "prefer", "range", "cookie", "accept-profile"];

fuzz_target!(|input: Input<'_>| {
    let pick = |index: u8, length: usize| usize::from(index) % length;
    let mut headers = HeaderMap::new();
    for (name, value) in input.headers {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(HEADERS[pick(name, HEADERS.len())]), value);
        }
    }
    let path = format!("{}{}", if input.call { "/rpc/" } else { "/" }, input.path);
    let query = format!("{}{}", PARAMETERS[pick(input.parameter, PARAMETERS.len())], input.query);
    let parts = RequestParts {
        method: &METHODS[pick(input.method, METHODS.len())],
        resource_path: &path,
        path: &path,
        query: &query,
        headers: &headers,
    };
    let config = ParseConfig {
        schemas: vec!["public".to_owned(), "other".to_owned()],
        root_function: None,
        root_enabled: true,
        allow_transaction_end: true,
    };
    match parse(&parts, &config, Bytes::copy_from_slice(input.body)) {
        Ok(request) => assert!(!request.query.canonical.contains('\0')),
        Err(error) => assert!((400..500).contains(&error.status_code())),
    }
});
