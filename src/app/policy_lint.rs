//! `goforward policy lint`: lints what the configuration exposes, as the login of callers reaches it.

use sqlx::PgConnection;

use crate::app::policy_commands::options_of;
use crate::catalog::load::LoadError;
use crate::cli::{ActionError, PolicyReport, Threshold};
use crate::kernel::config::Loaded;
use crate::policy::lint::{Severity, report};
use crate::policy::store::lint::{LintError, lint as findings};

/// The findings as a report, which says whether any reaches the threshold.
pub(super) async fn lint(
    loaded: &Loaded,
    connection: &mut PgConnection,
    json: bool,
    fail_on: Threshold,
) -> Result<PolicyReport, ActionError> {
    let mut options = options_of(loaded, connection).await?;
    let found = match findings(connection, &options).await {
        // A database that goforward has not prepared is served by the one login that there is.
        Err(LintError::Catalog(LoadError::UnknownAuthenticator(_))) => {
            options.authenticator = None;
            findings(connection, &options).await?
        }
        found => found?,
    };
    let text = if json { format!("{:#}\n", serde_json::to_value(&found)?) } else { report::text(&found) };
    let threshold = match fail_on {
        Threshold::Problem => Severity::Problem,
        Threshold::Warning => Severity::Warning,
        Threshold::Note => Severity::Note,
    };
    let differs = report::reaches(&found, threshold);
    Ok(PolicyReport { text, differs, ..PolicyReport::default() })
}
