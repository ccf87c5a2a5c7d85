//! The leaf types of the configuration: durations and sizes as people write them, and what the loader must
//! know of the plain types. Parsing here is pure and gives one clear sentence when it fails.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::schema::{ConfigType, KeyInfo, Shape};
use crate::kernel::secret::Secret;

/// A duration, written `500ms`, `10s`, `5m`, `2h` or `1d`. Dereferences to [`Duration`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(Duration);

impl TimeSpan {
    /// So many milliseconds.
    pub const fn millis(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// So many seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// The duration itself.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Deref for TimeSpan {
    type Target = Duration;

    fn deref(&self) -> &Duration {
        &self.0
    }
}

const SPAN_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, unit) = split_number(text);
        let scale = SPAN_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
        count
            .zip(scale)
            .and_then(|(count, scale)| count.checked_mul(scale))
            .map(Self::millis)
            .ok_or_else(|| "expected a duration like 500ms, 10s, 5m or 2h".to_owned())
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (name, scale) = SPAN_UNITS
            .into_iter()
            .find(|(_, scale)| millis != 0 && millis.is_multiple_of(u128::from(*scale)))
            .unwrap_or(("s", 1_000));
        write!(f, "{}{name}", millis / u128::from(scale))
    }
}

/// A number of bytes, written `1MiB`, `64KB`, `256MB` or as a plain number. `KB`, `KiB` and `K` all mean 1,024
/// bytes, and so on, as in PostgreSQL's own settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// So many times 1,024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// So many times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; the largest possible one where it does not fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

const SIZE_UNITS: [(&str, u64); 4] = [("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, unit) = split_number(text);
        let scale = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => Some(1),
            "k" | "kb" | "kib" => Some(1 << 10),
            "m" | "mb" | "mib" => Some(1 << 20),
            "g" | "gb" | "gib" => Some(1_u64 << 30),
            _ => None,
        };
        count
            .zip(scale)
            .and_then(|(count, scale)| count.checked_mul(scale))
            .map(Self)
            .ok_or_else(|| "expected a size like 64KB, 1MiB or 2GB".to_owned())
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, scale) = SIZE_UNITS
            .into_iter()
            .find(|(_, scale)| self.0 != 0 && self.0.is_multiple_of(*scale))
            .unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / scale)
    }
}

/// The mode of a file, written in octal as `660`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileMode(u32);

impl FileMode {
    /// The mode with these bits.
    pub const fn octal(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for FileMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|bits| *bits <= 0o777)
            .map(Self)
            .ok_or_else(|| "expected an octal file mode like 660".to_owned())
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o}", self.0)
    }
}

/// The default of a setting of the user's own making, which gives the setting its type. A text that is JSON is read as such,
/// since that is how it comes from the environment: the text `5` is written `'"5"'`.
#[derive(Debug, Clone, PartialEq)]
pub struct SettingDefault(Value);

impl SettingDefault {
    /// The value.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// Whether a value is of the setting's type. Without a default it may be any.
    pub fn fits(&self, value: &Value) -> bool {
        self.0.is_null() || std::mem::discriminant(&self.0) == std::mem::discriminant(value)
    }

    /// The type in words, with an article.
    pub fn kind(&self) -> &'static str {
        match self.0 {
            Value::Null => "any value",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

impl Serialize for SettingDefault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Value::String(text) if serde_json::from_str::<Value>(text).is_ok() => {
                serializer.collect_str(&self.0)
            }
            value => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for SettingDefault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
            other => other,
        }))
    }
}

/// Splits `10ms` into 10 and `ms`; the number is absent if there is none or it is too large.
fn split_number(text: &str) -> (Option<u64>, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (text[..end].parse().ok(), text[end..].trim_start())
}

/// Text or a number in the file, for types that are written with a unit.
struct Written;

impl serde::de::Visitor<'_> for Written {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

macro_rules! written_as_text {
    ($type:ty, $kind:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Written)?.parse().map_err(serde::de::Error::custom)
            }
        }

        ordered_leaf!($type, $kind, Shape::Text);
    };
}

macro_rules! ordered_leaf {
    ($type:ty, $kind:literal, $shape:expr) => {
        impl ConfigType for $type {
            type Bound = $type;

            fn kind() -> String {
                $kind.to_owned()
            }

            fn shape() -> Shape {
                $shape
            }

            fn outside(&self, low: &$type, high: &$type) -> bool {
                self < low || self > high
            }
        }
    };
}

macro_rules! plain_leaf {
    ($type:ty, $kind:literal, $shape:expr) => {
        impl ConfigType for $type {
            type Bound = ();

            fn kind() -> String {
                $kind.to_owned()
            }

            fn shape() -> Shape {
                $shape
            }
        }
    };
}

written_as_text!(TimeSpan, "duration");
written_as_text!(ByteSize, "size");
written_as_text!(FileMode, "octal file mode");
ordered_leaf!(u16, "integer", Shape::Integer);
ordered_leaf!(u32, "integer", Shape::Integer);
ordered_leaf!(u64, "integer", Shape::Integer);
ordered_leaf!(usize, "integer", Shape::Integer);
plain_leaf!(bool, "true or false", Shape::Switch);
plain_leaf!(String, "text", Shape::Text);
plain_leaf!(SettingDefault, "JSON or a text", Shape::Text);
plain_leaf!(Secret, "secret", Shape::Secret);
plain_leaf!(std::path::PathBuf, "path", Shape::Text);
plain_leaf!(ipnet::IpNet, "network", Shape::Text);
plain_leaf!(std::net::IpAddr, "IP address", Shape::Text);

impl<T: ConfigType> ConfigType for Vec<T> {
    type Bound = ();

    fn kind() -> String {
        format!("list of {}", T::kind())
    }

    fn shape() -> Shape {
        Shape::List
    }
}

impl<T: ConfigType> ConfigType for BTreeMap<String, T> {
    type Bound = ();

    fn kind() -> String {
        format!("names with {}", T::kind())
    }

    fn shape() -> Shape {
        Shape::Map
    }
}

impl<T: ConfigType> ConfigType for Option<T> {
    type Bound = T::Bound;

    const OPTIONAL: bool = true;

    fn kind() -> String {
        T::kind()
    }

    fn shape() -> Shape {
        T::shape()
    }

    fn describe(info: KeyInfo, keys: &mut Vec<KeyInfo>) {
        T::describe(info, keys);
    }

    fn outside(&self, low: &T::Bound, high: &T::Bound) -> bool {
        self.as_ref().is_some_and(|value| value.outside(low, high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit_and_written_back_the_same() {
        for text in ["500ms", "10s", "5m", "2h", "1d", "0s"] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(span.to_string(), text);
        }
        assert_eq!("1500ms".parse::<TimeSpan>().unwrap().get(), Duration::from_millis(1500));
        for text in
            ["", "10", "s", "10 parsecs", "-1s", "1.5s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }

    #[test]
    fn defaults_of_settings_are_json_or_plain_texts_and_written_back_the_same() {
        for (written, value) in [
            (Value::from("light"), Value::from("light")),
            (Value::from("12"), Value::from(12)),
            (Value::from("true"), Value::from(true)),
            (Value::from("\"5\""), Value::from("5")),
            (serde_json::json!({"a": [1]}), serde_json::json!({"a": [1]})),
        ] {
            let default: SettingDefault = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(default.value(), &value, "{written}");
            let again = serde_json::to_value(&default).unwrap();
            assert_eq!(serde_json::from_value::<SettingDefault>(again).unwrap(), default, "{written}");
        }
    }

    #[test]
    fn file_modes_are_octal() {
        for text in ["600", "660", "777"] {
            assert_eq!(text.parse::<FileMode>().unwrap().to_string(), text);
        }
        assert_eq!("0660".parse::<FileMode>().unwrap().bits(), 0o660);
        for text in ["", "8", "1777", "rw", "-1"] {
            assert!(text.parse::<FileMode>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_any_usual_unit() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("64KB", 65536), ("64 KiB", 65536), ("1MiB", 1 << 20), ("2g", 2 << 30)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap().get(), bytes, "{text}");
        }
        assert_eq!(ByteSize::mib(1).to_string(), "1MB");
        assert_eq!(ByteSize::bytes(1500).to_string(), "1500B");
        for text in ["", "MB", "1TBB", "-1", "1.5MB", "99999999999GB0"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
