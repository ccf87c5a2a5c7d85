//! Pure: a row as it was written down, read at most once however many look at it.

use std::sync::OnceLock;

use serde_json::value::RawValue;

use super::value::Image;

/// A row as PostgreSQL's `to_jsonb` writes it.
#[derive(Clone, Debug)]
pub struct RowImage {
    text: Box<RawValue>,
    /// None where it is no object.
    read: OnceLock<Option<Image>>,
}

impl RowImage {
    /// The row that this text is.
    ///
    /// # Errors
    /// It is no JSON.
    pub fn new(text: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(text).map(|text| Self { text, read: OnceLock::new() })
    }

    /// Its text.
    pub fn raw(&self) -> &RawValue {
        &self.text
    }

    /// Its values by column; none where it is no object.
    pub fn values(&self) -> Option<&Image> {
        self.read.get_or_init(|| serde_json::from_str(self.text.get()).ok()).as_ref()
    }
}
