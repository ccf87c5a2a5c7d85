//! `goforward policy lint`: lints what the configuration exposes, as the login of callers reaches it.

use sqlx::PgConnection;

use crate::catalog::load::{LoadError, LoadOptions};
use crate::cli::{ActionError, LintReport};
use crate::kernel::config::Config;
use crate::kernel::db::bootstrap::AUTHENTICATOR_LOGIN;
use crate::kernel::db::target::{Target, TargetError};
use crate::policy::lint::{Severity, report};
use crate::policy::store::lint::{self, LintError};

/// The findings for a configuration.
pub(super) async fn lint(connection: &mut PgConnection, config: &Config) -> Result<LintReport, ActionError> {
    let mut options = LoadOptions {
        schemas: config.rest.schemas.clone(),
        extra_search_path: config.rest.extra_search_path.clone(),
        authenticator: Some(authenticator(config)?),
    };
    let findings = match lint::lint(connection, &options).await {
        // A database that goforward has not prepared is served by the one login that there is.
        Err(LintError::Catalog(LoadError::UnknownAuthenticator(_))) => {
            options.authenticator = None;
            lint::lint(connection, &options).await?
        }
        findings => findings?,
    };
    Ok(LintReport {
        text: report::text(&findings),
        json: serde_json::to_value(&findings)?,
        problems: report::count(&findings, Severity::Problem),
        warnings: report::count(&findings, Severity::Warning),
        notes: report::count(&findings, Severity::Note),
    })
}

/// The login of callers, as the bootstrap makes it or the configuration names it.
fn authenticator(config: &Config) -> Result<String, TargetError> {
    let configured = &config.database.authenticator;
    match &configured.url {
        _ if config.database.is_embedded() => Ok(AUTHENTICATOR_LOGIN.to_owned()),
        Some(url) => Ok(Target::parse(url.expose())?.user),
        None => Ok(configured.user.clone()),
    }
}
