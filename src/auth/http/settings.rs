//! GET and PATCH `/user/settings`: what a user chose, over the defaults of the configuration (`auth.user_settings`).
//!
//! The configuration says which settings there are and of which type. What a user chose before the configuration changed
//! does not count any more where it does not fit.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};

use super::extract::{Object, SignedIn};
use crate::auth::error::AuthError;
use crate::auth::input;
use crate::auth::state::AuthState;
use crate::auth::store::settings;
use crate::kernel::config::SettingDefault;

pub(super) async fn show(State(state): State<AuthState>, user: SignedIn) -> Result<Json<Value>, AuthError> {
    let chosen = settings::of_user(&mut *state.connection().await?, user.account.id).await?;
    Ok(Json(in_force(&state.settings.config.user_settings, &chosen)))
}

/// Changes some; null goes back to the default.
pub(super) async fn change(
    State(state): State<AuthState>,
    user: SignedIn,
    Object(changes): Object,
) -> Result<Json<Value>, AuthError> {
    let defaults = &state.settings.config.user_settings;
    let (chosen, reset) = sorted(defaults, changes)?;
    let chosen = input::metadata(chosen)?;
    let mut connection = state.connection().await?;
    let chosen = settings::change(&mut connection, user.account.id, (&chosen, &reset), state.now()).await?;
    Ok(Json(in_force(defaults, &chosen)))
}

/// The changes that choose something, and the names of those that are reset. Names that the configuration does not have, and
/// values of another type than their default, are refused.
fn sorted(
    defaults: &BTreeMap<String, SettingDefault>,
    changes: Map<String, Value>,
) -> Result<(Map<String, Value>, Vec<String>), AuthError> {
    let (mut chosen, mut reset) = (Map::new(), Vec::new());
    for (name, value) in changes {
        let default = defaults.get(&name);
        let default = default.ok_or_else(|| AuthError::Invalid(format!("there is no setting {name:?}")))?;
        if value.is_null() {
            reset.push(name);
        } else if default.fits(&value) {
            chosen.insert(name, value);
        } else {
            return Err(AuthError::Invalid(format!("{name} must be {}", default.kind())));
        }
    }
    Ok((chosen, reset))
}

fn in_force(defaults: &BTreeMap<String, SettingDefault>, chosen: &Value) -> Value {
    let value = |name: &String, default: &SettingDefault| {
        chosen.get(name).filter(|value| default.fits(value)).unwrap_or(default.value()).clone()
    };
    defaults.iter().map(|(name, default)| (name.clone(), value(name, default))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn defaults() -> BTreeMap<String, SettingDefault> {
        serde_json::from_value(json!({"theme": "light", "size": 12, "mails": true, "any": null})).unwrap()
    }

    fn changes(changes: &Value) -> Result<(Value, Vec<String>), AuthError> {
        let (chosen, reset) = sorted(&defaults(), changes.as_object().unwrap().clone())?;
        Ok((Value::Object(chosen), reset))
    }

    #[test]
    fn known_settings_of_the_right_type_are_chosen_and_null_resets() {
        let (chosen, reset) = changes(&json!({"theme": "dark", "size": null, "any": [1]})).unwrap();

        assert_eq!((chosen, reset), (json!({"theme": "dark", "any": [1]}), vec!["size".to_owned()]));
    }

    #[test]
    fn unknown_settings_and_wrong_types_are_refused() {
        for wrong in
            [json!({"colour": 1}), json!({"size": "12"}), json!({"mails": 1}), json!({"other": null})]
        {
            assert!(changes(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_does_not_fit_any_more_has_its_default() {
        let chosen = json!({"theme": 7, "size": 14, "gone": true});

        let expected = json!({"theme": "light", "size": 14, "mails": true, "any": null});
        assert_eq!(in_force(&defaults(), &chosen), expected);
    }
}
