//! The id of an upload: where its object is to be, and a random uuid that nobody guesses.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::storage::model::key::{Alphabet, ObjectKey};

/// The longest id that is looked at: a bucket, the longest key and a uuid in base64, with room to spare.
const LONGEST: usize = 4096;

/// An upload, as it is named in URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UploadId {
    /// The bucket's id.
    pub(super) bucket: String,
    /// The object's key.
    pub(super) key: ObjectKey,
    /// Names the upload's row.
    pub(super) version: Uuid,
}

impl UploadId {
    /// Reads an id. None for what we never made: that is looked up nowhere (threat H02).
    pub(super) fn parse(text: &str, alphabet: Alphabet) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let decoded = String::from_utf8(URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()?).ok()?;
        let (place, version) = decoded.rsplit_once('/')?;
        let (bucket, key) = place.split_once('/')?;
        let id = Self {
            bucket: bucket.to_owned(),
            key: ObjectKey::parse(key, alphabet).ok()?,
            version: Uuid::try_parse(version).ok()?,
        };
        (!bucket.is_empty() && id.place() == place).then_some(id)
    }

    /// `<bucket>/<key>`.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.bucket, self.key)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{}/{}", self.place(), self.version)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str) -> String {
        URL_SAFE_NO_PAD.encode(text)
    }

    #[test]
    fn an_id_names_an_object_and_a_version() {
        let id = UploadId {
            bucket: "b".into(),
            key: ObjectKey::parse("folder/a.txt", Alphabet::Ascii).unwrap(),
            version: Uuid::from_u128(7),
        };
        assert_eq!(id.to_string(), encoded("b/folder/a.txt/00000000-0000-0000-0000-000000000007"));
        assert_eq!(UploadId::parse(&id.to_string(), Alphabet::Ascii), Some(id.clone()));
        assert_eq!(UploadId::parse(&format!("{id}=="), Alphabet::Ascii), Some(id), "padded by others");
    }

    #[test]
    fn h02_what_was_never_made_here_is_no_id() {
        let uuid = "00000000-0000-0000-0000-000000000007";
        for forged in [
            "a/../../etc/passwd/U",
            "b/../x/U",
            "b/..%2fx/U",
            "../b/x/U/..",
            "b//U",
            "/x/U",
            "b/x",
            "b/U",
            "U",
            "",
            "b/x/not-a-uuid",
            "b/x\0/U",
            "b/x\\y/U",
            "b/./x/U",
            "b/x/U/",
        ] {
            let text = encoded(&forged.replace('U', uuid));
            assert_eq!(UploadId::parse(&text, Alphabet::Ascii), None, "{forged:?}");
        }
        for text in ["", "%", "a b", "../../etc/passwd", "ä", &"A".repeat(LONGEST + 1)] {
            assert_eq!(UploadId::parse(text, Alphabet::Ascii), None, "{text:?}");
        }
        assert_eq!(UploadId::parse(&URL_SAFE_NO_PAD.encode(b"b/\xff/x"), Alphabet::Ascii), None);
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_in_its_place(text in "\\PC{0,30}") {
            let forged = format!("{text}/00000000-0000-0000-0000-000000000007");
            if let Some(id) = UploadId::parse(&encoded(&forged), Alphabet::Unicode) {
                prop_assert_eq!(id.place(), text);
            }
        }
    }
}
