//! One log line per event, as JSON or as text. Every line carries a `kind`; fields of the enclosing spans are
//! added; control characters are escaped, so that nobody can forge a line; fields that are named like secrets
//! are masked, and long texts are cut.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::kernel::clock::Clock;

/// The kinds of lines. Say `kind = "access"` on an event; without it a line is `error` or `app` by its level.
pub const KINDS: [&str; 5] = ["app", "access", "error", "audit", "security"];

/// Longest text of one field, in bytes.
const LONGEST_TEXT: usize = 4096;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// One JSON object.
    Json,
    /// Text for people.
    Human,
}

/// Writes a line for each event.
#[derive(Debug)]
pub struct LineLayer<W> {
    format: LineFormat,
    clock: Clock,
    writer: W,
}

impl<W> LineLayer<W> {
    /// Lines of this format, stamped by this clock, to this writer.
    pub fn new(format: LineFormat, clock: Clock, writer: W) -> Self {
        Self { format, clock, writer }
    }
}

/// The fields of a span as they will stand in a line.
struct SpanFields(String);

impl<S, W> Layer<S> for LineLayer<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::new(self.format, String::new());
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanFields(fields.text));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        if let Some(SpanFields(text)) = extensions.get_mut::<SpanFields>() {
            let mut fields = Fields::new(self.format, std::mem::take(text));
            values.record(&mut fields);
            *text = fields.text;
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        thread_local! {
            static BUFFERS: Cell<(String, String)> = const { Cell::new((String::new(), String::new())) };
        }
        // A value whose Debug logs would come here again: that inner event finds empty buffers and is fine.
        let (mut text, mut line) = BUFFERS.take();
        text.clear();
        line.clear();
        let mut fields = Fields::new(self.format, text);
        event.record(&mut fields);
        if let Some(scope) = context.event_scope(event) {
            for span in scope {
                if let Some(SpanFields(text)) = span.extensions().get::<SpanFields>() {
                    fields.text.push_str(text);
                }
            }
        }
        self.put_together(&mut line, event, &fields);
        // Nobody can be told that the log itself cannot be written.
        let _ = self.writer.make_writer().write_all(line.as_bytes());
        BUFFERS.set((fields.text, line));
    }
}

impl<W> LineLayer<W> {
    /// Puts the line together from its fixed parts and the fields.
    fn put_together(&self, line: &mut String, event: &Event<'_>, fields: &Fields) {
        let metadata = event.metadata();
        let level = *metadata.level();
        let kind = fields.kind.unwrap_or(if level == Level::ERROR { "error" } else { "app" });
        let millis = self.clock.unix_millis();
        // Writing to a String cannot fail.
        let _ = match self.format {
            LineFormat::Json => {
                line.push_str("{\"timestamp\":\"");
                timestamp(line, millis);
                let _ = write!(line, "\",\"level\":\"{level}\",\"kind\":\"{kind}\",\"target\":");
                json_text(line, metadata.target());
                line.push_str(",\"message\":");
                json_text(line, &fields.message);
                writeln!(line, "{}}}", fields.text)
            }
            LineFormat::Human => {
                timestamp(line, millis);
                let _ = write!(line, " {level:5} {kind:8} {}: ", metadata.target());
                human_text(line, &fields.message);
                writeln!(line, "{}", fields.text)
            }
        };
    }
}

/// RFC 3339 in UTC with milliseconds. The part up to the second is the same for many lines and kept.
fn timestamp(line: &mut String, millis: i64) {
    thread_local! {
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let second = millis.div_euclid(1000);
    SECOND.with_borrow_mut(|(known, text)| {
        if *known != second {
            let time = chrono::DateTime::from_timestamp(second, 0).unwrap_or_default();
            *text = time.format("%Y-%m-%dT%H:%M:%S").to_string();
            *known = second;
        }
        line.push_str(text);
    });
    let _ = write!(line, ".{:03}Z", millis.rem_euclid(1000));
}

/// Collects the fields of an event or span.
struct Fields {
    format: LineFormat,
    kind: Option<&'static str>,
    message: String,
    text: String,
}

impl Fields {
    fn new(format: LineFormat, text: String) -> Self {
        Self { format, kind: None, message: String::new(), text }
    }

    fn name(&mut self, name: &str) {
        match self.format {
            LineFormat::Json => {
                self.text.push(',');
                json_text(&mut self.text, name);
                self.text.push(':');
            }
            LineFormat::Human => {
                self.text.push(' ');
                self.text.push_str(name);
                self.text.push('=');
            }
        }
    }

    /// A number or switch, which needs no quotes.
    fn plain(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field.name());
        let _ = write!(self.text, "{value}");
    }

    fn words(&mut self, field: &Field, value: &str) {
        let value = cut(value);
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            "kind" => self.kind = KINDS.into_iter().find(|kind| *kind == value),
            name => {
                let value = if is_secret(name) { "***" } else { value };
                self.name(name);
                match self.format {
                    LineFormat::Json => json_text(&mut self.text, value),
                    LineFormat::Human if value.contains([' ', '=', '"']) || value.is_empty() => {
                        let _ = write!(self.text, "\"{}\"", value.escape_debug());
                    }
                    LineFormat::Human => human_text(&mut self.text, value),
                }
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.words(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinities.
        if value.is_finite() { self.plain(field, value) } else { self.words(field, &value.to_string()) }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Bounded(String::new());
        // Stops with an error where the text is long enough.
        let _ = write!(text, "{value:?}");
        self.words(field, &text.0);
    }
}

/// A text that takes no more than a field may have.
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push_str(text);
        if self.0.len() > LONGEST_TEXT { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The text up to the length that a field may have.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT)]
}

/// Whether a field is named like something that must not be seen.
fn is_secret(name: &str) -> bool {
    const WHOLE: [&str; 7] = ["password", "secret", "token", "apikey", "api_key", "authorization", "cookie"];
    const ENDS: [&str; 5] = ["_password", "_secret", "_token", ".authorization", ".cookie"];
    WHOLE.contains(&name) || ENDS.iter().any(|end| name.ends_with(end))
}

/// A JSON string; also DEL and the C1 controls, which terminals act on, are escaped.
fn json_text(line: &mut String, text: &str) {
    line.push('"');
    for letter in text.chars() {
        match letter {
            '"' => line.push_str("\\\""),
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            letter if breaks_lines(letter) => {
                let _ = write!(line, "\\u{:04x}", u32::from(letter));
            }
            letter => line.push(letter),
        }
    }
    line.push('"');
}

/// Text with its control characters written out.
fn human_text(line: &mut String, text: &str) {
    for letter in text.chars() {
        if breaks_lines(letter) { line.extend(letter.escape_default()) } else { line.push(letter) }
    }
}

/// Controls, and the Unicode line and paragraph separators.
fn breaks_lines(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LineFormat, work: impl FnOnce()) -> Vec<String> {
        let memory = Memory::default();
        let writer = memory.clone();
        let layer = LineLayer::new(format, Clock::manual(1_700_000_000), move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    fn json(work: impl FnOnce()) -> serde_json::Value {
        let lines = logged(LineFormat::Json, work);
        assert_eq!(lines.len(), 1, "{lines:?}");
        serde_json::from_str(&lines[0]).unwrap()
    }

    #[test]
    fn every_line_has_time_level_kind_target_and_message() {
        let line = json(|| tracing::info!(target: "goforward::x", rows = 3, ok = true, name = "a", "done"));
        assert_eq!(
            line,
            serde_json::json!({
                "timestamp": "2023-11-14T22:13:20.000Z", "level": "INFO", "kind": "app", "target": "goforward::x",
                "message": "done", "rows": 3, "ok": true, "name": "a",
            })
        );
    }

    #[test]
    fn the_kind_is_the_one_given_or_follows_from_the_level() {
        assert_eq!(json(|| tracing::info!(kind = "access", "x"))["kind"], "access");
        assert_eq!(json(|| tracing::warn!(kind = "security", "x"))["kind"], "security");
        assert_eq!(json(|| tracing::error!("x"))["kind"], "error");
        assert_eq!(json(|| tracing::info!(kind = "made up", "x"))["kind"], "app");
    }

    #[test]
    fn fields_of_the_enclosing_spans_are_added() {
        let line = json(|| {
            let outer = tracing::info_span!("request", request_id = "r1", user = tracing::field::Empty);
            outer.record("user", 7);
            let _entered = outer.enter();
            tracing::info!("x");
        });
        assert_eq!((&line["request_id"], &line["user"]), (&"r1".into(), &7.into()));
    }

    #[test]
    fn nobody_can_forge_a_line_or_reach_the_terminal() {
        let evil = "a\r\n{\"level\":\"INFO\"}\u{1b}[31m\u{7f}\u{9b}\u{2028}\0";
        for format in [LineFormat::Json, LineFormat::Human] {
            let lines = logged(format, || tracing::info!(agent = evil, other = ?evil, "{evil}"));
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(!lines[0].contains(breaks_lines), "{lines:?}");
        }
        assert_eq!(json(|| tracing::info!(agent = evil, "x"))["agent"], evil);
    }

    #[test]
    fn fields_named_like_secrets_are_masked_and_long_texts_are_cut() {
        let long = "ä".repeat(100_000);
        let line = json(|| {
            tracing::info!(password = "p", access_token = "t", authorization = ?"b", long, other = ?long, "x");
        });
        for name in ["password", "access_token", "authorization"] {
            assert_eq!(line[name], "***");
        }
        assert!(line["long"].as_str().unwrap().len() <= LONGEST_TEXT);
        assert!(line["other"].as_str().unwrap().len() <= LONGEST_TEXT);
    }

    #[test]
    fn text_for_people_quotes_what_has_spaces() {
        let lines = logged(LineFormat::Human, || tracing::warn!(target: "t", path = "/a b", n = 1, "hello"));
        assert_eq!(lines, ["2023-11-14T22:13:20.000Z WARN  app      t: hello path=\"/a b\" n=1"]);
    }

    #[test]
    fn numbers_that_json_does_not_know_are_texts() {
        assert_eq!(json(|| tracing::info!(value = f64::NAN, "x"))["value"], "NaN");
    }
}
