//! The rules of the configuration as a whole: precedence, refusals, secrets, PostgREST's parameters, and that
//! the example file and the reference say what the code does.

use std::path::{Path, PathBuf};

use super::*;
use crate::kernel::secret::Secret;

const GOOD_SECRET: &str = "4f6d3c0a9be14d27a1c5e08f7b923d61";

fn yaml(text: &str) -> Result<Loaded, ConfigError> {
    Loader::new().file_text(Path::new("config.yaml"), text)?.load()
}

fn environment(variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let variables = variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Loader::new().environment(variables)?.load()
}

fn postgrest(text: &str) -> Result<Loaded, ConfigError> {
    let external = [("DATABASE_URL".to_owned(), "postgres://a@b/c".to_owned())];
    Loader::new().postgrest_text(Path::new("postgrest.conf"), text)?.environment(external)?.load()
}

fn refused(result: Result<Loaded, ConfigError>) -> String {
    let message = result.expect_err("must be refused").to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file_which_wins_over_defaults() {
    let text = "server:\n  host: file\n  port: 1\n  admin_port: 2\n";
    let variables = [("GOFORWARD_SERVER__HOST", "environment"), ("GOFORWARD_SERVER__PORT", "11")];
    let loaded = Loader::new()
        .file_text(Path::new("config.yaml"), text)
        .unwrap()
        .environment(variables.map(|(name, text)| (name.to_owned(), text.to_owned())))
        .unwrap()
        .flag("--host", "server.host", "flag".into())
        .unwrap()
        .load()
        .unwrap();
    let server = &loaded.config.server;
    assert_eq!((server.host.as_str(), server.port, server.admin_port), ("flag", 11, Some(2)));
    assert_eq!(server.max_connections, ServerConfig::default().max_connections);
    assert_eq!(loaded.source("server.host").to_string(), "flag --host");
    assert_eq!(loaded.source("server.port").to_string(), "environment GOFORWARD_SERVER__PORT");
    assert_eq!(loaded.source("server.admin_port").to_string(), "config.yaml:4");
    assert_eq!(loaded.source("server.max_connections").to_string(), "default");
}

#[test]
fn without_any_source_everything_has_its_default_and_the_embedded_database_means_development() {
    let loaded = Loader::new().load().unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.config.environment(), Environment::Development);
    assert!(!loaded.config.requires_api_key());
    loaded.config.validate().unwrap();
    let open = environment(&[("GOFORWARD_SERVER__HOST", "0.0.0.0")]).unwrap();
    assert_eq!(open.config.environment(), Environment::Production);
    assert!(open.config.requires_api_key());
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_key() {
    let message = refused(yaml("server:\n  host: a\n  prot: 3\n"));
    assert_eq!(message, "config.yaml:3: unknown key `server.prot`; did you mean `server.port`?");
    let message = refused(yaml("servre:\n  host: a\n"));
    assert_eq!(message, "config.yaml:1: unknown key `servre`; did you mean `server`?");
    let message = refused(yaml("# c\nrest: {max_rows: 1,\n  db-schemas: x}\n"));
    assert!(message.starts_with("config.yaml:3: unknown key `rest.db-schemas`"), "{message}");
    let message = refused(yaml("server.port: 3\n"));
    assert!(message.starts_with("config.yaml:1: unknown key `server.port`"), "{message}");
    let message = refused(environment(&[("GOFORWARD_SERVER__PROT", "3")]));
    let expected = "environment GOFORWARD_SERVER__PROT: unknown key `server.prot`; did you mean `GOFORWARD_SERVER__PORT`?";
    assert_eq!(message, expected);
    let message = refused(postgrest("db-maxrows = 3\n"));
    let expected = "postgrest.conf:1: unknown key `db-maxrows`; docs/configuration.md lists all keys";
    assert_eq!(message, expected);
}

#[test]
fn a_wrong_type_or_a_value_out_of_range_is_refused_where_it_was_written() {
    for (text, expected) in [
        (
            "server:\n  port: abc\n",
            "config.yaml:2: `server.port` must be a whole number from 0 to 65535, not `abc`",
        ),
        (
            "server:\n  port: 70000\n",
            "config.yaml:2: `server.port` must be a whole number from 0 to 65535, not `70000`",
        ),
        (
            "server:\n  port: -1\n",
            "config.yaml:2: `server.port` must be a whole number from 0 to 65535, not `-1`",
        ),
        (
            "server:\n  port: [1]\n",
            "config.yaml:2: `server.port` must be a whole number from 0 to 65535, not `[1]`",
        ),
        ("server:\n  compression: 3\n", "config.yaml:2: `server.compression` must be true or false, not `3`"),
        (
            "database:\n  max_connections: 1\n",
            "config.yaml:2: `database.max_connections` must be a whole number from 8 to 10000, not `1`",
        ),
        (
            "server:\n  read_timeout: 10\n",
            "config.yaml:2: `server.read_timeout` must be a duration such as 500ms, 10s or 5m from 100ms to 1h, not `10`",
        ),
        (
            "server:\n  max_url_bytes: 2GB\n",
            "config.yaml:2: `server.max_url_bytes` must be a size such as 64KB or 1MB from 256B to 1MB, not `2GB`",
        ),
        (
            "rest:\n\n  tx_end: never\n",
            "config.yaml:3: `rest.tx_end` must be one of commit, commit-allow-override, rollback, rollback-allow-override, not `never`",
        ),
        (
            "server:\n  trusted_proxies: [10.0.0.0/8, nonsense]\n",
            "config.yaml:2: `server.trusted_proxies` must be a list of network, as in [a, b], not `[\"10.0.0.0/8\",\"nonsense\"]`",
        ),
        ("server: 3\n", "config.yaml:1: `server` must be a section with keys such as `server.host`"),
        ("auth:\n  jwt_secret: [hidden]\n", "config.yaml:2: `auth.jwt_secret` must be text, not what it is"),
    ] {
        assert_eq!(refused(yaml(text)), expected);
    }
    let message = refused(environment(&[("GOFORWARD_SERVER__PORT", "x")]));
    assert!(message.starts_with("environment GOFORWARD_SERVER__PORT: `server.port` must be"), "{message}");
    let message = refused(yaml("server:\n  host: [\n"));
    assert!(message.starts_with("config.yaml:"), "{message}");
    let message = refused(yaml("server:\n  port: 1\n  port: 2\n"));
    assert!(message.starts_with("config.yaml:3: "), "{message}");
}

#[test]
fn an_overridden_mistake_is_still_a_mistake() {
    let loader = Loader::new().file_text(Path::new("config.yaml"), "server:\n  port: x\n");
    assert!(loader.is_err());
}

#[test]
fn empty_sections_and_an_empty_file_change_nothing() {
    for text in ["", "# nothing\n", "server:\nrest:\n  openapi:\n"] {
        assert_eq!(yaml(text).unwrap().config, Config::default(), "{text}");
    }
}

#[test]
fn lists_switches_maps_and_absent_values_are_read_from_the_environment() {
    let loaded = environment(&[
        ("GOFORWARD_REST__SCHEMAS", "api, public"),
        ("GOFORWARD_REST__EXTRA_SEARCH_PATH", r#"["a,b"]"#),
        ("GOFORWARD_REST__MAX_ROWS", ""),
        ("GOFORWARD_REST__AGGREGATES_ENABLED", "on"),
        ("GOFORWARD_REST__APP_SETTINGS__HOST", "one"),
        ("GOFORWARD_EMBEDDED__SETTINGS", r#"{"work_mem": "16MB"}"#),
        ("GOFORWARD_SERVER__TRUSTED_PROXIES", "10.0.0.0/8,::1/128"),
        ("GOFORWARD_SERVER__RATE_LIMITS__PER_IP__REQUESTS", "5"),
        ("GOFORWARD_AUTH__JWT_SECRET", ""),
    ])
    .unwrap();
    let Config { rest, embedded, server, auth, .. } = &loaded.config;
    assert_eq!(rest.schemas, ["api", "public"]);
    assert_eq!(rest.extra_search_path, ["a,b"]);
    assert_eq!(rest.max_rows, None);
    assert!(rest.aggregates_enabled);
    assert_eq!(rest.app_settings["host"].expose(), "one");
    assert_eq!(embedded.settings["work_mem"], "16MB");
    assert_eq!(server.trusted_proxies.len(), 2);
    let limit = server.rate_limits.per_ip.clone().unwrap();
    assert_eq!((limit.requests, *limit.period), (5, std::time::Duration::from_mins(1)));
    assert_eq!(auth.jwt_secret, None);
}

#[test]
fn what_stands_behind_a_name_of_a_map_is_read_from_the_environment_as_a_whole_or_key_by_key() {
    let loaded = environment(&[
        ("GOFORWARD_AUTH__EXTERNAL", r#"{"google": {"client_id": "g"}}"#),
        ("GOFORWARD_AUTH__EXTERNAL__GITHUB__CLIENT_ID", "123"),
        ("GOFORWARD_AUTH__EXTERNAL__GITHUB__CLIENT_SECRET", "hidden"),
        ("GOFORWARD_AUTH__EXTERNAL__GITHUB__ENABLED", "false"),
        ("GOFORWARD_AUTH__EXTERNAL__GITHUB__SCOPES", r#"["repo"]"#),
    ])
    .unwrap();
    let external = &loaded.config.auth.external;
    assert_eq!(external["google"].client_id, "g");
    let github = &external["github"];
    assert_eq!((github.client_id.as_str(), github.enabled), ("123", false));
    assert_eq!(github.client_secret.as_ref().unwrap().expose(), "hidden");
    assert_eq!(github.scopes, ["repo"]);
    assert!(!printed_text(&loaded.values()).contains("hidden"));
    for (name, value) in [
        ("GOFORWARD_AUTH__EXTERNAL__GITHUB__CLIENT_NAME", "x"),
        ("GOFORWARD_AUTH__EXTERNAL__GITHUB__ENABLED", "hidden"),
        ("GOFORWARD_AUTH__EXTERNAL__GITHUB", "hidden"),
    ] {
        let error = environment(&[(name, value)]).unwrap_err().to_string();
        assert!(!error.contains("hidden"), "{error}");
    }
}

#[test]
fn variables_that_an_orchestrator_makes_are_ignored_with_a_warning() {
    let loaded = environment(&[
        ("GOFORWARD_SERVICE_HOST", "10.0.0.1"),
        ("GOFORWARD_PORT", "tcp://10.0.0.1:8000"),
        ("GOFORWARD_CONFIG", "x.yaml"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings.len(), 2);
    assert!(loaded.warnings[0].contains("did you mean GOFORWARD_SERVER__PORT?"), "{:?}", loaded.warnings);
}

#[test]
fn secrets_are_read_from_files_and_never_from_two_places() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, format!("{GOOD_SECRET}\n")).unwrap();
    let file = path.to_str().unwrap();
    let url = folder.path().join("url");
    std::fs::write(&url, "postgres://a:b@c/d\r\n").unwrap();
    let loaded = environment(&[
        ("GOFORWARD_AUTH__JWT_SECRET_FILE", file),
        ("DATABASE_URL_FILE", url.to_str().unwrap()),
    ])
    .unwrap();
    assert_eq!(loaded.config.auth.jwt_secret, Some(Secret::new(GOOD_SECRET)));
    assert_eq!(loaded.config.database.url.as_ref().unwrap().expose(), "postgres://a:b@c/d");
    assert!(loaded.source("auth.jwt_secret").to_string().ends_with("(from GOFORWARD_AUTH__JWT_SECRET_FILE)"));

    let list = folder.path().join("list");
    std::fs::write(&list, "older one\r\n\nolder, two\n").unwrap();
    let loaded =
        environment(&[("GOFORWARD_AUTH__PREVIOUS_ROOT_SECRETS_FILE", list.to_str().unwrap())]).unwrap();
    let listed = loaded.config.auth.previous_root_secrets.iter().map(Secret::expose).collect::<Vec<_>>();
    assert_eq!(listed, ["older one", "older, two"]);
    let both = [("GOFORWARD_AUTH__JWT_SECRET_FILE", file), ("GOFORWARD_AUTH__JWT_SECRET", GOOD_SECRET)];
    assert!(refused(environment(&both)).contains("keep one of the two"));
    let missing = folder.path().join("missing");
    let message = refused(environment(&[("GOFORWARD_AUTH__JWT_SECRET_FILE", missing.to_str().unwrap())]));
    assert!(message.contains("cannot be read"), "{message}");
    // Only secrets have a variant with a file.
    assert!(refused(environment(&[("GOFORWARD_SERVER__HOST_FILE", file)])).contains("unknown key"));
}

#[test]
fn lists_of_secrets_are_bounded_and_never_shown() {
    let set = |text: &str| environment(&[("GOFORWARD_AUTH__PREVIOUS_ROOT_SECRETS", text)]);
    let printed = printed_text(&set("old-one,old-two").unwrap().values());
    assert!(printed.contains(r#"auth.previous_root_secrets = ["***","***"]"#), "{printed}");
    assert!(refused(set("1,2,3,4,5,6,7,8,9")).contains("more than 8"));
    let message = refused(set(r#"["old-one", 5]"#));
    assert!(!message.contains("old-one"), "{message}");
}

#[test]
fn printed_values_name_their_source_and_mask_secrets() {
    let loaded = environment(&[
        ("DATABASE_URL", "postgres://owner:hidden-word@host/db"),
        ("GOFORWARD_AUTH__JWT_SECRET", GOOD_SECRET),
        ("GOFORWARD_REST__APP_SETTINGS__KEY", "hidden-word"),
    ])
    .unwrap();
    let values = loaded.values();
    assert_eq!(values.len(), keys().len());
    let text = printed_text(&values) + &printed_json(&values).to_string() + &format!("{loaded:?}");
    assert!(!text.contains("hidden-word") && !text.contains(GOOD_SECRET));
    assert!(text.contains("server.port = 8000"));
    let url = values.iter().find(|row| row.key == "database.url").unwrap();
    assert_eq!((url.value.as_str(), url.source.as_str()), (Some("***"), "environment DATABASE_URL"));
    let own = values.iter().find(|row| row.key == "rest.app_settings").unwrap();
    assert_eq!(own.source, "environment GOFORWARD_REST__APP_SETTINGS__KEY");
}

#[test]
fn production_refuses_demo_and_short_secrets_and_development_takes_them() {
    let demo = "super-secret-jwt-token-with-at-least-32-characters-long";
    let encoded = "cmVhbGx5cmVhbGx5cmVhbGx5cmVhbGx5dmVyeXNhZmU=";
    for (secret, base64, reason) in [
        (demo, "false", "known from documentation"),
        ("reallyreallyreallyreallyverysafe", "false", "known from documentation"),
        (encoded, "true", "known from documentation"),
        ("this is no base64! but long enough otherwise", "true", "not valid base64"),
        ("thirty-one-bytes-are-not-enough", "false", "shorter than 32 bytes"),
    ] {
        let variables = |environment| {
            [
                ("GOFORWARD_ENVIRONMENT", environment),
                ("GOFORWARD_AUTH__JWT_SECRET", secret),
                ("GOFORWARD_AUTH__JWT_SECRET_IS_BASE64", base64),
            ]
        };
        for place in ["production", "staging"] {
            let message = refused(environment(&variables(place)));
            assert!(message.contains(reason) && !message.contains(secret), "{message}");
        }
        assert_eq!(environment(&variables("development")).is_ok(), reason != "not valid base64");
    }
    environment(&[("GOFORWARD_ENVIRONMENT", "production"), ("GOFORWARD_AUTH__JWT_SECRET", GOOD_SECRET)])
        .unwrap();
    let jwk = r#"{"keys":[{"kty":"RSA"}]}"#;
    environment(&[("GOFORWARD_ENVIRONMENT", "production"), ("GOFORWARD_AUTH__JWT_SECRET", jwk)]).unwrap();
    let message = refused(environment(&[("DATABASE_URL", "postgres://a@b/c")]));
    assert!(message.contains("`auth.jwt_secret` is needed"), "{message}");
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (text, reason) in [
        ("server: {port: 9, admin_port: 9}", "must differ"),
        ("server: {public_url: example.com}", "https://api.example.com"),
        ("server: {cors: {allowed_origins: [example.com]}}", "holds `example.com`"),
        ("server: {body_memory: 2MB, body_limits: {rest: 3MB}}", "at least as large"),
        ("database: {name: app}", "needs `database.host` or `database.url`"),
        ("embedded: {settings: {port: 5432}}", "must not set `port`"),
        ("rest: {prefix: rest}", "must be empty or like"),
        ("rest: {schemas: []}", "at least one schema"),
        ("rest: {schemas: [pg_catalog]}", "must not hold `pg_catalog`"),
        ("auth: {jwt_audience: '1:b'}", "must be a URI"),
        ("rest: {trace_header: 'not a header'}", "name of a header"),
    ] {
        let message = refused(yaml(text));
        assert!(message.starts_with("config.yaml:1: ") && message.contains(reason), "{message}");
    }
}

#[test]
fn a_configuration_made_by_a_program_is_checked_the_same() {
    let mut config = Config::default();
    config.database.max_connections = 1;
    assert!(config.validate().unwrap_err().to_string().contains("from 8 to 10000"));
    let loaded = Loader::new().set("rest.max_rows", 5.into()).unwrap().load().unwrap();
    assert_eq!(loaded.config.rest.max_rows, Some(5));
    assert!(Loader::new().set("rest.maxrows", 5.into()).is_err());
}

#[test]
fn the_postgrest_profile_changes_defaults_and_each_can_still_be_set_alone() {
    let loaded = yaml("rest:\n  profile: postgrest\n  protect_relations: true\n").unwrap();
    let rest = &loaded.config.rest;
    assert!(rest.protect_relations && rest.allow_unfiltered_writes && rest.verbose_errors);
    assert_eq!((rest.max_rows, rest.anon_role.as_deref()), (None, None));
    assert_eq!(rest.extra_search_path, ["public"]);
    assert!(!loaded.config.requires_api_key());
    assert_eq!(loaded.source("rest.max_rows").to_string(), "default of the postgrest profile");
    assert_eq!(loaded.source("rest.protect_relations").to_string(), "config.yaml:3");
}

#[test]
fn a_file_of_postgrest_sets_our_keys_and_the_profile() {
    let text = r#"
        db-uri = "postgres://me@host/db"
        db-schemas = "test,v1"
        db-extra-search-path = ""
        db-anon-role = "web_anon"
        db-max-rows = "2"
        db-tx-end = "rollback-allow-override"
        db-pool-acquisition-timeout = 5
        db-aggregates-enabled = "True"
        db-plan-enabled = 1
        jwt-secret = "reallyreallyreallyreallyverysafe"
        jwt-role-claim-key = ".roles[0]"
        log-level = "crit"
        openapi-mode = "ignore-privileges"
        server-host = "!4"
        server-port = 3000
        server-cors-allowed-origins = "http://example.com,http://example2.com"
        app.settings.app_host = "localhost"
        server-unix-socket = "/tmp/x"
        server-unix-socket-mode = 600
        server-reuseport = true
    "#;
    let development = [("GOFORWARD_ENVIRONMENT".to_owned(), "development".to_owned())];
    let loaded = Loader::new()
        .postgrest_text(Path::new("postgrest.conf"), text)
        .unwrap()
        .environment(development)
        .unwrap()
        .load()
        .unwrap();
    let Config { rest, server, auth, database, log, .. } = &loaded.config;
    assert_eq!(rest.profile, RestProfile::Postgrest);
    assert_eq!(rest.schemas, ["test", "v1"]);
    assert!(rest.extra_search_path.is_empty() && rest.aggregates_enabled && rest.plan_enabled);
    assert_eq!((rest.max_rows, rest.anon_role.as_deref()), (Some(2), Some("web_anon")));
    assert!(rest.tx_end.rolls_back() && rest.tx_end.allows_override());
    assert_eq!(rest.openapi.mode, OpenApiMode::IgnorePrivileges);
    assert_eq!(rest.app_settings["app_host"].expose(), "localhost");
    assert_eq!((server.host.as_str(), server.port), ("0.0.0.0", 3000));
    assert_eq!(server.unix_socket.as_deref(), Some(Path::new("/tmp/x")));
    assert_eq!(server.unix_socket_mode.to_string(), "600");
    assert_eq!(server.cors.allowed_origins, ["http://example.com", "http://example2.com"]);
    assert_eq!(auth.jwt_role_claim_path, ".roles[0]");
    assert_eq!(database.acquire_timeout, TimeSpan::seconds(5));
    assert_eq!(database.url.as_ref().unwrap().expose(), "postgres://me@host/db");
    assert_eq!(log.level, LogLevel::Error);
    assert_eq!(loaded.warnings, ["postgrest.conf:21: `server-reuseport` has no counterpart and is ignored"]);
    assert!(refused(postgrest("jwt-secret = \"short\"")).contains("shorter than 32 bytes"));
    assert!(
        refused(postgrest("db-tx-end = \"x\"")).starts_with("postgrest.conf:1: `rest.tx_end` must be one of")
    );
}

#[test]
fn empty_values_of_postgrest_mean_not_set() {
    let text = "db-anon-role = \"\"\njwt-secret = \"\"\ndb-max-rows = \"\"\ndb-pre-request = \"\"\nserver-trace-header = \"\"";
    let loaded = postgrest(text).unwrap();
    let Config { rest, auth, .. } = &loaded.config;
    assert_eq!(
        (&rest.anon_role, rest.max_rows, &rest.pre_request, &rest.trace_header),
        (&None, None, &None, &None)
    );
    assert_eq!(auth.jwt_secret, None);
}

#[test]
fn settings_in_the_database_win_over_everything_and_are_forgotten_when_they_go() {
    let start = environment(&[("GOFORWARD_REST__MAX_ROWS", "7")]).unwrap();
    let settings =
        [("db_max_rows", "3"), ("pgrst.db_schemas", "api, public"), ("server-timing-enabled", "true")];
    let loaded = start.with_database_settings(settings).unwrap();
    assert_eq!(loaded.config.rest.max_rows, Some(3));
    assert_eq!(loaded.config.rest.schemas, ["api", "public"]);
    assert!(loaded.config.rest.server_timing);
    assert_eq!(loaded.source("rest.max_rows").to_string(), "database setting pgrst.db_max_rows");
    assert_eq!(start.with_database_settings([]).unwrap().config, start.config);
    let message = refused(start.with_database_settings([("db_max_rows", "many")]));
    assert!(message.starts_with("database setting pgrst.db_max_rows: `rest.max_rows` must be"), "{message}");
    for name in ["db_uri", "server_port", "db_nonsense", "log_level"] {
        assert!(start.with_database_settings([(name, "1")]).is_err(), "{name}");
    }
    for name in DATABASE_SETTINGS {
        let known = keys().iter().any(|key| key.postgrest == Some(name.replace('_', "-").as_str()));
        assert!(known, "{name}");
    }
}

fn project_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Compares a file of the project with what the code gives, or writes it if `UPDATE_DOCS` is set.
fn same_as_file(name: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(project_file(name), expected).unwrap();
    }
    let found = std::fs::read_to_string(project_file(name)).unwrap();
    assert!(found == expected, "{name} is out of date: run UPDATE_DOCS=1 cargo test --lib config::tests");
}

#[test]
fn the_example_file_holds_every_key_with_its_default() {
    same_as_file("config.example.yaml", &reference::example_file());
    let example = std::fs::read_to_string(project_file("config.example.yaml")).unwrap();
    assert_eq!(yaml(&example).unwrap().config, Config::default(), "as it is, it changes nothing");
    let lines = example.lines().map(|line| {
        let text = line.trim_start();
        let indent = &line[..line.len() - text.len()];
        text.strip_prefix("# ").map_or_else(|| line.to_owned(), |key| format!("{indent}{key}"))
    });
    let active = lines.collect::<Vec<_>>().join("\n");
    let loaded = yaml(&active).unwrap();
    let unlimited = Some(RateLimit::default());
    let mut expected = Config::default();
    expected.server.rate_limits.per_ip.clone_from(&unlimited);
    expected.server.rate_limits.per_key.clone_from(&unlimited);
    expected.server.rate_limits.per_user.clone_from(&unlimited);
    assert_eq!(loaded.config, expected);
    for key in keys().iter().filter(|key| key.shape != Shape::Map) {
        assert_ne!(loaded.source(&key.path), &Source::Default, "{} is missing", key.path);
    }
}

#[test]
fn the_reference_lists_every_key_as_the_code_has_it() {
    const BEGIN: &str = "<!-- keys: made from the code by UPDATE_DOCS=1 cargo test --lib config::tests -->\n";
    const END: &str = "\n<!-- end of keys -->\n";
    let path = project_file("docs/configuration.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the marker before the tables");
    let (_, after) = rest.split_once(END).expect("the marker behind the tables");
    for name in DATABASE_SETTINGS {
        assert!(
            before.contains(&format!("`{name}`")),
            "{name} is missing among the settings in the database"
        );
    }
    let expected = format!("{before}{BEGIN}{}{END}{after}", reference::reference_tables());
    same_as_file("docs/configuration.md", &expected);
}
