//! The command line: reads the arguments, loads the configuration, calls what `app` offers, and prints.
//! Every error is one line on the standard error that says what to do; exit code 1 for errors, 2 for wrong usage.

mod actions;
mod arguments;
mod output;
mod policy;
mod realtime;
mod s3_keys;
mod storage;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use crate::kernel::clock::Clock;
use crate::kernel::config::{ConfigError, Loaded, Loader, Source, printed_json, printed_text};
use crate::kernel::telemetry::start_logs;

pub use actions::{
    ActionError, Actions, Finding, KeyRotation, Keys, OnReady, PackChoice, PolicyEntry, PolicyFiles,
    PolicyReport, PolicyTask, RealtimeTask, Reload, S3KeyTask, ServeOptions, Service, Severity, StartReport,
    StorageReport, StorageTask, Threshold,
};
use arguments::{Arguments, Command, ConfigArguments, ConfigCommand, KeysCommand, Serve};
use output::{findings_json, findings_text, keys_json, keys_text, one_line, show_start, usage_line};
use policy::report_text;

/// Runs the command of this process's arguments and environment.
pub fn run(actions: &impl Actions) -> ExitCode {
    // Variables that are not UTF-8 cannot be ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
        .collect();
    let mut out = std::io::stdout();
    let mut errors = std::io::stderr();
    ExitCode::from(execute(actions, std::env::args_os(), variables, &mut out, &mut errors))
}

/// Runs one command with everything that it needs of the world given; the result is the exit code.
pub fn execute(
    actions: &impl Actions,
    arguments: impl IntoIterator<Item = OsString>,
    variables: Vec<(String, String)>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> u8 {
    let command = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments.command,
        Err(usage) => {
            // A reader that went away needs no help text.
            let _ = match usage.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => write!(out, "{usage}"),
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => write!(errors, "{usage}"),
                _ => writeln!(errors, "{}", usage_line(&usage.to_string())),
            };
            return u8::try_from(usage.exit_code()).unwrap_or(2);
        }
    };
    match carry_out(actions, command, variables, out, errors) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(errors, "error: {}", one_line(&error.to_string()));
            1
        }
    }
}

fn carry_out(
    actions: &impl Actions,
    command: Command,
    variables: Vec<(String, String)>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<u8, ActionError> {
    match command {
        Command::Serve(serve) => {
            run_server(actions, serve, variables)?;
            Ok(0)
        }
        Command::Config { command: ConfigCommand::Print { config, json, changed } } => {
            let loaded = load_and_warn(&config, Purpose::Show, variables, errors)?;
            let mut values = loaded.values();
            values.retain(|row| !changed || row.source != Source::Default.to_string());
            let text = if json { format!("{:#}\n", printed_json(&values)) } else { printed_text(&values) };
            print(out, &text)
        }
        Command::Keys { command: Some(KeysCommand::Rotate { config }), .. } => {
            rotate_keys(actions, &config, variables, (out, errors))
        }
        Command::Keys { command: None, config, json } => {
            let loaded = load_and_warn(&config, Purpose::Show, variables, errors)?;
            let keys = runtime()?.block_on(actions.keys(loaded))?;
            print(out, &if json { keys_json(&keys) } else { keys_text(&keys) })
        }
        Command::Doctor { config, json } => {
            let loaded = load_and_warn(&config, Purpose::Examine, variables, errors)?;
            let findings = runtime()?.block_on(actions.doctor(loaded))?;
            print(out, &if json { findings_json(&findings) } else { findings_text(&findings) })?;
            let problem = findings.iter().any(|finding| finding.severity == Severity::Problem);
            Ok(u8::from(problem))
        }
        Command::Health { config } => {
            let loaded = load_and_warn(&config, Purpose::Examine, variables, errors)?;
            runtime()?.block_on(actions.health(loaded))?;
            print(out, "ready\n")
        }
        Command::Policy { command } => {
            about_policies(actions, command.into_parts(), variables, (out, errors))
        }
        Command::Channels { command } => {
            about_realtime(actions, command.into_parts(), variables, (out, errors))
        }
        Command::Realtime { command } => {
            about_realtime(actions, command.into_parts(), variables, (out, errors))
        }
        Command::S3Keys { command } => {
            let (config, task) = command.into_parts();
            let loaded = load_and_warn(&config, Purpose::Examine, variables, errors)?;
            print(out, &runtime()?.block_on(actions.s3_keys(loaded, task))?)
        }
        Command::Storage { command } => {
            about_storage(actions, command.into_parts(), variables, (out, errors))
        }
        Command::Version => print(out, concat!("goforward ", env!("CARGO_PKG_VERSION"), "\n")),
    }
}

fn rotate_keys(
    actions: &impl Actions,
    config: &ConfigArguments,
    variables: Vec<(String, String)>,
    (out, errors): (&mut dyn Write, &mut dyn Write),
) -> Result<u8, ActionError> {
    let loaded = load_and_warn(config, Purpose::Examine, variables, errors)?;
    let done = runtime()?.block_on(actions.rotate_keys(loaded))?;
    print(out, &done.lines.iter().fold(String::new(), |text, line| text + line + "\n"))?;
    tell(errors, &done.failures);
    Ok(u8::from(!done.failures.is_empty()))
}

fn about_policies(
    actions: &impl Actions,
    (config, task): (ConfigArguments, PolicyTask),
    variables: Vec<(String, String)>,
    (out, errors): (&mut dyn Write, &mut dyn Write),
) -> Result<u8, ActionError> {
    let loaded = load_and_warn(&config, Purpose::Examine, variables, errors)?;
    let report = runtime()?.block_on(actions.policy(loaded, task))?;
    print(out, &report_text(&report))?;
    tell(errors, &report.failures);
    Ok(u8::from(report.differs || !report.failures.is_empty()))
}

/// What went wrong while the rest was done.
fn tell(errors: &mut dyn Write, failures: &[String]) {
    for failure in failures {
        let _ = writeln!(errors, "error: {}", one_line(failure));
    }
}

fn about_realtime(
    actions: &impl Actions,
    (config, task): (ConfigArguments, RealtimeTask),
    variables: Vec<(String, String)>,
    (out, errors): (&mut dyn Write, &mut dyn Write),
) -> Result<u8, ActionError> {
    let loaded = load_and_warn(&config, Purpose::Examine, variables, errors)?;
    print(out, &runtime()?.block_on(actions.realtime(loaded, task))?)
}

fn about_storage(
    actions: &impl Actions,
    (config, task): (ConfigArguments, StorageTask),
    variables: Vec<(String, String)>,
    (out, errors): (&mut dyn Write, &mut dyn Write),
) -> Result<u8, ActionError> {
    let loaded = load_and_warn(&config, Purpose::Examine, variables, errors)?;
    let report = runtime()?.block_on(actions.storage(loaded, task))?;
    print(out, &report.text)?;
    Ok(u8::from(report.differs))
}

/// What the configuration is read for.
#[derive(Clone, Copy)]
enum Purpose<'a> {
    /// To run these services; all if empty.
    Serve(&'a [Service]),
    /// To show what is in it.
    Show,
    /// To look at the database or the running server only.
    Examine,
}

fn run_server(
    actions: &impl Actions,
    serve: Serve,
    variables: Vec<(String, String)>,
) -> Result<(), ActionError> {
    let only = serve.only.clone();
    let reload: Reload =
        Box::new(move || load(&serve.config, serve.flags(), Purpose::Serve(&serve.only), variables.clone()));
    let loaded = reload()?;
    let logs = start_logs(&loaded.config.log, Clock::system())?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let on_ready: OnReady = Box::new(|report| show_start(&report));
    let (levels, log_sink) = (logs.levels.clone(), logs.sink.clone());
    let options = ServeOptions { only, logs: levels, reload, log_sink, on_ready };
    runtime()?.block_on(actions.serve(loaded, options))
}

fn runtime() -> Result<tokio::runtime::Runtime, ActionError> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("goforward").build()?)
}

fn load_and_warn(
    arguments: &ConfigArguments,
    purpose: Purpose<'_>,
    variables: Vec<(String, String)>,
    errors: &mut dyn Write,
) -> Result<Loaded, ConfigError> {
    let loaded = load(arguments, Vec::new(), purpose, variables)?;
    for warning in &loaded.warnings {
        let _ = writeln!(errors, "warning: {warning}");
    }
    Ok(loaded)
}

/// Puts the sources of the configuration over each other.
fn load(
    arguments: &ConfigArguments,
    flags: Vec<(&'static str, &'static str, serde_json::Value)>,
    purpose: Purpose<'_>,
    variables: Vec<(String, String)>,
) -> Result<Loaded, ConfigError> {
    let named = |name: &str| {
        let variable = variables.iter().find(|(other, text)| other == name && !text.is_empty());
        variable.map(|(_, text)| text.into())
    };
    let postgrest = arguments.postgrest_config.clone().or_else(|| named("GOFORWARD_POSTGREST_CONFIG"));
    let mut sources = Loader::new();
    // A replacement of PostgREST answers where PostgREST does: at the root.
    let alone = matches!(purpose, Purpose::Serve([Service::Rest]));
    if alone && postgrest.is_some() {
        sources = sources.default_value("rest.prefix", "".into())?;
    }
    if let Purpose::Examine = purpose {
        // Neither needs the signing secret, which production asks for.
        sources = sources.default_value("environment", "development".into())?;
    }
    if let Some(path) = arguments.config.clone().or_else(|| named("GOFORWARD_CONFIG")) {
        sources = sources.file(&path)?;
    }
    if let Some(path) = postgrest {
        sources = sources.postgrest_file(&path)?;
    }
    sources = sources.environment(variables)?;
    for (flag, key, value) in flags {
        sources = sources.flag(flag, key, value)?;
    }
    if let Some(path) = &arguments.data_dir {
        sources = sources.flag("--data-dir", "embedded.data_dir", path.to_string_lossy().into())?;
    }
    for (key, text) in &arguments.set {
        sources = sources.flag_text("--set", key, text)?;
    }
    let loaded = sources.load()?;
    if loaded.config.rest.prefix.is_empty() && !alone && matches!(purpose, Purpose::Serve(_)) {
        return Err(empty_prefix(&loaded));
    }
    Ok(loaded)
}

fn empty_prefix(loaded: &Loaded) -> ConfigError {
    ConfigError::Refused {
        key: "rest.prefix".to_owned(),
        place: loaded.source("rest.prefix").clone(),
        reason: "may be empty only with `serve --only rest`".to_owned(),
    }
}

fn print(out: &mut dyn Write, text: &str) -> Result<u8, ActionError> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever reads the first lines only has what they want.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(0),
    }
}
