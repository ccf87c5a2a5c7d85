//! `/admin/templates`: the mails, edited while the server runs. The next mail has the new text.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::extract::{Payload, Server};
use crate::auth::error::AuthError;
use crate::auth::mail::{Part, Rendered, StoredTemplate, Template, Templates};
use crate::auth::model::rfc3339;
use crate::auth::refusal::Refusal;
use crate::auth::state::AuthState;
use crate::auth::store::templates;

/// The body: parts that are missing or null are the shipped ones.
#[derive(Deserialize)]
pub(super) struct Edited {
    subject: Option<String>,
    html: Option<String>,
    text: Option<String>,
}

impl Edited {
    /// A template that renders; what is empty counts as not given.
    fn check(self, template: Template) -> Result<(StoredTemplate, Rendered), AuthError> {
        let given = |part: Option<String>| part.filter(|part| !part.is_empty());
        let stored =
            StoredTemplate { subject: given(self.subject), html: given(self.html), text: given(self.text) };
        let has_nul = [&stored.subject, &stored.html, &stored.text]
            .into_iter()
            .flatten()
            .any(|part| part.contains('\0'));
        if has_nul {
            return Err(AuthError::Invalid("a template must not hold NUL".to_owned()));
        }
        let rendered = Templates::preview(template, &stored);
        let rendered = rendered.map_err(|error| AuthError::Invalid(error.to_string()))?;
        Ok((stored, rendered))
    }
}

pub(super) async fn list(State(state): State<AuthState>, _: Server) -> Result<Json<Value>, AuthError> {
    let (stored, edited) = stored(&state).await?;
    let shown = Template::ALL
        .into_iter()
        .map(|template| shown(template, stored.get(&template), edited.get(template.name())));
    Ok(Json(shown.collect()))
}

pub(super) async fn show(
    State(state): State<AuthState>,
    _: Server,
    Path(name): Path<String>,
) -> Result<Json<Value>, AuthError> {
    let template = named(&name)?;
    let (stored, edited) = stored(&state).await?;
    Ok(Json(shown(template, stored.get(&template), edited.get(template.name()))))
}

/// Stores a template that renders with sample values.
pub(super) async fn store(
    State(state): State<AuthState>,
    _: Server,
    Path(name): Path<String>,
    Payload(edited): Payload<Edited>,
) -> Result<Json<Value>, AuthError> {
    let template = named(&name)?;
    let (stored, _) = edited.check(template)?;
    let now = state.now();
    templates::put(&mut *state.connection().await?, template, &stored, now).await?;
    Ok(Json(shown(template, Some(&stored), Some(&now))))
}

/// Goes back to the shipped template.
pub(super) async fn reset(
    State(state): State<AuthState>,
    _: Server,
    Path(name): Path<String>,
) -> Result<Json<Value>, AuthError> {
    let template = named(&name)?;
    templates::remove(&mut *state.connection().await?, template).await?;
    Ok(Json(shown(template, None, None)))
}

/// What a template would look like; nothing is stored.
pub(super) async fn preview(
    _: Server,
    Path(name): Path<String>,
    Payload(edited): Payload<Edited>,
) -> Result<Json<Value>, AuthError> {
    let (_, rendered) = edited.check(named(&name)?)?;
    Ok(Json(json!({"subject": rendered.subject.as_str(), "html": rendered.html, "text": rendered.text})))
}

fn named(name: &str) -> Result<Template, AuthError> {
    Ok(name.parse().map_err(|_| Refusal::NotFound)?)
}

/// The edited templates, and when they were.
type Stored = (BTreeMap<Template, StoredTemplate>, BTreeMap<String, DateTime<Utc>>);

async fn stored(state: &AuthState) -> Result<Stored, AuthError> {
    let stored = templates::stored(&state.pool).await?;
    Ok((stored, templates::edited(&mut *state.connection().await?).await?))
}

/// A template as it is in force.
fn shown(template: Template, stored: Option<&StoredTemplate>, edited: Option<&DateTime<Utc>>) -> Value {
    let part = |part: Part, edited: Option<&String>| {
        edited.cloned().unwrap_or_else(|| template.shipped(part).to_owned())
    };
    json!({
        "name": template.name(),
        "subject": part(Part::Subject, stored.and_then(|stored| stored.subject.as_ref())),
        "html": part(Part::Html, stored.and_then(|stored| stored.html.as_ref())),
        "text": part(Part::Text, stored.and_then(|stored| stored.text.as_ref())),
        "edited": stored.is_some(),
        "updated_at": edited.map(|at| rfc3339(*at)),
    })
}
