//! The grammar's manual: tables of what clients may write, what it means, and what they are told when it is wrong.

mod errors;
mod filters;
mod fuzz;
mod limits;
mod requests;
mod selects;

use super::RequestError;
use crate::rest::core::query::QueryParams;

fn query(query: &str) -> Result<QueryParams, RequestError> {
    super::params::parse(query, false)
}

/// Encodes what would end a parameter or be decoded.
fn encode(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}
