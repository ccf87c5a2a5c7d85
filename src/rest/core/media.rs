//! Media types: reading `Accept` and `Content-Type`, and rendering them back.
//!
//! Owns the types that the REST service knows by name, the vendored `application/vnd.pgrst.*` family among them, and
//! the order in which a client accepts them. Which type a relation can produce is decided in planning, not here.

/// A media type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MediaType {
    /// `application/json`
    Json,
    /// `application/geo+json`
    GeoJson,
    /// `text/csv`
    Csv,
    /// `text/plain`
    PlainText,
    /// `text/xml`
    Xml,
    /// `application/openapi+json`
    OpenApi,
    /// `application/x-www-form-urlencoded`
    UrlEncoded,
    /// `application/octet-stream`
    OctetStream,
    /// `application/x-ndjson`: one JSON object per line; ours, not PostgREST's.
    NdJson,
    /// `*/*`
    Any,
    /// Anything else, as sent.
    Other(String),
    /// `application/vnd.pgrst.array+json;nulls=stripped`
    ArrayStripped,
    /// `application/vnd.pgrst.object+json`: exactly one row.
    Singular {
        /// With `nulls=stripped`.
        nulls_stripped: bool,
    },
    /// `application/vnd.pgrst.plan+json` or `+text`: how PostgreSQL would run the query.
    Plan(Box<PlanMedia>),
}

/// An execution plan as a media type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlanMedia {
    /// The media type whose query is explained.
    pub of: MediaType,
    /// How the plan is written.
    pub format: PlanFormat,
    /// What `EXPLAIN` is asked for, in the order of [`PlanOption::ALL`].
    pub options: Vec<PlanOption>,
}

/// How a plan is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanFormat {
    /// `+json`
    Json,
    /// `+text`
    Text,
}

/// An option of `EXPLAIN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PlanOption {
    /// `analyze`
    Analyze,
    /// `verbose`
    Verbose,
    /// `settings`
    Settings,
    /// `buffers`
    Buffers,
    /// `wal`
    Wal,
}

impl PlanOption {
    /// All options in the order in which they are rendered.
    pub const ALL: [Self; 5] = [Self::Analyze, Self::Verbose, Self::Settings, Self::Buffers, Self::Wal];

    /// As spelled in `options=`.
    pub fn wire(self) -> &'static str {
        match self {
            Self::Analyze => "analyze",
            Self::Verbose => "verbose",
            Self::Settings => "settings",
            Self::Buffers => "buffers",
            Self::Wal => "wal",
        }
    }
}

/// How deep `for="...for=..."` may nest; a plan of a plan means nothing.
const MAX_PLAN_DEPTH: usize = 4;

impl MediaType {
    /// Reads a media type with its parameters. Nothing is an error: what is not known is [`MediaType::Other`].
    pub fn parse(text: &str) -> Self {
        Self::parse_nested(text, MAX_PLAN_DEPTH)
    }

    fn parse_nested(text: &str, depth: usize) -> Self {
        let Some(tokens) = tokenize(text) else { return Self::Other(text.to_owned()) };
        let main = tokens.main.to_ascii_lowercase();
        let sub = tokens.sub.to_ascii_lowercase();
        let nulls_stripped = tokens.param("nulls") == Some("stripped");
        match (main.as_str(), sub.as_str()) {
            ("application", "vnd.pgrst.array+json" | "vnd.pgrst.array") if nulls_stripped => {
                Self::ArrayStripped
            }
            ("application", "json" | "vnd.pgrst.array+json" | "vnd.pgrst.array") => Self::Json,
            ("application", "geo+json") => Self::GeoJson,
            ("text", "csv") => Self::Csv,
            ("text", "plain") => Self::PlainText,
            ("text", "xml") => Self::Xml,
            ("application", "openapi+json") => Self::OpenApi,
            ("application", "x-www-form-urlencoded") => Self::UrlEncoded,
            ("application", "octet-stream") => Self::OctetStream,
            ("application", "x-ndjson") => Self::NdJson,
            ("application", "vnd.pgrst.object+json" | "vnd.pgrst.object") => {
                Self::Singular { nulls_stripped }
            }
            ("application", "vnd.pgrst.plan" | "vnd.pgrst.plan+text") if depth > 0 => {
                tokens.plan(PlanFormat::Text, depth)
            }
            ("application", "vnd.pgrst.plan+json") if depth > 0 => tokens.plan(PlanFormat::Json, depth),
            ("*", "*") => Self::Any,
            _ => Self::Other(text.to_owned()),
        }
    }

    /// The media type as text, without a charset.
    pub fn to_mime(&self) -> String {
        match self {
            Self::Json => "application/json".to_owned(),
            Self::GeoJson => "application/geo+json".to_owned(),
            Self::Csv => "text/csv".to_owned(),
            Self::PlainText => "text/plain".to_owned(),
            Self::Xml => "text/xml".to_owned(),
            Self::OpenApi => "application/openapi+json".to_owned(),
            Self::UrlEncoded => "application/x-www-form-urlencoded".to_owned(),
            Self::OctetStream => "application/octet-stream".to_owned(),
            Self::NdJson => "application/x-ndjson".to_owned(),
            Self::Any => "*/*".to_owned(),
            Self::Other(text) => text.clone(),
            Self::ArrayStripped => "application/vnd.pgrst.array+json;nulls=stripped".to_owned(),
            Self::Singular { nulls_stripped: true } => {
                "application/vnd.pgrst.object+json;nulls=stripped".to_owned()
            }
            Self::Singular { nulls_stripped: false } => "application/vnd.pgrst.object+json".to_owned(),
            Self::Plan(plan) => plan.to_mime(),
        }
    }

    /// The value of `Content-Type`: bytes and unknown types go without a charset.
    pub fn to_content_type(&self) -> String {
        let mime = self.to_mime();
        match self {
            Self::OctetStream | Self::Other(_) => mime,
            _ => mime + "; charset=utf-8",
        }
    }
}

impl PlanMedia {
    fn to_mime(&self) -> String {
        let format = match self.format {
            PlanFormat::Json => "json",
            PlanFormat::Text => "text",
        };
        let mut mime = format!("application/vnd.pgrst.plan+{format}; for=\"{}\"", self.of.to_mime());
        if !self.options.is_empty() {
            let options: Vec<&str> = self.options.iter().map(|option| option.wire()).collect();
            mime.push_str("; options=");
            mime.push_str(&options.join("|"));
        }
        mime
    }
}

/// Reads an `Accept` header: the media types with the best first.
///
/// Sorted by `q`, then by how specific the type is (parameters raise it, wildcards lower it), then as sent. Parameters
/// behind `q` are dropped, and so is every blank. `q=0` does not exclude, as in PostgREST.
pub fn parse_accept(header: &str) -> Vec<MediaType> {
    let mut ranked: Vec<(f64, i64, MediaType)> = header
        .split(',')
        .map(|part| {
            let squeezed: String = part.chars().filter(|character| *character != ' ').collect();
            let (media, quality) = squeezed.split_once(";q=").unwrap_or((&squeezed, ""));
            let quality = quality.split(';').next().unwrap_or_default();
            let specificity = count(media, b';') - count(media, b'*');
            (parse_quality(quality), specificity, MediaType::parse(media))
        })
        .collect();
    ranked.sort_by(|one, two| two.0.total_cmp(&one.0).then(two.1.cmp(&one.1)));
    ranked.into_iter().map(|(_, _, media)| media).collect()
}

fn count(text: &str, wanted: u8) -> i64 {
    text.bytes().fold(0, |count, byte| count + i64::from(byte == wanted))
}

/// A number with digits on both sides of the point; anything else counts as 1.
fn parse_quality(text: &str) -> f64 {
    let shaped = text.starts_with(|first: char| first.is_ascii_digit()) && !text.ends_with('.');
    let number = if shaped { text.parse().ok() } else { None };
    number.filter(|quality: &f64| quality.is_finite()).unwrap_or(1.0)
}

struct Tokens<'a> {
    main: &'a str,
    sub: &'a str,
    params: Vec<(String, &'a str)>,
}

impl Tokens<'_> {
    fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    fn plan(&self, format: PlanFormat, depth: usize) -> MediaType {
        let of = MediaType::parse_nested(self.param("for").unwrap_or("application/json"), depth - 1);
        let asked: Vec<&str> = self.param("options").unwrap_or_default().split('|').collect();
        let options = PlanOption::ALL.into_iter().filter(|option| asked.contains(&option.wire())).collect();
        MediaType::Plan(Box::new(PlanMedia { of, format, options }))
    }
}

/// Splits `main/sub;name=value;name="value"`. Parameters end at the first that is malformed.
fn tokenize(text: &str) -> Option<Tokens<'_>> {
    let (main, rest) = split_while(text, |it| it.is_alphanumeric() || ".*".contains(it));
    let (sub, mut rest) =
        split_while(rest.strip_prefix('/')?, |it| it.is_alphanumeric() || ".*+-".contains(it));
    if main.is_empty() || sub.is_empty() {
        return None;
    }
    let mut params = Vec::new();
    while let Some((name, value, behind)) = tokenize_param(rest) {
        params.push((name.to_ascii_lowercase(), value));
        rest = behind;
    }
    Some(Tokens { main, sub, params })
}

fn tokenize_param(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start().strip_prefix(';')?.trim_start();
    let (name, rest) = split_while(text, |it| it.is_alphanumeric() || it == '-');
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if name.is_empty() {
        return None;
    }
    if let Some(quoted) = rest.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"')?;
        return Some((name, value, rest));
    }
    let (value, rest) = split_while(rest, |it| it.is_alphanumeric() || "|-".contains(it));
    (!value.is_empty()).then_some((name, value, rest))
}

fn split_while(text: &str, accept: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|character| !accept(character)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(of: MediaType, format: PlanFormat, options: &[PlanOption]) -> MediaType {
        MediaType::Plan(Box::new(PlanMedia { of, format, options: options.to_vec() }))
    }

    #[test]
    fn media_types_are_known_by_name_whatever_their_case_and_parameters() {
        for (text, expected) in [
            ("application/json", MediaType::Json),
            ("application/json; charset=utf-8", MediaType::Json),
            ("APPLICATION/Json", MediaType::Json),
            ("application/geo+json", MediaType::GeoJson),
            ("text/csv;header=present", MediaType::Csv),
            ("text/plain", MediaType::PlainText),
            ("text/xml", MediaType::Xml),
            ("application/openapi+json", MediaType::OpenApi),
            ("application/x-www-form-urlencoded", MediaType::UrlEncoded),
            ("application/octet-stream", MediaType::OctetStream),
            ("application/x-ndjson", MediaType::NdJson),
            ("*/*", MediaType::Any),
            ("application/*", MediaType::Other("application/*".to_owned())),
            ("application/vnd.twkb", MediaType::Other("application/vnd.twkb".to_owned())),
            ("x-custom/thing", MediaType::Other("x-custom/thing".to_owned())),
            ("", MediaType::Other(String::new())),
            ("json", MediaType::Other("json".to_owned())),
        ] {
            assert_eq!(MediaType::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn vendored_types_read_their_parameters() {
        for (text, expected) in [
            ("application/vnd.pgrst.object+json", MediaType::Singular { nulls_stripped: false }),
            ("ApplicatIon/vnd.PgRsT.object", MediaType::Singular { nulls_stripped: false }),
            (
                "application/vnd.pgrst.object+json;NULLS=stripped",
                MediaType::Singular { nulls_stripped: true },
            ),
            ("application/vnd.pgrst.array+json;nulls=stripped", MediaType::ArrayStripped),
            ("application/vnd.pgrst.array", MediaType::Json),
            ("application/vnd.pgrst.plan;", plan(MediaType::Json, PlanFormat::Text, &[])),
            (
                "application/vnd.pgrst.plan ; for=\"text/xml\" ; options=analyze",
                plan(MediaType::Xml, PlanFormat::Text, &[PlanOption::Analyze]),
            ),
            (
                "application/vnd.pgrst.plan+json;for=\"text/csv\";options=wal|verbose|nonsense",
                plan(MediaType::Csv, PlanFormat::Json, &[PlanOption::Verbose, PlanOption::Wal]),
            ),
        ] {
            assert_eq!(MediaType::parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn plans_of_plans_end_somewhere() {
        let mut text = "text/csv".to_owned();
        for _ in 0..1_000 {
            text = format!("application/vnd.pgrst.plan;for=\"{text}\"");
        }
        assert!(matches!(MediaType::parse(&text), MediaType::Plan(_)));
    }

    #[test]
    fn content_types_carry_a_charset_where_text_is_certain() {
        for (media, expected) in [
            (MediaType::Json, "application/json; charset=utf-8"),
            (MediaType::OctetStream, "application/octet-stream"),
            (MediaType::Other("image/png".to_owned()), "image/png"),
            (MediaType::ArrayStripped, "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8"),
            (
                plan(MediaType::Json, PlanFormat::Text, &[PlanOption::Analyze, PlanOption::Buffers]),
                "application/vnd.pgrst.plan+text; for=\"application/json\"; options=analyze|buffers; charset=utf-8",
            ),
        ] {
            assert_eq!(media.to_content_type(), expected);
        }
    }

    #[test]
    fn accept_is_sorted_by_quality_then_by_how_specific_a_type_is() {
        for (header, expected) in [
            ("text/csv, application/json", vec![MediaType::Csv, MediaType::Json]),
            ("text/csv;q=0.5, application/json;q=0.8", vec![MediaType::Json, MediaType::Csv]),
            ("*/*, text/csv", vec![MediaType::Csv, MediaType::Any]),
            ("text/csv; q=.9, text/xml;q=0.99", vec![MediaType::Csv, MediaType::Xml]),
            ("text/csv;q=nonsense, text/xml;q=0.5;charset=utf-8", vec![MediaType::Csv, MediaType::Xml]),
            (
                "application/json, application/vnd.pgrst.object+json;nulls=stripped",
                vec![MediaType::Singular { nulls_stripped: true }, MediaType::Json],
            ),
        ] {
            assert_eq!(parse_accept(header), expected, "{header:?}");
        }
    }

    #[test]
    fn every_known_type_survives_rendering_and_reading() {
        for media in [
            MediaType::Json,
            MediaType::NdJson,
            MediaType::ArrayStripped,
            MediaType::Singular { nulls_stripped: true },
            plan(MediaType::Csv, PlanFormat::Json, &PlanOption::ALL),
        ] {
            assert_eq!(MediaType::parse(&media.to_content_type()), media);
        }
    }
}
