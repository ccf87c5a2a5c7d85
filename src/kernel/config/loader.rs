//! Puts the sources over each other: defaults, profile, file, environment, flags, settings in the database.
//! Every value is checked where it was written, also one that another source overrides.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::error::{ConfigError, read_file};
use super::keys::{check, find, is_section, keys, unknown};
use super::schema::Shape;
use super::source::{Entry, Source};
use super::{Config, conf_file, environment, postgrest, yaml};

/// Collects sources; each one that is added later wins over those before.
#[derive(Debug, Default, Clone)]
pub struct Loader {
    entries: Vec<Entry>,
    warnings: Vec<String>,
}

/// A complete configuration with the origin of its values.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What was ignored, and other advice; one line each.
    pub warnings: Vec<String>,
    sources: BTreeMap<String, Source>,
    entries: Vec<Entry>,
}

impl Loader {
    /// No source yet: everything has its default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a YAML file.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = read_file(path)?;
        self.file_text(path, &text)
    }

    /// Adds the text of a YAML file; the path is for messages only.
    pub fn file_text(mut self, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let document = yaml::parse(path, text)?;
        let mut walk = Walk { path, document: &document, entries: &mut self.entries };
        walk.section(&mut Vec::new(), &document.root)?;
        Ok(self)
    }

    /// Adds environment variables: `GOFORWARD_SECTION__KEY`, `DATABASE_URL`, and `..._FILE` for secrets.
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (entries, warnings) = environment::read(variables)?;
        self.entries.extend(entries);
        self.warnings.extend(warnings);
        Ok(self)
    }

    /// Adds a file in the form of `postgrest.conf`. It also sets `rest.profile` to `postgrest`.
    pub fn postgrest_file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = read_file(path)?;
        self.postgrest_text(path, &text)
    }

    /// Adds the text of a file in the form of `postgrest.conf`; the path is for messages only.
    pub fn postgrest_text(mut self, path: &Path, text: &str) -> Result<Self, ConfigError> {
        self.entries.push(Entry {
            path: vec!["rest".to_owned(), "profile".to_owned()],
            value: Value::from("postgrest"),
            source: Source::File { path: path.to_owned(), line: 1 },
        });
        for setting in conf_file::parse(path, text)? {
            let place = Source::File { path: path.to_owned(), line: setting.line };
            match postgrest::translate(&setting.name, &setting.value, place)? {
                Some(entry) => self.entries.push(entry),
                None => self.warnings.push(format!(
                    "{}:{}: `{}` has no counterpart and is ignored",
                    path.display(),
                    setting.line,
                    setting.name
                )),
            }
        }
        Ok(self)
    }

    /// Adds one value of the command line.
    pub fn flag(self, flag: &str, key: &str, value: Value) -> Result<Self, ConfigError> {
        self.value(key, value, Source::Flag(flag.to_owned()))
    }

    /// Adds one value of the program that embeds goforward.
    pub fn set(self, key: &str, value: Value) -> Result<Self, ConfigError> {
        self.value(key, value, Source::Program)
    }

    /// Changes a default, for all sources to override: call it first.
    pub fn default_value(self, key: &str, value: Value) -> Result<Self, ConfigError> {
        self.value(key, value, Source::Profile)
    }

    /// Adds one value of the command line as text, read as from the environment; see `--set`.
    pub fn flag_text(self, flag: &str, key: &str, text: &str) -> Result<Self, ConfigError> {
        let source = Source::Flag(flag.to_owned());
        let info = find(key).ok_or_else(|| unknown(key, source.clone()))?;
        self.value(key, environment::from_text(info, text), source)
    }

    fn value(mut self, key: &str, value: Value, source: Source) -> Result<Self, ConfigError> {
        let info = find(key).ok_or_else(|| unknown(key, source.clone()))?;
        check(info, &value, &source)?;
        self.entries.push(Entry { path: split(key), value, source });
        Ok(self)
    }

    /// Puts all sources together and checks the whole.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        let loaded = assemble(self.entries, self.warnings);
        let loaded = loaded?;
        loaded.validate()?;
        Ok(loaded)
    }
}

impl Loaded {
    /// Where the value of a key came from; for a map, where the first of its names came from.
    pub fn source(&self, key: &str) -> &Source {
        let of_names = || self.sources_below(&format!("{key}.")).next();
        self.sources.get(key).or_else(of_names).unwrap_or(&Source::Default)
    }

    /// Sources of all keys whose path begins like this.
    pub(super) fn sources_below(&self, prefix: &str) -> impl Iterator<Item = &Source> {
        self.sources.iter().filter(move |(key, _)| key.starts_with(prefix)).map(|(_, source)| source)
    }

    /// This configuration with the settings that the database holds for the REST service, as in
    /// `("db_max_rows", "100")`; names may have dashes and the prefix `pgrst.`. They win over all other sources.
    /// Call it on the configuration of the start each time, so that a setting that went away is forgotten.
    pub fn with_database_settings<'a>(
        &self,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Loaded, ConfigError> {
        let mut entries = self.entries.clone();
        for (name, value) in settings {
            let name = name.strip_prefix("pgrst.").unwrap_or(name);
            let place = Source::Database(format!("pgrst.{}", name.replace('-', "_")));
            if !postgrest::from_database(name) {
                return Err(ConfigError::Refused {
                    key: name.to_owned(),
                    place,
                    reason: "cannot be set in the database".to_owned(),
                });
            }
            entries.extend(postgrest::translate(name, value, place)?);
        }
        let loaded = assemble(entries, self.warnings.clone())?;
        loaded.validate()?;
        Ok(loaded)
    }
}

/// Builds the configuration from entries that were each checked before.
fn assemble(entries: Vec<Entry>, warnings: Vec<String>) -> Result<Loaded, ConfigError> {
    let mut root = Value::Object(Map::new());
    let mut sources = BTreeMap::new();
    let profile = entries.iter().rev().find(|entry| entry.path == ["rest", "profile"]);
    if profile.is_some_and(|entry| entry.value == "postgrest") {
        for key in keys() {
            if let Some(value) = &key.profile_default {
                put(&mut root, &split(&key.path), value.clone());
                sources.insert(key.path.clone(), Source::Profile);
            }
        }
    }
    for entry in &entries {
        put(&mut root, &entry.path, entry.value.clone());
        sources.insert(entry.path.join("."), entry.source.clone());
    }
    let config = serde_path_to_error::deserialize(root).map_err(|error| {
        let key = error.path().to_string();
        let place = sources.get(&key).cloned().unwrap_or(Source::Default);
        ConfigError::Refused { key, place, reason: "has a value that cannot be used".to_owned() }
    })?;
    Ok(Loaded { config, warnings, sources, entries })
}

/// Sets a value; names of maps are added to those that are there.
fn put(root: &mut Value, path: &[String], value: Value) {
    let Some((name, rest)) = path.split_first() else {
        match (root, value) {
            (Value::Object(old), Value::Object(new)) => old.extend(new),
            (slot, value) => *slot = value,
        }
        return;
    };
    if !root.is_object() {
        *root = Value::Object(Map::new());
    }
    if let Value::Object(object) = root {
        put(object.entry(name.clone()).or_insert(Value::Null), rest, value);
    }
}

/// The names of a dotted path.
pub(super) fn split(path: &str) -> Vec<String> {
    path.split('.').map(ToOwned::to_owned).collect()
}

/// The walk over a YAML document.
struct Walk<'a> {
    path: &'a Path,
    document: &'a yaml::Document,
    entries: &'a mut Vec<Entry>,
}

impl Walk<'_> {
    fn place(&self, path: &[String]) -> Source {
        Source::File { path: PathBuf::from(self.path), line: self.document.line(path) }
    }

    fn section(&mut self, path: &mut Vec<String>, value: &Value) -> Result<(), ConfigError> {
        let names = match value {
            Value::Object(names) => names,
            Value::Null => return Ok(()),
            _ => {
                let name = path.join(".");
                let examples = keys().iter().filter(|key| key.path.starts_with(&format!("{name}.")));
                let example = examples.map(|key| key.path.as_str()).next().unwrap_or("server.port");
                return Err(ConfigError::Refused {
                    key: if name.is_empty() { "file".to_owned() } else { name.clone() },
                    place: self.place(path),
                    reason: format!("must be a section with keys such as `{example}`"),
                });
            }
        };
        for (name, value) in names {
            path.push(name.clone());
            self.key(path, value)?;
            path.pop();
        }
        Ok(())
    }

    fn key(&mut self, path: &mut Vec<String>, value: &Value) -> Result<(), ConfigError> {
        let dotted = path.join(".");
        let place = self.place(path);
        let Some(key) = find(&dotted) else {
            // A name with a dot of its own is no path.
            if path.iter().any(|name| name.contains('.')) || !is_section(&dotted) {
                return Err(unknown(&dotted, place));
            }
            return self.section(path, value);
        };
        if path.iter().any(|name| name.contains('.')) {
            return Err(unknown(&dotted, place));
        }
        let value = if key.shape == Shape::Map { with_texts(value) } else { value.clone() };
        check(key, &value, &place)?;
        if let (Shape::Map, Value::Object(names)) = (key.shape, &value) {
            for (name, value) in names {
                path.push(name.clone());
                let source = self.place(path);
                self.entries.push(Entry { path: path.clone(), value: value.clone(), source });
                path.pop();
            }
            return Ok(());
        }
        self.entries.push(Entry { path: path.clone(), value, source: place });
        Ok(())
    }
}

/// Numbers and switches among the user's own names as text, so that `work_mem: 16` needs no quotes.
fn with_texts(value: &Value) -> Value {
    match value {
        Value::Object(names) => Value::Object(
            names
                .iter()
                .map(|(name, value)| {
                    let text = match value {
                        Value::Number(_) | Value::Bool(_) => Value::from(value.to_string()),
                        other => other.clone(),
                    };
                    (name.clone(), text)
                })
                .collect(),
        ),
        Value::Null => Value::Object(Map::new()),
        other => other.clone(),
    }
}
