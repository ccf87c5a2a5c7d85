//! `goforward policy`: files, packs and the stored rules of tables, without a server. The database may be one that a
//! running server uses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::{Connection as _, PgConnection};

use crate::app::database::{describe, external_target, owner_login};
use crate::app::edge::SERVICE_ROLE;
use crate::app::error::AppError;
use crate::app::policy_lint::lint;
use crate::app::reach;
use crate::app::security::access_settings;
use crate::catalog::load::{self, LoadOptions, in_database_settings};
use crate::catalog::model::{Catalog, QualifiedName};
use crate::cli::{ActionError, PackChoice, PolicyEntry, PolicyFiles, PolicyReport, PolicyTask};
use crate::kernel::config::{Config, Loaded};
use crate::kernel::db::embedded;
use crate::kernel::db::login::Login;
use crate::kernel::db::target::Target;
use crate::policy::files::{self, Document};
use crate::policy::model::TableSecurity;
use crate::policy::packs;
use crate::policy::store::{Applied, Expected, RuleStore, StoredRules};
use crate::security::explain_once;

use super::rest::load_options;

/// Who changed rules, in their history.
const BY: &str = "goforward policy apply";

/// The database in words, and how its owner connects, without starting anything.
pub(super) fn owner_of(config: &Config) -> Result<(String, Login), AppError> {
    if !config.database.is_embedded() {
        let target = external_target(&config.database)?;
        return Ok((describe(&target), owner_login(&config.database, &target)?));
    }
    let directory = &config.embedded.data_dir;
    let url = embedded::owner_url_of(directory, config.embedded.loopback_port)
        .ok_or_else(|| AppError::NoKeys(directory.clone()))?;
    let target = Target::parse(url.expose())?;
    Ok((describe(&target), Login::from(&target)))
}

/// Does what the command line asks.
pub(super) async fn carry_out(loaded: Loaded, task: PolicyTask) -> Result<PolicyReport, ActionError> {
    if let PolicyTask::Packs = task {
        return Ok(PolicyReport { text: list_packs()?, ..PolicyReport::default() });
    }
    let (place, owner) = owner_of(&loaded.config)?;
    let store = RuleStore::new(owner.clone(), loaded.config.security.column_grants);
    match task {
        PolicyTask::Packs => Ok(PolicyReport::default()),
        PolicyTask::Lint { json, fail_on } => {
            let mut connection = reach::connect(&owner, &place).await?;
            let report = lint(&loaded, &mut connection, json, fail_on).await;
            let _ = connection.close().await;
            report
        }
        PolicyTask::Explain { question, json } => {
            let catalog = catalog_of(&loaded, &owner).await?;
            explain(&loaded.config, catalog, owner, (question, json)).await
        }
        PolicyTask::Export { dir } => export(&store.list().await?, dir.as_deref()),
        PolicyTask::Diff(files) => {
            let documents = read(&files)?;
            let stored = store.list().await?;
            let catalog = catalog_of(&loaded, &owner).await?;
            diff(&store, &catalog, &stored, Wanted { documents, prunes: files.prune }).await
        }
        PolicyTask::Apply(files) => {
            let documents = read(&files)?;
            let stored = store.list().await?;
            let catalog = catalog_of(&loaded, &owner).await?;
            apply(&store, &catalog, &stored, Wanted { documents, prunes: files.prune }).await
        }
        PolicyTask::ApplyPack(choice) => {
            let documents = vec![document_of(&loaded.config, &choice)?];
            let stored = store.list().await?;
            let catalog = catalog_of(&loaded, &owner).await?;
            apply(&store, &catalog, &stored, Wanted { documents, prunes: false }).await
        }
    }
}

/// The answer to a question about a caller; asked as the owner, who may be anybody.
async fn explain(
    config: &Config,
    catalog: Catalog,
    owner: Login,
    (question, json): (serde_json::Value, bool),
) -> Result<PolicyReport, ActionError> {
    let settings = access_settings(config, Some(SERVICE_ROLE));
    let answer = explain_once(Arc::new(catalog), &settings, owner, question).await?;
    let differs = answer["allowed"] != true;
    if json {
        return Ok(PolicyReport { text: format!("{answer:#}\n"), differs, ..PolicyReport::default() });
    }
    let word = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let title = format!("{}: {}", if differs { "no" } else { "yes" }, word("reason"));
    let mut details = vec![format!("role {}, decided by {}", word("role"), word("rule"))];
    for (name, column) in answer["columns"].as_object().into_iter().flatten() {
        let write = if column["write"] == true { "writable" } else { "not writable" };
        details.push(format!("column {name}: {}, {write}", column["read"].as_str().unwrap_or_default()));
    }
    for policy in answer["row_policies"].as_array().into_iter().flatten() {
        details.push(format!("row policy {}", policy["name"].as_str().unwrap_or_default()));
    }
    details.extend(answer["sql"].as_str().map(str::to_owned));
    let entries = vec![PolicyEntry { title, details }];
    Ok(PolicyReport { entries, differs, ..PolicyReport::default() })
}

/// The catalog as a server with this configuration reads it.
async fn catalog_of(loaded: &Loaded, owner: &Login) -> Result<Catalog, ActionError> {
    let mut connection = owner.connect().await?;
    let read = async {
        let options = options_of(loaded, &mut connection).await?;
        Ok(load::load(&mut connection, &options, None).await?)
    };
    let catalog = read.await;
    let _ = connection.close().await;
    catalog
}

/// What a server with this configuration reads of the database.
pub(super) async fn options_of(
    loaded: &Loaded,
    connection: &mut PgConnection,
) -> Result<LoadOptions, ActionError> {
    let database = &loaded.config.database;
    let authenticator = match &database.authenticator.url {
        Some(url) => Target::parse(url.expose()).map_err(AppError::from)?.user,
        None => database.authenticator.user.clone(),
    };
    let mut config = loaded.config.clone();
    if config.rest.in_database_config {
        // The function `rest.pre_config` is for the authenticator to call, and not for the owner.
        let settings = in_database_settings(connection, Some(&authenticator), None).await?;
        let pairs = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        config = loaded.with_database_settings(pairs)?.config;
    }
    let mut options = load_options(&config);
    options.authenticator = Some(authenticator);
    Ok(options)
}

/// What is to be stored.
struct Wanted {
    documents: Vec<Document>,
    /// Whether all else is to go.
    prunes: bool,
}

impl Wanted {
    /// The stored rules that are to go.
    fn unwanted<'a>(&self, stored: &'a [StoredRules]) -> Vec<&'a QualifiedName> {
        let named: BTreeSet<&QualifiedName> = self.documents.iter().map(|document| &document.name).collect();
        let all = stored.iter().map(|stored| &stored.name);
        all.filter(|name| self.prunes && !named.contains(name)).collect()
    }
}

/// How a document differs from what is stored; `None` if it does not.
fn difference(stored: &[StoredRules], document: &Document) -> Result<Option<PolicyEntry>, ActionError> {
    let name = &document.name;
    let entry = |title: String, details| Ok(Some(PolicyEntry { title, details }));
    match stored.iter().find(|stored| stored.name == *name).map(|stored| &stored.rules) {
        None => {
            let details = files::differences(&TableSecurity::default(), &document.rules)?;
            entry(format!("{name}: rules that are not stored"), details)
        }
        Some(Err(problem)) => {
            entry(format!("{name}: the stored rules cannot be read: {problem}"), Vec::new())
        }
        Some(Ok(rules)) if *rules == document.rules => Ok(None),
        Some(Ok(rules)) => {
            entry(format!("{name}: other rules are stored"), files::differences(rules, &document.rules)?)
        }
    }
}

async fn diff(
    store: &RuleStore,
    catalog: &Catalog,
    stored: &[StoredRules],
    wanted: Wanted,
) -> Result<PolicyReport, ActionError> {
    let mut report = PolicyReport::default();
    let mut instead: BTreeMap<QualifiedName, Option<TableSecurity>> = BTreeMap::new();
    for document in &wanted.documents {
        report.entries.extend(difference(stored, document)?);
        instead.insert(document.name.clone(), Some(document.rules.clone()));
    }
    for name in wanted.unwanted(stored) {
        let title = format!("{name}: rules are stored that no file names");
        report.entries.push(PolicyEntry { title, details: Vec::new() });
        instead.insert(name.clone(), None);
    }
    let planned = store.plan_with(catalog, None, &instead).await?;
    add_changes(&mut report, planned);
    report.differs = !report.entries.is_empty();
    Ok(report)
}

async fn apply(
    store: &RuleStore,
    catalog: &Catalog,
    stored: &[StoredRules],
    wanted: Wanted,
) -> Result<PolicyReport, ActionError> {
    let mut report = PolicyReport::default();
    for document in &wanted.documents {
        if difference(stored, document)?.is_none() {
            continue;
        }
        let name = &document.name;
        match store.put(catalog, name, &document.rules, Expected::Any, BY).await {
            Ok(stored) => report.entries.push(PolicyEntry {
                title: format!("{name}: stored version {}", stored.version),
                details: Vec::new(),
            }),
            Err(error) => report.failures.push(format!("{name}: {error}")),
        }
    }
    for name in wanted.unwanted(stored) {
        match store.delete(catalog, name, Expected::Any, BY).await {
            Ok(()) => report
                .entries
                .push(PolicyEntry { title: format!("{name}: removed the rules"), details: Vec::new() }),
            Err(error) => report.failures.push(format!("{name}: {error}")),
        }
    }
    add_changes(&mut report, store.apply(catalog, None).await?);
    Ok(report)
}

fn add_changes(report: &mut PolicyReport, applied: Applied) {
    report.entries.extend(
        applied.changes.iter().map(|change| PolicyEntry { title: change.to_string(), details: change.sql() }),
    );
    report.failures.extend(applied.failures.into_iter().map(|(name, error)| format!("{name}: {error}")));
}

fn document_of(config: &Config, choice: &PackChoice) -> Result<Document, ActionError> {
    let first_schema = config.rest.schemas.first().map_or("public", String::as_str);
    let (schema, table) = choice.table.split_once('.').unwrap_or((first_schema, &choice.table));
    let name = QualifiedName::new(schema, table);
    Ok(Document { name, rules: packs::find(&choice.pack)?.rules(&choice.settings)? })
}

fn list_packs() -> Result<String, ActionError> {
    let mut text = String::new();
    for pack in packs::all()? {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}\n    {}", pack.name, pack.description);
        for (name, parameter) in &pack.parameters {
            let _ = writeln!(text, "    --with {name}={:16} {}", parameter.default, parameter.description);
        }
    }
    Ok(text)
}

fn export(stored: &[StoredRules], dir: Option<&Path>) -> Result<PolicyReport, ActionError> {
    let mut report = PolicyReport::default();
    let mut documents = Vec::new();
    for rules in stored {
        match &rules.rules {
            Ok(found) => {
                let document = Document { name: rules.name.clone(), rules: found.clone() };
                documents.push((files::file_name(&rules.name), files::write(&document)?));
            }
            Err(problem) => report.failures.push(format!("{}: cannot be read: {problem}", rules.name)),
        }
    }
    let Some(dir) = dir else {
        let texts: Vec<String> = documents.into_iter().map(|(_, text)| text).collect();
        report.text = texts.join("---\n");
        return Ok(report);
    };
    std::fs::create_dir_all(dir).map_err(|cause| AppError::File { path: dir.to_owned(), cause })?;
    for (name, text) in documents {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|cause| AppError::File { path: path.clone(), cause })?;
        report.entries.push(PolicyEntry { title: path.display().to_string(), details: Vec::new() });
    }
    Ok(report)
}

/// The documents of all files, those of a folder in the order of their names.
fn read(from: &PolicyFiles) -> Result<Vec<Document>, ActionError> {
    let mut paths = from.files.clone();
    if let Some(dir) = &from.dir {
        paths.extend(files_in(dir)?);
    }
    if from.prune && paths.is_empty() {
        return Err("--prune needs files to compare with: give --file or --dir".into());
    }
    let mut documents: BTreeMap<QualifiedName, (PathBuf, Document)> = BTreeMap::new();
    for path in paths {
        let text =
            std::fs::read_to_string(&path).map_err(|cause| AppError::File { path: path.clone(), cause })?;
        for document in files::parse(&text).map_err(|error| format!("{}: {error}", path.display()))? {
            let name = document.name.clone();
            if let Some((other, _)) = documents.insert(name.clone(), (path.clone(), document)) {
                let (path, other) = (path.display(), other.display());
                return Err(format!("{path} and {other} both hold rules of {name}; keep one").into());
            }
        }
    }
    Ok(documents.into_values().map(|(_, document)| document).collect())
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, AppError> {
    let failed = |cause| AppError::File { path: dir.to_owned(), cause };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
