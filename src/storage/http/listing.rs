//! Lists of objects, in the shapes of both generations of clients (contract section 7).

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::Request;
use serde::Deserialize;
use serde_json::{Value, json};

use super::places::Named;
use super::request::json as read_json;
use crate::storage::error::StorageError;
use crate::storage::model::key::LONGEST_KEY;
use crate::storage::model::listing::{After, Entry, ListColumn, ListOrder, Listing};
use crate::storage::state::StorageState;
use crate::storage::store::listing::page;

/// The most entries of a page.
const MOST: u64 = 1000;
/// The most entries that are passed over: each is walked past. Cursors of `list-v2` lead on at no cost.
const FURTHEST: u64 = 100_000;
/// The longest cursor: a key and what stands around it in base64, with room to spare.
const LONGEST_CURSOR: usize = 4096;
/// What ends a folder.
const SLASH: &str = "/";

type Answer = Result<Json<Value>, StorageError>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListBody {
    prefix: String,
    #[serde(default)]
    limit: Option<u64>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    sort_by: Option<SortBy>,
    #[serde(default)]
    search: Option<String>,
}

#[derive(Deserialize)]
struct ListV2Body {
    #[serde(default)]
    prefix: Option<String>,
    #[serde(default)]
    limit: Option<u64>,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    with_delimiter: Option<bool>,
    #[serde(default, rename = "sortBy")]
    sort_by: Option<SortBy>,
}

#[derive(Deserialize)]
struct SortBy {
    #[serde(default)]
    column: Option<ListColumn>,
    #[serde(default)]
    order: Option<String>,
}

impl SortBy {
    fn order(given: Option<Self>) -> ListOrder {
        given.map_or_else(ListOrder::default, |sort| ListOrder {
            column: sort.column.unwrap_or_default(),
            descending: sort.order.is_some_and(|order| order.eq_ignore_ascii_case("desc")),
        })
    }
}

/// `POST /object/list/{bucket}`: what lies in one folder, by names relative to it.
pub(super) async fn list(
    State(state): State<StorageState>,
    Named(bucket): Named,
    request: Request<Body>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.list").await?;
    let wanted: ListBody = read_json(&parts, body).await?;
    within("body/prefix", &wanted.prefix, LONGEST_KEY)?;
    within("body/search", wanted.search.as_deref().unwrap_or_default(), LONGEST_KEY)?;
    let offset = wanted.offset.unwrap_or(0);
    if offset > FURTHEST {
        let reason = format!("body/offset must be <= {FURTHEST}: go on with the cursors of list-v2");
        return Err(StorageError::InvalidRequest(reason));
    }
    let prefix = folder(&wanted.prefix);
    let listing = Listing {
        bucket: &bucket,
        prefix: &prefix,
        delimiter: Some(SLASH),
        search: wanted.search.as_deref().filter(|search| !search.is_empty()),
        order: SortBy::order(wanted.sort_by),
        after: None,
        offset,
        limit: wanted.limit.unwrap_or(100).clamp(1, MOST),
    };
    let (entries, _) = page(&state.callers, &acting, &listing).await?;
    Ok(Json(entries.iter().map(|entry| relative(entry, &prefix)).collect()))
}

fn within(name: &str, text: &str, longest: usize) -> Result<(), StorageError> {
    if text.len() <= longest {
        return Ok(());
    }
    Err(StorageError::InvalidRequest(format!("{name} must have at most {longest} bytes")))
}

/// A folder's name with the slash at its end; none for the bucket itself.
fn folder(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        inner => format!("{inner}/"),
    }
}

fn relative(entry: &Entry, prefix: &str) -> Value {
    let name = entry.key.strip_prefix(prefix).unwrap_or(&entry.key);
    let name = if entry.is_folder { name.trim_end_matches('/') } else { name };
    json!({
        "name": name,
        "id": entry.id,
        "updated_at": entry.updated_at,
        "created_at": entry.created_at,
        "last_accessed_at": entry.last_accessed_at,
        "metadata": entry.metadata,
    })
}

/// `POST /object/list-v2/{bucket}`: whole names, page by page.
pub(super) async fn list_v2(
    State(state): State<StorageState>,
    Named(bucket): Named,
    request: Request<Body>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let acting = state.acting(&parts, "storage.object.list_v2").await?;
    let wanted: ListV2Body = read_json(&parts, body).await?;
    within("body/prefix", wanted.prefix.as_deref().unwrap_or_default(), LONGEST_KEY)?;
    within("body/cursor", wanted.cursor.as_deref().unwrap_or_default(), LONGEST_CURSOR)?;
    let mut order = SortBy::order(wanted.sort_by);
    if order.column == ListColumn::LastAccessedAt {
        let reason = "body/sortBy/column must be one of name, updated_at, created_at";
        return Err(StorageError::InvalidRequest(reason.to_owned()));
    }
    let mut behind = None;
    if let Some(cursor) = wanted.cursor.as_deref().filter(|cursor| !cursor.is_empty()) {
        let invalid = || StorageError::InvalidRequest("body/cursor is not one of this server".to_owned());
        let (position, its_order) = After::of_cursor(cursor).ok_or_else(invalid)?;
        (behind, order) = (Some(position), its_order);
    }
    let prefix = wanted.prefix.unwrap_or_default();
    let listing = Listing {
        bucket: &bucket,
        prefix: &prefix,
        delimiter: wanted.with_delimiter.unwrap_or(false).then_some(SLASH),
        search: None,
        order,
        after: behind,
        offset: 0,
        limit: wanted.limit.unwrap_or(MOST).clamp(1, MOST),
    };
    let (entries, has_next) = page(&state.callers, &acting, &listing).await?;
    let last = entries.last().filter(|_| has_next);
    let (folders, objects): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(|entry| entry.is_folder);
    let mut answer = json!({
        "hasNext": has_next,
        "folders": folders.iter().map(|entry| json!({ "name": entry.key, "key": entry.key })).collect::<Vec<_>>(),
        "objects": objects.iter().map(|entry| whole(entry)).collect::<Vec<_>>(),
    });
    if let Some(last) = last {
        answer["nextCursor"] = last.position(order).to_cursor(order).into();
        answer["nextCursorKey"] = last.key.as_str().into();
    }
    Ok(Json(answer))
}

fn whole(entry: &Entry) -> Value {
    json!({
        "name": entry.key,
        "key": entry.key,
        "id": entry.id,
        "updated_at": entry.updated_at,
        "created_at": entry.created_at,
        "last_accessed_at": entry.last_accessed_at,
        "metadata": entry.metadata,
    })
}
