//! Status and headers of an answer, from the plan and the leading columns of the result. Pure.

use http::{HeaderName, HeaderValue, StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::rest::core::plan::model::{MutateAction, Output, Plan, ReadNode, Write};
use crate::rest::core::preferences::{Preferences, Representation, Resolution};
use crate::rest::core::range::{RangeStatus, answer_range, content_range};
use crate::rest::core::request::{ApiRequest, Mutation};

/// The leading columns of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultHead {
    /// The number of rows without limit and offset, if counted.
    pub total: Option<i64>,
    /// The number of rows in the answer.
    pub rows: i64,
    /// The setting `response.headers`.
    pub headers: Option<String>,
    /// The setting `response.status`.
    pub status: Option<String>,
    /// The key of the row inserted, as JSON pairs.
    pub location: Option<String>,
    /// How many rows an upsert inserted.
    pub inserted: Option<i64>,
}

/// Whether the result's body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyUse {
    /// It is the answer's body.
    Send,
    /// Nothing is sent, and `Content-Length` is 0 or absent as `length` says.
    Omit {
        /// Whether `Content-Length: 0` is sent.
        length: bool,
    },
}

/// Status and headers of an answer. `Content-Length` follows from the body.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status.
    pub status: StatusCode,
    /// The headers in order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What becomes of the body.
    pub body: BodyUse,
}

/// Why an answer cannot be given although the statement succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// The offset is behind the last row.
    OutOfBounds {
        /// The offset.
        offset: i128,
        /// The number of rows there are.
        total: i64,
    },
    /// The setting `response.headers` is not an array of one-key objects, or holds what no header can.
    HeadersSetting,
    /// The setting `response.status` is not a status.
    StatusSetting,
}

/// Status and headers for the result of `plan`.
pub fn respond(plan: &Plan, request: &ApiRequest, head: &ResultHead) -> Result<ResponseHead, ResponseError> {
    let mut response = match plan {
        Plan::Read(action) => {
            let mut response = ranged(request, head)?;
            if let Some(location) = content_location(&action.target.name, &request.query.canonical) {
                response.push(header::CONTENT_LOCATION, &location);
            }
            response.content_type(&action.output, request);
            response.applied(&applied(plan, request));
            response.omit_body_if(action.headers_only);
            response
        }
        Plan::Mutate(action) => mutated(action, plan, request, head),
        Plan::Call(action) => {
            let mut response = ranged(request, head)?;
            response.applied(&applied(plan, request));
            if action.function.returns_void() {
                response.status = StatusCode::NO_CONTENT;
                response.body = BodyUse::Omit { length: false };
            } else {
                response.content_type(&action.output, request);
                response.omit_body_if(action.headers_only);
            }
            response
        }
        Plan::Inspect { .. } | Plan::Info { .. } => ResponseHead::new(StatusCode::OK),
    };
    override_by_settings(&mut response, head)?;
    Ok(response)
}

impl ResponseHead {
    /// A head without headers whose body is sent.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: BodyUse::Send }
    }

    /// Adds a header; text that cannot be one is left out.
    pub fn push(&mut self, name: HeaderName, value: &str) {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            self.headers.push((name, value));
        }
    }

    /// The media type, and the schema where a profile chose it.
    fn content_type(&mut self, output: &Output, request: &ApiRequest) {
        self.push(header::CONTENT_TYPE, &output.media.to_content_type());
        self.profile(request);
    }

    /// `Content-Profile`, where the schema was negotiated.
    pub fn profile(&mut self, request: &ApiRequest) {
        if request.negotiated_by_profile {
            self.push(HeaderName::from_static("content-profile"), &request.schema);
        }
    }

    fn applied(&mut self, preferences: &Preferences) {
        if let Some(applied) = preferences.applied() {
            self.push(HeaderName::from_static("preference-applied"), &applied);
        }
    }

    fn omit_body_if(&mut self, headers_only: bool) {
        if headers_only {
            self.body = BodyUse::Omit { length: false };
        }
    }
}

/// Status and `Content-Range` of an answer with rows of a range.
fn ranged(request: &ApiRequest, head: &ResultHead) -> Result<ResponseHead, ResponseError> {
    let (status, range) = answer_range(request.top_range, head.rows, head.total);
    if status == RangeStatus::OutOfBounds {
        return Err(ResponseError::OutOfBounds {
            offset: request.top_range.offset(),
            total: head.total.unwrap_or_default(),
        });
    }
    let status = if status == RangeStatus::Partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut response = ResponseHead::new(status);
    response.push(header::CONTENT_RANGE, &range);
    Ok(response)
}

/// Longer headers make common clients fail: Node's takes 16 KB of headers in all, Python's 64 KB in a line.
const LONGEST_LOCATION: usize = 8 * 1024;

/// The relation with the parameters in order; none where that would be too long for a header.
fn content_location(relation: &str, query: &str) -> Option<String> {
    let location = if query.is_empty() { format!("/{relation}") } else { format!("/{relation}?{query}") };
    (location.len() <= LONGEST_LOCATION).then_some(location)
}

fn mutated(action: &MutateAction, plan: &Plan, request: &ApiRequest, head: &ResultHead) -> ResponseHead {
    let preferences = &request.preferences;
    let is_full = preferences.representation == Some(Representation::Full);
    let total = preferences.counts().then(|| i128::from(head.rows));
    let mut response = ResponseHead::new(if is_full { StatusCode::OK } else { StatusCode::NO_CONTENT });
    match action.mutation {
        Mutation::Create => {
            // Without any row the counter was never set.
            let nothing_new = preferences.resolution == Some(Resolution::MergeDuplicates)
                && head.inserted.unwrap_or_default() <= 0;
            response.status = if nothing_new { StatusCode::OK } else { StatusCode::CREATED };
            if let Some(location) =
                head.location.as_deref().and_then(|key| location(&action.target.name, key))
            {
                response.push(header::LOCATION, &location);
            }
            response.push(header::CONTENT_RANGE, &content_range(1, 0, total));
        }
        Mutation::Update => {
            let last = i128::from(head.rows) - 1;
            response.push(header::CONTENT_RANGE, &content_range(0, last, total));
        }
        Mutation::Delete => response.push(header::CONTENT_RANGE, &content_range(1, 0, total)),
        Mutation::SingleUpsert if is_full && head.inserted.is_some_and(|inserted| inserted > 0) => {
            response.status = StatusCode::CREATED;
        }
        Mutation::SingleUpsert => {}
    }
    response.applied(&applied(plan, request));
    if is_full {
        response.content_type(&action.output, request);
    } else {
        response.body = BodyUse::Omit { length: action.mutation == Mutation::Create };
    }
    response
}

/// Everything but unreserved characters (RFC 3986 section 2.3) is encoded in a query value.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Where the inserted row is: `/relation?key=eq.value`.
fn location(relation: &str, key: &str) -> Option<String> {
    let pairs: Vec<(String, Option<String>)> = serde_json::from_str(key).ok()?;
    let query: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            let filter = value.as_ref().map_or_else(|| "is.null".to_owned(), |value| format!("eq.{value}"));
            format!(
                "{}={}",
                utf8_percent_encode(name, QUERY_VALUE),
                utf8_percent_encode(&filter, QUERY_VALUE)
            )
        })
        .collect();
    (!query.is_empty()).then(|| format!("/{relation}?{}", query.join("&")))
}

/// The preferences that had a meaning for this plan.
fn applied(plan: &Plan, request: &ApiRequest) -> Preferences {
    let mut preferences = request.preferences.clone();
    let (is_insert, is_update, is_delete) = match plan {
        Plan::Mutate(action) => (
            action.mutation == Mutation::Create,
            action.mutation == Mutation::Update,
            action.mutation == Mutation::Delete,
        ),
        _ => (false, false, false),
    };
    let has_conflict_target = match plan {
        Plan::Mutate(MutateAction { write: Write::Insert { primary_key, .. }, .. }) => {
            !primary_key.is_empty() || request.query.on_conflict.is_some()
        }
        _ => false,
    };
    if !(is_insert && has_conflict_target) {
        preferences.resolution = None;
    }
    if !matches!(plan, Plan::Mutate(_)) {
        preferences.representation = None;
    }
    if !(is_insert || is_update) {
        preferences.missing = None;
    }
    if !(is_update || is_delete || matches!(plan, Plan::Call(_))) {
        preferences.max_affected = None;
    }
    preferences
}

/// The database may set headers and the status by `response.headers` and `response.status`.
fn override_by_settings(response: &mut ResponseHead, head: &ResultHead) -> Result<(), ResponseError> {
    if let Some(text) = &head.status {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        let code = digits.parse().map_err(|_| ResponseError::StatusSetting)?;
        response.status = final_status(code).ok_or(ResponseError::StatusSetting)?;
    }
    if let Some(text) = &head.headers {
        let mut set = headers_setting(text).ok_or(ResponseError::HeadersSetting)?;
        set.retain(|(name, _)| !frames_messages(name));
        response.headers.retain(|(name, _)| set.iter().all(|(other, _)| other != name));
        response.headers.extend(set);
    }
    Ok(())
}

/// A status that can end an answer: an interim one (1xx) would leave the client waiting, or switch protocols.
pub fn final_status(code: u16) -> Option<StatusCode> {
    StatusCode::from_u16(code).ok().filter(|status| !status.is_informational())
}

/// Whether a header says how messages follow each other on the connection (RFC 9110 section 7.6.1, RFC 9112 section 6).
///
/// Those are the server's own: set by the database, they would cut an answer short or make two of one.
pub fn frames_messages(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// `[{"Name": "value"}, …]`; a line break or another byte that a header cannot hold makes it invalid.
fn headers_setting(text: &str) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let objects: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text).ok()?;
    objects
        .into_iter()
        .map(|object| {
            let mut entries = object.into_iter();
            let (Some((name, serde_json::Value::String(value))), None) = (entries.next(), entries.next())
            else {
                return None;
            };
            Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?))
        })
        .collect()
}

/// The `Warning` for parameters that named an aliased embed by its relation.
pub fn target_name_warning(tree: &ReadNode) -> Option<String> {
    let mut replacements = Vec::new();
    collect_target_names(tree, &mut replacements);
    if replacements.is_empty() {
        return None;
    }
    Some(format!(
        "299 PostgRESTv17(pre-release) \"Embedded resource was referenced by relation name even though it has an alias. This is \
         deprecated and will stop working in a future release. Update {} in query string filters, orders or limits.\"",
        replacements.join(", ")
    ))
}

fn collect_target_names(node: &ReadNode, replacements: &mut Vec<String>) {
    if let (true, Some(alias)) = (node.named_by_target, &node.request_alias) {
        replacements.push(format!("`{}` to `{alias}`", node.name));
    }
    node.children.iter().for_each(|child| collect_target_names(child, replacements));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overridden(headers: &str, status: &str) -> Result<ResponseHead, ResponseError> {
        let mut response = ResponseHead::new(StatusCode::OK);
        let (headers, status) = (Some(headers.to_owned()), Some(status.to_owned()));
        let head = ResultHead { headers, status, ..ResultHead::default() };
        override_by_settings(&mut response, &head).map(|()| response)
    }

    #[test]
    fn the_database_cannot_set_how_messages_are_framed() {
        let set = r#"[{"Transfer-Encoding":"chunked"},{"content-length":"3"},{"Connection":"upgrade"},
            {"Upgrade":"websocket"},{"Keep-Alive":"timeout=1"},{"X-Mine":"1"}]"#;
        let response = overridden(set, "418").unwrap();
        assert_eq!(response.status, StatusCode::IM_A_TEAPOT);
        let names: Vec<&str> = response.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-mine"]);
    }

    #[test]
    fn a_location_that_clients_could_not_read_is_left_out() {
        assert_eq!(content_location("t", "").as_deref(), Some("/t"));
        assert_eq!(content_location("t", "id=eq.1").as_deref(), Some("/t?id=eq.1"));
        assert_eq!(content_location("t", &"x".repeat(60_000)), None);
    }

    #[test]
    fn an_interim_status_and_a_line_break_in_a_header_are_refused() {
        for status in ["99", "100", "101", "199", "1000", "x"] {
            assert_eq!(overridden("[]", status).unwrap_err(), ResponseError::StatusSetting, "{status}");
        }
        for headers in [r#"[{"X":"a\r\nSet-Cookie: b"}]"#, r#"[{"X\r\nY":"a"}]"#, r#"[{"X":"a\u0000"}]"#] {
            assert_eq!(overridden(headers, "200").unwrap_err(), ResponseError::HeadersSetting, "{headers}");
        }
    }
}
