//! Rules for common cases, by name: files of this folder that are part of the program, with places for the names of
//! columns. Pure.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::kernel::sql::SqlBuf;

use super::model::TableSecurity;

/// The files, by the name of their pack.
const FILES: [(&str, &str); 3] = [
    ("public-catalogue", include_str!("public_catalogue.yaml")),
    ("private-per-user", include_str!("private_per_user.yaml")),
    ("team", include_str!("team.yaml")),
];

/// A pack.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Its name.
    #[serde(skip)]
    pub name: &'static str,
    /// What it is for, and what it takes.
    pub description: String,
    /// What can be set, in order.
    #[serde(default)]
    pub parameters: BTreeMap<String, Parameter>,
    /// The rules, with `{parameter}` where a name stands.
    rules: Value,
}

/// Something that can be set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// What it is.
    pub description: String,
    /// What it is unless set.
    pub default: String,
}

/// Why a pack cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// There is none of that name.
    #[error("there is no pack {0}; the packs are {names}", names = FILES.map(|(name, _)| name).join(", "))]
    Unknown(String),
    /// It has no such parameter.
    #[error("the pack {pack} has no parameter {parameter}; it has {}", known.join(", "))]
    UnknownParameter {
        /// The pack.
        pack: &'static str,
        /// What was set.
        parameter: String,
        /// What can be set.
        known: Vec<String>,
    },
    /// What it makes are no rules.
    #[error("the pack {pack}: {problem}")]
    Rules {
        /// The pack.
        pack: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// All packs.
pub fn all() -> Result<Vec<Pack>, PackError> {
    FILES.into_iter().map(|(name, text)| read(name, text)).collect()
}

/// The pack of that name.
pub fn find(name: &str) -> Result<Pack, PackError> {
    let file = FILES.into_iter().find(|(known, _)| *known == name);
    let (name, text) = file.ok_or_else(|| PackError::Unknown(name.to_owned()))?;
    read(name, text)
}

fn read(name: &'static str, text: &str) -> Result<Pack, PackError> {
    let pack: Result<Pack, _> = serde_saphyr::from_str(text);
    let pack = pack.map_err(|error| PackError::Rules { pack: name, problem: error.to_string() })?;
    Ok(Pack { name, ..pack })
}

impl Pack {
    /// The rules with these settings.
    pub fn rules(&self, settings: &[(String, String)]) -> Result<TableSecurity, PackError> {
        let mut values: BTreeMap<&str, &str> =
            self.parameters.iter().map(|(name, it)| (name.as_str(), it.default.as_str())).collect();
        for (name, value) in settings {
            let Some(known) = values.get_mut(name.as_str()) else {
                let known = self.parameters.keys().cloned().collect();
                return Err(PackError::UnknownParameter { pack: self.name, parameter: name.clone(), known });
            };
            *known = value;
        }
        let Value::Object(fields) = &self.rules else {
            return Err(PackError::Rules { pack: self.name, problem: "rules are an object".to_owned() });
        };
        let filled = fields.iter().map(|(field, value)| {
            // In an expression a name is an identifier, elsewhere it is a text.
            let is_sql = field == "custom_filters";
            (field.clone(), filled(value, &|text| replaced(text, &values, is_sql)))
        });
        TableSecurity::parse(Value::Object(filled.collect()))
            .map_err(|error| PackError::Rules { pack: self.name, problem: error.to_string() })
    }
}

fn filled(value: &Value, replaced: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(replaced(text)),
        Value::Array(items) => items.iter().map(|item| filled(item, replaced)).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), filled(value, replaced))).collect()
        }
        other => other.clone(),
    }
}

fn replaced(text: &str, values: &BTreeMap<&str, &str>, is_sql: bool) -> String {
    let mut done = String::new();
    let mut rest = text;
    // What was put in is not looked at again.
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, behind)) = after.split_once('}') else { break };
        done.push_str(before);
        match values.get(name) {
            Some(value) if is_sql => done.push_str(&identifier(value)),
            Some(value) => done.push_str(value),
            None => {
                done.push('{');
                done.push_str(name);
                done.push('}');
            }
        }
        rest = behind;
    }
    done.push_str(rest);
    done
}

/// A name, or schema and name, as SQL writes it.
fn identifier(name: &str) -> String {
    let mut sql = SqlBuf::new();
    match name.split_once('.') {
        Some((schema, name)) => sql.name(schema, name),
        None => sql.ident(name),
    };
    sql.into_parts().0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_pack_makes_rules_and_leaves_no_place_empty() {
        for pack in all().unwrap() {
            let rules = pack.rules(&[]).unwrap();
            let text = serde_json::to_string(&rules).unwrap();
            for parameter in pack.parameters.keys() {
                assert!(!text.contains(&format!("{{{parameter}}}")), "{}: {text}", pack.name);
            }
            assert!(!pack.description.is_empty() && rules != TableSecurity::default(), "{}", pack.name);
        }
    }

    #[test]
    fn what_is_set_takes_its_place() {
        let pack = find("private-per-user").unwrap();
        let rules = pack.rules(&set(&[("owner", "customer")])).unwrap();
        assert_eq!(rules.ownership_column.as_deref(), Some("customer"));
        assert_eq!(pack.rules(&[]).unwrap().ownership_column.as_deref(), Some("user_id"));
    }

    #[test]
    fn in_an_expression_a_setting_is_an_identifier_whatever_it_says() {
        let pack = find("team").unwrap();
        let rules = pack.rules(&set(&[("team", "x\") or (true"), ("members", "app.Staff")])).unwrap();
        let filter = rules.custom_filters.values().next().unwrap();
        assert!(filter.starts_with(r#""x"") or (true" in "#), "{filter}");
        assert!(filter.contains(r#"from "app"."Staff" as"#), "{filter}");
    }

    #[test]
    fn unknown_packs_and_parameters_are_refused_by_name() {
        assert_eq!(
            find("private").unwrap_err().to_string(),
            "there is no pack private; the packs are public-catalogue, private-per-user, team"
        );
        let error = find("private-per-user").unwrap().rules(&set(&[("column", "a")])).unwrap_err();
        assert_eq!(error.to_string(), "the pack private-per-user has no parameter column; it has owner");
    }
}
