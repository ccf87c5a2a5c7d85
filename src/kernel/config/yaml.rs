//! The YAML file: its values, and the line on which each key stands. It knows nothing of which keys exist.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use serde_saphyr::granit_parser::{Event, Parser};

use super::error::ConfigError;

/// A parsed file.
pub(super) struct Document {
    /// The values; an object, or null for an empty file.
    pub(super) root: Value,
    /// Line of every key by its path.
    lines: HashMap<Vec<String>, usize>,
}

impl Document {
    /// The line of a key; of the nearest enclosing one where it came by an alias.
    pub(super) fn line(&self, path: &[String]) -> usize {
        (0..=path.len()).rev().find_map(|end| self.lines.get(&path[..end])).copied().unwrap_or(1)
    }
}

/// Parses the text of a file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Document, ConfigError> {
    let root = serde_saphyr::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |location| usize::try_from(location.line()).unwrap_or(1));
        let reason = error.without_snippet().to_string();
        let reason = reason.lines().next().unwrap_or("not valid YAML").to_owned();
        ConfigError::Syntax { path: path.to_owned(), line: line.max(1), reason }
    })?;
    Ok(Document { root, lines: key_lines(text) })
}

/// What the walk over the events is inside of.
enum Inside {
    /// A mapping; holds the key whose value comes next.
    Mapping(Option<String>),
    /// A sequence.
    Sequence,
}

/// Lines of all keys of nested mappings. A text that does not parse gives the lines up to there.
fn key_lines(text: &str) -> HashMap<Vec<String>, usize> {
    let mut lines = HashMap::new();
    let mut stack: Vec<Inside> = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, span))) = parser.next_event() {
        match event {
            Event::MappingStart(..) => stack.push(Inside::Mapping(None)),
            Event::SequenceStart(..) => stack.push(Inside::Sequence),
            Event::MappingEnd | Event::SequenceEnd => {
                stack.pop();
                value_done(&mut stack);
            }
            Event::Scalar(name, ..) => match stack.last_mut() {
                Some(Inside::Mapping(key @ None)) => {
                    *key = Some(name.into_owned());
                    if let Some(path) = current_path(&stack) {
                        lines.entry(path).or_insert(span.start.line());
                    }
                }
                _ => value_done(&mut stack),
            },
            Event::Alias(_) => value_done(&mut stack),
            _ => {}
        }
    }
    lines
}

/// After a value the next scalar of a mapping is a key again.
fn value_done(stack: &mut [Inside]) {
    if let Some(Inside::Mapping(key)) = stack.last_mut() {
        *key = None;
    }
}

/// The keys that lead here; none inside a sequence, whose items have no key.
fn current_path(stack: &[Inside]) -> Option<Vec<String>> {
    stack
        .iter()
        .map(|level| match level {
            Inside::Mapping(key) => key.clone(),
            Inside::Sequence => None,
        })
        .collect()
}
