//! An object as its row has it, and the metadata that goes with its bytes (contract sections 4 and 11).

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// What the bytes are: column `metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::storage) struct StoredMetadata {
    /// Quoted, as in the header.
    #[serde(default)]
    pub(in crate::storage) e_tag: String,
    /// In bytes.
    #[serde(default)]
    pub(in crate::storage) size: u64,
    /// As it was declared.
    #[serde(default = "unknown_type")]
    pub(in crate::storage) mimetype: String,
    /// As the header is to say.
    #[serde(default = "no_cache")]
    pub(in crate::storage) cache_control: String,
    /// When the bytes were written.
    #[serde(default)]
    pub(in crate::storage) last_modified: String,
    /// The same as `size`, for clients that look for it.
    #[serde(default)]
    pub(in crate::storage) content_length: u64,
    /// For clients that look for it.
    #[serde(default = "ok")]
    pub(in crate::storage) http_status_code: u16,
    /// How the bytes are encoded, where they came so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) content_encoding: Option<String>,
    /// What robots are told, if it is not the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::storage) x_robots_tag: Option<String>,
}

/// The version that a row names. None where it is written in another way than ours: what is known of bytes is looked up by
/// this text, so another one must not lead to them.
pub(in crate::storage) fn version(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok().filter(|version| version.to_string() == text)
}

fn unknown_type() -> String {
    UNKNOWN_TYPE.to_owned()
}

fn no_cache() -> String {
    NO_CACHE.to_owned()
}

fn ok() -> u16 {
    200
}

/// The type of bytes of which nobody said anything.
pub(in crate::storage) const UNKNOWN_TYPE: &str = "application/octet-stream";
/// What caches are told where nobody said anything.
pub(in crate::storage) const NO_CACHE: &str = "no-cache";

/// A row of `storage.objects`, as `row_to_json` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::storage) struct Object {
    /// Kept when it is written anew or moved.
    pub(in crate::storage) id: Uuid,
    /// The bucket.
    pub(in crate::storage) bucket_id: String,
    /// The key.
    pub(in crate::storage) name: String,
    /// Whose it is: the subject of the token it was written with.
    pub(in crate::storage) owner_id: Option<String>,
    /// Names the bytes.
    pub(in crate::storage) version: Option<String>,
    /// What the bytes are.
    pub(in crate::storage) metadata: Option<Value>,
    /// What the client keeps with it.
    pub(in crate::storage) user_metadata: Option<Map<String, Value>>,
    /// When the row was made.
    pub(in crate::storage) created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub(in crate::storage) updated_at: Option<DateTime<Utc>>,
    /// When it was last read, as far as that is noted.
    pub(in crate::storage) last_accessed_at: Option<DateTime<Utc>>,
}

impl Object {
    /// What the bytes are; rows that others made may lack some of it.
    pub(in crate::storage) fn stored(&self) -> StoredMetadata {
        StoredMetadata::read(self.metadata.as_ref())
    }

    /// When the bytes were written, to the second as HTTP has it.
    pub(in crate::storage) fn last_modified(&self) -> DateTime<Utc> {
        self.stored().written_at().or(self.updated_at).or(self.created_at).unwrap_or(DateTime::UNIX_EPOCH)
    }
}

impl StoredMetadata {
    /// Of bytes that have been written.
    pub(in crate::storage) fn new(
        e_tag: &str,
        size: u64,
        at_millis: i64,
        mimetype: String,
        cache_control: String,
    ) -> Self {
        let at = DateTime::from_timestamp_millis(at_millis).unwrap_or(DateTime::UNIX_EPOCH);
        Self {
            e_tag: format!("\"{e_tag}\""),
            size,
            mimetype,
            cache_control,
            last_modified: at.to_rfc3339_opts(SecondsFormat::Millis, true),
            content_length: size,
            http_status_code: ok(),
            content_encoding: None,
            x_robots_tag: None,
        }
    }

    /// As a row has it; rows that others made may lack some of it.
    pub(in crate::storage) fn read(column: Option<&Value>) -> Self {
        let given = column.cloned().unwrap_or(Value::Null);
        serde_json::from_value(given).unwrap_or_else(|_| Self::of_nothing())
    }

    /// When the bytes were written, where that is known.
    pub(in crate::storage) fn written_at(&self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(&self.last_modified).map(|time| time.to_utc()).ok()
    }

    fn of_nothing() -> Self {
        // When it was written is not known, so that the row's own times count.
        Self { last_modified: String::new(), ..Self::new("", 0, 0, unknown_type(), no_cache()) }
    }

    /// As the column holds it.
    pub(in crate::storage) fn to_json(&self) -> Value {
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_has_the_names_that_clients_know() {
        let stored =
            StoredMetadata::new("abc", 7, 1_700_000_000_123, "text/plain".into(), "max-age=60".into());
        assert_eq!(
            stored.to_json(),
            json!({
                "eTag": "\"abc\"", "size": 7, "mimetype": "text/plain", "cacheControl": "max-age=60",
                "lastModified": "2023-11-14T22:13:20.123Z", "contentLength": 7, "httpStatusCode": 200,
            })
        );
    }

    #[test]
    fn rows_of_others_may_lack_metadata() {
        let row = json!({
            "id": Uuid::nil(), "bucket_id": "b", "name": "n", "owner_id": null, "version": null, "metadata": null,
            "user_metadata": null, "created_at": "2024-01-01T00:00:00.5+00:00", "updated_at": null, "last_accessed_at": null,
        });
        let object: Object = serde_json::from_value(row).unwrap();
        assert_eq!(object.stored().mimetype, UNKNOWN_TYPE);
        assert_eq!(object.last_modified().timestamp(), 1_704_067_200);
    }
}
