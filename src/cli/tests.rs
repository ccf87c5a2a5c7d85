//! The commands as a user meets them: what they print, where, and with which exit code.

use std::path::PathBuf;

use super::output::start_text;
use super::*;
use crate::kernel::config::Environment;
use crate::kernel::secret::Secret;

/// Answers with fixed data.
struct Fixed;

fn keys() -> Keys {
    Keys {
        api_url: "http://127.0.0.1:8000".to_owned(),
        anon_key: Some(Secret::new("the-anon-key")),
        service_role_key: Some(Secret::new("the-service-key")),
        jwt_secret: None,
        database_url: Some(Secret::new("postgres://owner:word@/db")),
    }
}

impl Actions for Fixed {
    async fn serve(&self, _: Loaded, _: ServeOptions) -> Result<(), ActionError> {
        Err("port 8000 is in use\nby another program".into())
    }

    async fn keys(&self, _: Loaded) -> Result<Keys, ActionError> {
        Ok(keys())
    }

    async fn rotate_keys(&self, loaded: Loaded) -> Result<KeyRotation, ActionError> {
        let unopened = loaded.config.rest.plan_enabled.then(|| "1 open\nwith no key".to_owned());
        let lines = vec!["mails: 3 sealed anew".to_owned(), "tokens: 0 sealed anew".to_owned()];
        Ok(KeyRotation { lines, failures: unopened.into_iter().collect() })
    }

    async fn health(&self, loaded: Loaded) -> Result<(), ActionError> {
        if loaded.config.server.port == 8000 { Ok(()) } else { Err("nobody is there".into()) }
    }

    async fn doctor(&self, loaded: Loaded) -> Result<Vec<Finding>, ActionError> {
        let severity = if loaded.config.rest.plan_enabled { Severity::Problem } else { Severity::Note };
        let (title, meaning) = ("No superuser.".to_owned(), "Changes are polled.".to_owned());
        Ok(vec![Finding { severity, title, meaning, sql: Some("alter role x superuser;".to_owned()) }])
    }

    async fn policy(&self, _: Loaded, task: PolicyTask) -> Result<PolicyReport, ActionError> {
        let entry = PolicyEntry { title: format!("{task:?}"), details: vec!["create policy p".to_owned()] };
        let differs = matches!(task, PolicyTask::Diff(_));
        let failures = match task {
            PolicyTask::Export { .. } => vec!["public.a: cannot be\nread".to_owned()],
            _ => Vec::new(),
        };
        Ok(PolicyReport { text: String::new(), entries: vec![entry], failures, differs })
    }

    async fn realtime(&self, _: Loaded, task: RealtimeTask) -> Result<String, ActionError> {
        Ok(format!("{task:?}\n"))
    }

    async fn s3_keys(&self, _: Loaded, task: S3KeyTask) -> Result<String, ActionError> {
        Ok(format!("{task:?}\n"))
    }

    async fn storage(&self, _: Loaded, task: StorageTask) -> Result<StorageReport, ActionError> {
        let StorageTask::Check { repair, .. } = task;
        Ok(StorageReport { text: format!("{task:?}\n"), differs: !repair })
    }
}

/// Exit code, standard output, standard error.
fn call(arguments: &[&str], variables: &[(&str, &str)]) -> (u8, String, String) {
    let arguments = std::iter::once("goforward").chain(arguments.iter().copied()).map(OsString::from);
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let code = execute(&Fixed, arguments, variables, &mut out, &mut errors);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(errors).unwrap())
}

#[test]
fn version_and_help_go_to_the_standard_output() {
    let version = format!("goforward {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(call(&["version"], &[]), (0, version.clone(), String::new()));
    assert_eq!(call(&["--version"], &[]), (0, version, String::new()));
    let (code, out, errors) = call(&["--help"], &[]);
    assert!(code == 0 && errors.is_empty() && out.contains("serve"));
}

#[test]
fn wrong_usage_is_one_line_and_exit_code_2() {
    for (arguments, expected) in [
        (&["sevre"][..], "unrecognized subcommand 'sevre'; tip: a similar subcommand exists: 'serve'"),
        (
            &["serve", "--prot", "1"],
            "unexpected argument '--prot' found; tip: a similar argument exists: '--port'",
        ),
        (
            &["serve", "--port", "70000"],
            "invalid value '70000' for '--port <PORT>': 70000 is not in 0..=65535",
        ),
        (
            &["serve", "--only", "nothing"],
            "invalid value 'nothing' for '--only <SERVICE>'; [possible values: rest, auth, realtime, storage]",
        ),
        (
            &["keys", "--set", "a"],
            "invalid value 'a' for '--set <KEY=VALUE>': expected KEY=VALUE, as in rest.max_rows=500",
        ),
        (&["keys", "--config"], "a value is required for '--config <FILE>' but none was supplied"),
    ] {
        let expected = format!("error: {expected}; for more information, try '--help'\n");
        assert_eq!(call(arguments, &[]), (2, String::new(), expected));
    }
    let (code, out, errors) = call(&[], &[]);
    assert!(code == 2 && out.is_empty() && errors.contains("Usage: goforward <COMMAND>"), "{errors}");
}

#[test]
fn help_says_how_to_begin_and_how_to_set_what_has_no_flag() {
    let (_, out, _) = call(&["--help"], &[]);
    assert!(out.contains("`goforward serve` needs no configuration"), "{out}");
    for help in ["-h", "--help"] {
        let (code, out, errors) = call(&["serve", help], &[]);
        assert!(code == 0 && errors.is_empty(), "{errors}");
        assert!(out.contains("GOFORWARD_SERVER__PORT") && out.contains("goforward config print"), "{out}");
    }
}

#[test]
fn the_rotation_of_keys_says_what_was_done_and_fails_where_something_is_left() {
    let done = "mails: 3 sealed anew\ntokens: 0 sealed anew\n".to_owned();
    assert_eq!(call(&["keys", "rotate"], &[]), (0, done.clone(), String::new()));
    let (code, out, errors) = call(&["keys", "rotate", "--set", "rest.plan_enabled=true"], &[]);
    assert_eq!((code, out, errors.as_str()), (1, done, "error: 1 open with no key\n"));
    assert_eq!(call(&["keys", "rotate", "--json"], &[]).0, 2);
}

#[test]
fn doctor_needs_no_signing_secret_and_the_server_does() {
    let database = [("DATABASE_URL", "postgres://owner@127.0.0.1/shop")];
    let (code, out, errors) = call(&["doctor"], &database);
    assert!(code == 0 && out.contains("No superuser."), "{errors}");
    let (code, _, errors) = call(&["serve"], &database);
    assert!(code == 1 && errors.starts_with("error: `auth.jwt_secret` is needed"), "{errors}");
    assert!(errors.contains("openssl rand -hex 32"), "{errors}");
}

#[test]
fn an_error_is_one_line_and_exit_code_1() {
    let (code, out, errors) = call(&["config", "print"], &[("GOFORWARD_SERVER__PROT", "1")]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(errors.starts_with("error: environment GOFORWARD_SERVER__PROT: unknown key"), "{errors}");
    assert_eq!(errors.lines().count(), 1);
    let (code, _, errors) = call(&["serve", "--config", "/nowhere/config.yaml"], &[]);
    assert_eq!(code, 1);
    assert!(errors.starts_with("error: /nowhere/config.yaml: cannot be read"), "{errors}");
    let (code, _, errors) = call(&["serve", "--log-level", "off"], &[]);
    assert_eq!((code, errors.as_str()), (1, "error: port 8000 is in use by another program\n"));
}

#[test]
fn config_print_shows_values_of_all_sources() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    std::fs::write(&path, "server:\n  port: 1\n  admin_port: 2\n").unwrap();
    let path = path.to_str().unwrap();
    let variables =
        [("GOFORWARD_CONFIG", path), ("GOFORWARD_SERVER__PORT", "3"), ("GOFORWARD_PORT", "tcp://")];
    let (code, out, errors) = call(&["config", "print", "--changed", "--set", "rest.max_rows=4"], &variables);
    assert_eq!(code, 0);
    let rows: Vec<String> =
        out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "server.port = 3 # environment GOFORWARD_SERVER__PORT".to_owned(),
        format!("server.admin_port = 2 # {path}:3"),
        "rest.max_rows = 4 # flag --set".to_owned(),
    ];
    assert_eq!(rows, expected);
    assert!(errors.starts_with("warning: environment GOFORWARD_PORT"), "{errors}");
    let (_, out, _) = call(&["config", "print", "--json", "--data-dir", "/data"], &variables);
    let printed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(printed["server.port"]["value"], 3);
    assert_eq!(printed["embedded.data_dir"]["source"], "flag --data-dir");
}

#[test]
fn flags_of_serve_reach_the_configuration() {
    let arguments = ["serve", "--host", "::1", "--port", "9", "--admin-port", "10", "--log-level", "debug"];
    let Command::Serve(serve) =
        Arguments::try_parse_from(std::iter::once("goforward").chain(arguments)).unwrap().command
    else {
        panic!("serve is the command");
    };
    let loaded = load(&serve.config, serve.flags(), Purpose::Serve(&serve.only), Vec::new()).unwrap();
    let config = &loaded.config;
    assert_eq!((config.server.host.as_str(), config.server.port), ("::1", 9));
    assert_eq!((config.server.admin_port, config.log.level.as_str()), (Some(10), "debug"));
}

#[test]
fn rest_alone_with_a_file_of_postgrest_answers_at_the_root() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("postgrest.conf");
    std::fs::write(&path, "db-uri = \"postgres://a@b/c\"\n").unwrap();
    let postgrest = |prefix: Option<&str>, only: &[Service]| {
        let arguments =
            ConfigArguments { postgrest_config: Some(path.clone()), ..ConfigArguments::default() };
        let variables = prefix.map(|text| ("GOFORWARD_REST__PREFIX".to_owned(), text.to_owned()));
        load(&arguments, Vec::new(), Purpose::Serve(only), variables.into_iter().collect())
    };
    let prefix = |loaded: Loaded| loaded.config.rest.prefix;
    assert_eq!(prefix(postgrest(None, &[Service::Rest]).unwrap()), "");
    assert_eq!(prefix(postgrest(Some("/api"), &[Service::Rest]).unwrap()), "/api");
    assert_eq!(prefix(postgrest(None, &[]).unwrap()), "/rest/v1");
    let refused = postgrest(Some(""), &[]).unwrap_err().to_string();
    assert!(refused.contains("only with `serve --only rest`"), "{refused}");
}

#[test]
fn health_is_a_word_or_an_error() {
    assert_eq!(call(&["health"], &[]), (0, "ready\n".to_owned(), String::new()));
    let absent = (1, String::new(), "error: nobody is there\n".to_owned());
    assert_eq!(call(&["health", "--set", "server.port=1"], &[]), absent);
}

#[test]
fn keys_are_printed_as_lines_and_as_json() {
    let (code, out, _) = call(&["keys"], &[]);
    assert_eq!(code, 0);
    assert!(out.contains("service_role_key  the-service-key") && !out.contains("jwt_secret"), "{out}");
    let (_, out, _) = call(&["keys", "--json"], &[]);
    let printed: serde_json::Value = serde_json::from_str(&out).unwrap();
    let expected = serde_json::json!({
        "api_url": "http://127.0.0.1:8000", "anon_key": "the-anon-key", "service_role_key": "the-service-key",
        "jwt_secret": null, "database_url": "postgres://owner:word@/db",
    });
    assert_eq!(printed, expected);
}

#[test]
fn doctor_says_what_it_found_and_fails_for_problems_only() {
    let (code, out, _) = call(&["doctor"], &[]);
    assert_eq!(
        (code, out.as_str()),
        (0, "[note] No superuser.\n    Changes are polled.\n      alter role x superuser;\n")
    );
    let (code, out, _) = call(&["doctor", "--json", "--set", "rest.plan_enabled=true"], &[]);
    let printed: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &printed[0]["severity"]), (1, &"problem".into()));
}

#[test]
fn the_linter_is_told_the_form_and_the_threshold() {
    for (arguments, task) in [
        (&["policy", "lint"][..], "Lint { json: false, fail_on: Problem }"),
        (&["policy", "lint", "--json", "--fail-on", "note"], "Lint { json: true, fail_on: Note }"),
    ] {
        let (code, out, _) = call(arguments, &[]);
        assert_eq!((code, out.lines().next()), (0, Some(task)), "{arguments:?}");
    }
    assert_eq!(call(&["policy", "lint", "--fail-on", "anything"], &[]).0, 2);
}

#[test]
fn the_start_report_names_url_keys_and_data() {
    let report = StartReport {
        environment: Environment::Development,
        keys: keys(),
        admin_url: None,
        data_dir: Some(PathBuf::from("./goforward-data")),
        database: "PostgreSQL 17, embedded".to_owned(),
        started_in_millis: 900,
    };
    let text = start_text(&report);
    for part in
        ["http://127.0.0.1:8000", "the-anon-key", "./goforward-data", "PostgreSQL 17, embedded", "900 ms"]
    {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!format!("{report:?}").contains("the-service-key"));
}

#[test]
fn policy_tasks_reach_the_actions_and_decide_the_exit_code() {
    let (code, out, _) = call(&["policy", "diff", "--file", "a.yaml", "--dir", "b", "--prune"], &[]);
    let files = "PolicyFiles { files: [\"a.yaml\"], dir: Some(\"b\"), prune: true }";
    assert_eq!((code, out), (1, format!("Diff({files})\n    create policy p\n")));
    let arguments =
        ["policy", "apply", "--pack", "private-per-user", "--table", "public.a", "--with", "owner=who"];
    let (code, out, _) = call(&arguments, &[]);
    assert_eq!(code, 0);
    assert!(out.contains("table: \"public.a\", settings: [(\"owner\", \"who\")]"), "{out}");
    let (code, _, errors) = call(&["policy", "export"], &[]);
    assert_eq!((code, errors.as_str()), (1, "error: public.a: cannot be read\n"));
    for wrong in [
        &["policy", "apply", "--pack", "team"][..],
        &["policy", "apply", "--pack", "team", "--table", "a", "--file", "b"],
        &["policy", "apply", "--table", "a"],
        &["policy", "apply", "--pack", "team", "--table", "a", "--with", "b"],
    ] {
        assert_eq!(call(wrong, &[]).0, 2, "{wrong:?}");
    }
}

#[test]
fn keys_of_the_s3_protocol_are_made_listed_and_deleted() {
    for (arguments, task) in [
        (
            &["s3-keys", "create", "a", "--role", "b", "--subject", "c"][..],
            "Create { name: \"a\", role: Some(\"b\"), subject: Some(\"c\"), json: false }",
        ),
        (&["s3-keys", "create", "--json"], "Create { name: \"\", role: None, subject: None, json: true }"),
        (&["s3-keys", "list"], "List { json: false }"),
        (&["s3-keys", "delete", "a"], "Delete { id: \"a\" }"),
    ] {
        assert_eq!(call(arguments, &[]), (0, format!("{task}\n"), String::new()), "{arguments:?}");
    }
    // Under the role of servers policies look at no user.
    assert_eq!(call(&["s3-keys", "create", "a", "--subject", "c"], &[]).0, 2);
}

#[test]
fn what_holds_for_channels_is_said_as_the_api_takes_it() {
    let fields = r#""pattern": String("a"), "private_only": Bool(false), "roles": Array [String("b"), String("c")], "max_members": Null, "max_payload_bytes": Null, "messages_per_second": Null, "replay": Bool(true)"#;
    let (code, out, errors) = call(&["channels", "set", "a", "--role", "b", "--role", "c", "--replay"], &[]);
    assert_eq!((code, out, errors), (0, format!("Define({{{fields}}})\n"), String::new()));
    for (arguments, task) in [
        (&["channels", "list", "--json"][..], "ListDefinitions { json: true }"),
        (&["channels", "remove", "a"], "RemoveDefinition { pattern: \"a\" }"),
        (&["realtime", "tables"], "ListTables { json: false }"),
        (&["realtime", "publish", "public.a"], "Publish { table: \"public.a\" }"),
        (&["realtime", "withdraw", "public.a"], "Withdraw { table: \"public.a\" }"),
    ] {
        assert_eq!(call(arguments, &[]), (0, format!("{task}\n"), String::new()), "{arguments:?}");
    }
    assert_eq!(call(&["channels", "set"], &[]).0, 2);
    assert_eq!(call(&["channels", "set", "a", "--max-members", "-1"], &[]).0, 2);
}

#[test]
fn what_is_wrong_with_stored_objects_is_the_exit_code() {
    for (arguments, code, said) in [
        (&["storage", "fsck"][..], 1, "repair: false, remove_objects: false, json: false"),
        (&["storage", "fsck", "--repair"], 0, "repair: true, remove_objects: false, json: false"),
        (
            &["storage", "fsck", "--repair", "--remove-objects", "--json"],
            0,
            "repair: true, remove_objects: true, json: true",
        ),
    ] {
        assert_eq!(
            call(arguments, &[]),
            (code, format!("Check {{ {said} }}\n"), String::new()),
            "{arguments:?}"
        );
    }
    assert_eq!(call(&["storage", "fsck", "--remove-objects"], &[]).0, 2);
}
