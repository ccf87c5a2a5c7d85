//! Metadata of users. Pure.

use serde_json::{Map, Value};

/// Lays `changes` over `old` at the top level; what is null goes (contract section 5, PUT `/user`).
pub(crate) fn merge(old: &Value, changes: &Map<String, Value>) -> Value {
    let mut merged = old.as_object().cloned().unwrap_or_default();
    for (name, value) in changes {
        if value.is_null() {
            merged.remove(name);
        } else {
            merged.insert(name.clone(), value.clone());
        }
    }
    Value::Object(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_are_laid_over_at_the_top_level_and_null_deletes() {
        let changes = json!({"a": null, "b": {"x": 1}, "c": 3});

        let merged = merge(&json!({"a": 1, "b": {"y": 2}, "d": 4}), changes.as_object().unwrap());

        assert_eq!(merged, json!({"b": {"x": 1}, "d": 4, "c": 3}));
        assert_eq!(merge(&Value::Null, &Map::new()), json!({}));
    }
}
