//! Names of buckets and objects (contract sections 3 and 4). A name that was parsed leads nowhere but to its own row: bytes
//! never lie under names, and no segment is one that other programs take for a way up.

use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// The longest key in bytes, as S3 has it.
pub(in crate::storage) const LONGEST_KEY: usize = 1024;
/// The longest name of a bucket in characters.
const LONGEST_BUCKET: usize = 100;
/// What names may hold beside ASCII letters and digits.
const SPECIAL: &str = "_!-.*'() &$@=;:+,?";
/// The last segment of a key that only holds a folder open.
const PLACEHOLDER: &str = ".emptyFolderPlaceholder";

/// The name of an object in its bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::storage) struct ObjectKey(String);

/// The name of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::storage) struct BucketName(String);

/// Which characters keys may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::storage) enum Alphabet {
    /// Those that Supabase's storage takes.
    Ascii,
    /// Letters, marks and digits of every script, too; kept in normal form C, so that a name is one name.
    Unicode,
}

/// A name that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::storage) struct InvalidName(pub(in crate::storage) String);

impl ObjectKey {
    /// Reads a key, as it is after decoding the URL.
    pub(in crate::storage) fn parse(text: &str, alphabet: Alphabet) -> Result<Self, InvalidName> {
        let invalid = || InvalidName(text.chars().take(LONGEST_KEY).collect());
        let key: String = match alphabet {
            Alphabet::Ascii => text.to_owned(),
            Alphabet::Unicode => text.nfc().collect(),
        };
        let fits = |c: char| match alphabet {
            _ if c.is_ascii() => c == '/' || is_fit(c),
            Alphabet::Ascii => false,
            Alphabet::Unicode => is_plain(c),
        };
        let is_fine = !key.is_empty()
            && key.len() <= LONGEST_KEY
            && key.chars().all(fits)
            && key.split('/').all(|segment| !segment.is_empty() && !is_way_up(segment));
        if is_fine { Ok(Self(key)) } else { Err(invalid()) }
    }

    /// The key.
    pub(in crate::storage) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it only holds a folder open: no bytes, and no rule of types.
    pub(in crate::storage) fn is_placeholder(&self) -> bool {
        self.0.ends_with(PLACEHOLDER)
    }
}

impl BucketName {
    /// Reads the name of a bucket that is to be made.
    pub(in crate::storage) fn parse(text: &str) -> Result<Self, InvalidName> {
        let is_fine = (1..=LONGEST_BUCKET).contains(&text.chars().count())
            && text.chars().all(is_fit)
            && text.trim() == text
            && !is_way_up(text);
        if is_fine {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName(text.chars().take(LONGEST_BUCKET).collect()))
        }
    }

    /// The name.
    pub(in crate::storage) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_fit(c: char) -> bool {
    c.is_ascii_alphanumeric() || SPECIAL.contains(c)
}

/// A letter, mark or digit, or a sign that neither looks like a dot or slash nor is invisible.
fn is_plain(c: char) -> bool {
    let folded: String = c.nfkc().collect();
    let is_structure = folded.chars().any(|part| matches!(part, '.' | '/' | '\\') || part.is_control());
    let is_invisible = matches!(
        u32::from(c),
        0x80..=0x9f | 0xad | 0x034f | 0x061c | 0x180e | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f
            | 0xe000..=0xf8ff | 0xfeff | 0xfff0..=0xffff | 0xe0000..=0x10_ffff
    );
    // Signs that are drawn as a slash or a backslash.
    let is_slash =
        matches!(c, '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29f8}' | '\u{29f5}' | '\u{2571}' | '\u{2572}');
    !is_structure && !is_invisible && !is_slash
}

/// A segment that leads to its own or a higher folder, for programs that cut off what stands around the dots.
fn is_way_up(segment: &str) -> bool {
    let bare = segment.trim_matches(' ');
    !bare.is_empty() && bare.chars().all(|c| c == '.') || segment.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_key(text: &str) -> bool {
        ObjectKey::parse(text, Alphabet::Ascii).is_ok()
    }

    #[test]
    fn a_key_has_the_characters_of_the_contract() {
        for key in ["a.txt", "folder/sub/a b (1).png", "!-.*'() &$@=;:+,?_/x", "..a/b..", "a.b/..c"] {
            assert!(is_key(key), "{key}");
        }
        for key in [
            "", "ä.txt", "a\\b", "a%b", "a#b", "a\0b", "a\nb", "a\"b", "a<b>", "[x]", "{x}", "~", "a^b", "`",
            "a|b",
        ] {
            assert!(!is_key(key), "{key:?}");
        }
        assert!(is_key(&"a".repeat(LONGEST_KEY)) && !is_key(&"a".repeat(LONGEST_KEY + 1)));
    }

    #[test]
    fn no_key_leads_out_of_its_folder() {
        for key in [
            "..", ".", "../a", "a/..", "a/../b", "a/./b", "/a", "a/", "a//b", "....//a", "a/.../b",
            "a/ .. /b", "a/ /b",
        ] {
            assert!(!is_key(key), "{key:?}");
        }
    }

    #[test]
    fn names_of_other_scripts_are_for_those_who_ask_for_them() {
        let decomposed = ObjectKey::parse("u\u{308}ber/文件.txt", Alphabet::Unicode).unwrap();
        assert_eq!(decomposed.as_str(), "\u{fc}ber/文件.txt");
        for key in [
            "a\u{ff0e}\u{ff0e}/b",
            "\u{2024}\u{2024}/a",
            "a\u{2215}b",
            "a\u{200b}b",
            "a\u{202e}b",
            "\u{ff0f}a",
            "a\u{85}",
        ] {
            assert!(ObjectKey::parse(key, Alphabet::Unicode).is_err(), "{key:?}");
        }
    }

    #[test]
    fn a_bucket_has_a_short_name_without_slashes() {
        for name in ["avatars", "My bucket (2)", "a.b"] {
            assert!(BucketName::parse(name).is_ok(), "{name}");
        }
        for name in ["", " a", "a ", "a/b", "..", ".", "ä", &"a".repeat(101)] {
            assert!(BucketName::parse(name).is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_taken_stays_in_its_folder(text in "\\PC{0,40}") {
            if let Ok(key) = ObjectKey::parse(&text, Alphabet::Unicode) {
                let path = std::path::Path::new(key.as_str());
                let all_normal = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert!(all_normal && !key.as_str().contains('\\'));
                prop_assert_eq!(ObjectKey::parse(key.as_str(), Alphabet::Unicode), Ok(key));
            }
        }
    }
}
