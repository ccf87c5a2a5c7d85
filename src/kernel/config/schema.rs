//! How a section of the configuration is declared: one macro gives the struct, its defaults, and the list of
//! its keys with type, range, default and documentation, which the loader, `config print` and the reference use.
//! It knows nothing of files, environment or any particular section.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What is known of one key of the configuration.
#[derive(Debug, Clone)]
pub struct KeyInfo {
    /// Dotted path, as in `server.port`.
    pub path: String,
    /// Type in words, as in `integer` or `one of commit, rollback`.
    pub kind: String,
    /// Shape of the value, which decides how text from the environment is read.
    pub shape: Shape,
    /// Whether the value may be absent (`null`).
    pub optional: bool,
    /// Whether a value is of the right type and in range.
    pub accepts: fn(&Value) -> bool,
    /// What the key is for; paragraphs are separated by newlines.
    pub doc: &'static str,
    /// Value when nothing is set.
    pub default: Value,
    /// Value when nothing is set and `rest.profile` is `postgrest`, where it differs.
    pub profile_default: Option<Value>,
    /// Name of PostgREST's parameter that means the same.
    pub postgrest: Option<&'static str>,
    /// Smallest and largest value in words.
    pub range: Option<String>,
}

impl KeyInfo {
    /// Whether the value is a secret, or a list of them.
    pub(super) fn is_secret(&self) -> bool {
        self.shape == Shape::Secret || self.kind == "list of secret"
    }

    /// Name of the environment variable: `GOFORWARD_SERVER__PORT` for `server.port`.
    pub fn environment_variable(&self) -> String {
        format!("GOFORWARD_{}", self.path.replace('.', "__").to_uppercase())
    }
}

/// How a value looks, as far as reading it from plain text needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Text, also durations, sizes and choices.
    Text,
    /// Text that is never shown.
    Secret,
    /// A whole number.
    Integer,
    /// true or false.
    Switch,
    /// A list of texts; comma-separated in the environment.
    List,
    /// Names and values of the user's own; JSON in the environment, or one variable per name.
    Map,
    /// No value, but keys of its own.
    Section,
}

/// A type that can stand behind a key: a leaf, or a section that has keys of its own.
pub(super) trait ConfigType: Serialize + DeserializeOwned + Sized {
    /// What a range of this type is made of.
    type Bound;

    /// Type in words.
    fn kind() -> String;

    /// Shape of the value.
    fn shape() -> Shape;

    /// Whether the value may be absent.
    const OPTIONAL: bool = false;

    /// Adds the keys at `info.path`: itself for a leaf, its fields for a section.
    fn describe(info: KeyInfo, keys: &mut Vec<KeyInfo>) {
        keys.push(info);
    }

    /// Whether the value is outside of the bounds; types without an order never are.
    fn outside(&self, _low: &Self::Bound, _high: &Self::Bound) -> bool {
        false
    }
}

/// Joins the path of a section and the name of a key.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Declares a section: `name: Type = default`, then optionally `in low, high` (its range), `as "parameter"`
/// (PostgREST's name) and `profile value` (the default under `rest.profile: postgrest`).
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        pub struct $section:ident {
            $(
                $(#[doc = $doc:literal])*
                pub $key:ident : $type:ty = $default:expr
                    $(, in $low:expr, $high:expr)?
                    $(, as $postgrest:literal)?
                    $(, profile $profile:expr)?
                ;
            )*
        }
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $section {
            $(
                $(#[doc = $doc])*
                pub $key: $type,
            )*
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $crate::kernel::config::schema::ConfigType for $section {
            type Bound = ();

            fn kind() -> String {
                "section".to_owned()
            }

            fn shape() -> $crate::kernel::config::schema::Shape {
                $crate::kernel::config::schema::Shape::Section
            }

            fn describe(
                info: $crate::kernel::config::schema::KeyInfo,
                keys: &mut Vec<$crate::kernel::config::schema::KeyInfo>,
            ) {
                use $crate::kernel::config::schema::{ConfigType, KeyInfo, join, json, read};
                let defaults = Self::default();
                if !info.path.is_empty() {
                    keys.push(info.clone());
                }
                $(
                    <$type as ConfigType>::describe(
                        KeyInfo {
                            path: join(&info.path, stringify!($key)),
                            kind: <$type as ConfigType>::kind(),
                            shape: <$type as ConfigType>::shape(),
                            optional: <$type as ConfigType>::OPTIONAL,
                            accepts: |value| {
                                read::<$type>(value).is_some_and(|_value| section!(@within _value $(, $low, $high)?))
                            },
                            doc: concat!($($doc, "\n",)*),
                            default: json(&defaults.$key),
                            profile_default: section!(@profile $type $(, $profile)?),
                            postgrest: section!(@postgrest $($postgrest)?),
                            range: section!(@range $($low, $high)?),
                        },
                        keys,
                    );
                )*
            }
        }
    };
    (@profile $type:ty) => { None };
    (@profile $type:ty, $profile:expr) => {{
        let value: $type = $profile;
        Some(json(&value))
    }};
    (@postgrest) => { None };
    (@postgrest $name:literal) => { Some($name) };
    (@range) => { None };
    (@range $low:expr, $high:expr) => { Some(format!("{} to {}", $low, $high)) };
    (@within $value:ident) => { true };
    (@within $value:ident, $low:expr, $high:expr) => { !ConfigType::outside(&$value, &$low, &$high) };
}

/// Declares an enum whose values are written as words in the configuration; the first word is the default.
macro_rules! choice {
    (
        $(#[doc = $choice_doc:literal])*
        pub enum $choice:ident {
            $( $(#[doc = $doc:literal])* $variant:ident = $word:literal, )*
        }
    ) => {
        $(#[doc = $choice_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $choice {
            $( $(#[doc = $doc])* #[serde(rename = $word)] $variant, )*
        }

        impl $choice {
            /// The words that stand for the values.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word that stands for this value.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $choice {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $choice {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(format!("expected one of {}", Self::WORDS.join(", "))),
                }
            }
        }

        impl $crate::kernel::config::schema::ConfigType for $choice {
            type Bound = ();

            fn kind() -> String {
                format!("one of {}", Self::WORDS.join(", "))
            }

            fn shape() -> $crate::kernel::config::schema::Shape {
                $crate::kernel::config::schema::Shape::Text
            }
        }
    };
}

pub(crate) use {choice, section};

/// The value as JSON; configuration types always have a JSON form.
pub(super) fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// The value of a JSON form, if it is one.
pub(super) fn read<T: DeserializeOwned>(value: &Value) -> Option<T> {
    T::deserialize(value).ok()
}
