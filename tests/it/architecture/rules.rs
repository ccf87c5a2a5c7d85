//! The rules over the code: imports between top folders, pure modules, SQL, file size, headers, names.
//!
//! Every failure names file and line. The lists of exceptions may only shrink: an entry that is not needed any more
//! fails the test too.

use super::source::{Source, product, root};

/// The folders that hold a service; they never import each other.
const SERVICES: [&str; 8] = ["auth", "rest", "realtime", "storage", "meta", "security", "admin", "jobs"];

/// What each top folder may import besides itself. `lib` and `main` may import everything.
const MAY_IMPORT: [(&str, &[&str]); 7] = [
    ("kernel", &[]),
    ("catalog", &["kernel"]),
    ("policy", &["kernel", "catalog"]),
    ("gateway", &["kernel"]),
    ("dashboard", &["kernel"]),
    ("app", &["kernel", "catalog", "policy", "gateway", "dashboard", "cli", "SERVICES"]),
    ("cli", &["kernel"]),
];

/// What a service may import.
const SERVICE_MAY_IMPORT: [&str; 3] = ["kernel", "catalog", "policy"];

/// Modules that must stay pure although no word in their header says so.
const PURE: [&str; 4] = ["rest/core/", "catalog/model", "catalog/relations", "policy/decide"];

/// Crates and modules that do I/O, read the clock or the environment, or draw random numbers.
const IMPURE: [&str; 16] = [
    "axum",
    "sqlx",
    "tokio",
    "tokio_util",
    "tokio_rustls",
    "reqwest",
    "hyper",
    "hyper_util",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "rand",
    "crate::kernel::clock",
    "crate::kernel::random",
];

/// Where SQL text may stand.
const SQL_HOMES: [&str; 8] = [
    "kernel/db/",
    "kernel/sql",
    "catalog/load",
    "catalog/reload",
    "rest/core/render",
    "rest/openapi/visible",
    "realtime/changes",
    "meta/",
];

/// Files above the cap, each with the number of lines it may have at most. May only shrink.
const LONG_FILES: [(&str, usize); 0] = [];

/// The cap on a file's lines.
const LINES: usize = 500;

/// Names that say nothing about what a module is for.
const EMPTY_NAMES: [&str; 9] =
    ["utils", "util", "helpers", "helper", "common", "misc", "manager", "managers", "shared"];

#[test]
fn top_folders_import_only_what_the_table_allows() {
    let mut broken = Vec::new();
    for file in product() {
        let allowed = allowed_imports(file.top());
        for (line, name) in file.imports() {
            let is_folder =
                SERVICES.contains(&name.as_str()) || MAY_IMPORT.iter().any(|(top, _)| *top == name);
            if is_folder && name != file.top() && !allowed.contains(&name.as_str()) {
                broken.push(format!("src/{}:{line} imports {name}", file.path));
            }
        }
    }

    assert!(broken.is_empty(), "imports against the table of docs/architecture.md:\n{}", broken.join("\n"));
}

#[test]
fn every_top_folder_has_a_place_in_the_table() {
    let unknown: Vec<String> = product()
        .iter()
        .map(|file| file.top().to_owned())
        .filter(|top| !matches!(top.as_str(), "lib" | "main") && !SERVICES.contains(&top.as_str()))
        .filter(|top| !MAY_IMPORT.iter().any(|(name, _)| name == top))
        .collect();

    assert!(unknown.is_empty(), "add these folders of src to the table of imports: {unknown:?}");
}

fn allowed_imports(top: &str) -> Vec<&'static str> {
    if SERVICES.contains(&top) {
        return SERVICE_MAY_IMPORT.to_vec();
    }
    match MAY_IMPORT.iter().find(|(name, _)| *name == top) {
        Some((_, names)) => {
            let services = if names.contains(&"SERVICES") { SERVICES.as_slice() } else { &[] };
            names.iter().copied().chain(services.iter().copied()).collect()
        }
        None => MAY_IMPORT.iter().map(|(name, _)| *name).chain(SERVICES).collect(),
    }
}

#[test]
fn pure_modules_do_no_input_or_output() {
    let mut broken = Vec::new();
    for file in product().iter().filter(|file| is_pure(file)) {
        for name in IMPURE {
            if let Some(line) = file.names_path(name) {
                broken.push(format!("src/{}:{line} names {name}", file.path));
            }
        }
    }

    assert!(broken.is_empty(), "pure modules must not do I/O:\n{}", broken.join("\n"));
}

fn is_pure(file: &Source) -> bool {
    let says_so = file.header().split(|c: char| !c.is_alphanumeric()).any(|word| word == "Pure");
    says_so || PURE.iter().any(|home| file.path.starts_with(home))
}

#[test]
fn sql_text_stands_only_in_its_homes() {
    let mut broken = Vec::new();
    for file in product() {
        if file.path.contains("/store/") || SQL_HOMES.iter().any(|home| file.path.starts_with(home)) {
            continue;
        }
        for (line, text) in &file.strings {
            if looks_like_sql(text) {
                broken.push(format!("src/{}:{line} {text:.60}", file.path));
            }
        }
    }

    assert!(
        broken.is_empty(),
        "SQL outside of its homes (a store, kernel/db, rest/core/render, ...):\n{}",
        broken.join("\n")
    );
}

/// A statement that would run, not a hint for people: hints are whole sentences or templates with `{}`.
fn looks_like_sql(text: &str) -> bool {
    let lower = text.trim_start().to_ascii_lowercase();
    let has = |word: &str| lower.contains(word);
    (lower.starts_with("select ") && (has(" from ") || has("(")))
        || lower.starts_with("insert into ")
        || (lower.starts_with("update ") && has(" set "))
        || lower.starts_with("delete from ")
        || (lower.starts_with("with ") && has(" as ("))
        || lower.starts_with("set local ")
        || lower.starts_with("notify ")
        || lower.starts_with("listen ")
}

#[test]
fn files_stay_short() {
    let mut broken = Vec::new();
    for file in product() {
        let lines = file.text.lines().count();
        let allowed =
            LONG_FILES.iter().find(|(path, _)| *path == file.path).map_or(LINES, |(_, lines)| *lines);
        if lines > allowed {
            broken.push(format!("src/{}: {lines} lines, at most {allowed}", file.path));
        } else if allowed > LINES && lines < allowed {
            broken.push(format!("src/{}: only {lines} lines: lower its entry in LONG_FILES", file.path));
        }
    }
    for (path, _) in LONG_FILES {
        if !root().join("src").join(path).exists() {
            broken.push(format!("{path} is gone: remove it from LONG_FILES"));
        }
    }

    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_opens_with_what_it_is_for() {
    let silent: Vec<String> =
        product().into_iter().filter(|file| !file.text.starts_with("//!")).map(|file| file.path).collect();

    assert!(silent.is_empty(), "these files of src do not open with //! lines: {silent:?}");
}

#[test]
fn no_module_has_an_empty_name() {
    let broken: Vec<String> = product()
        .into_iter()
        .filter(|file| file.module().iter().any(|part| EMPTY_NAMES.contains(part)))
        .map(|file| file.path)
        .collect();

    assert!(broken.is_empty(), "name these by what they hold: {broken:?}");
}

#[test]
fn unsafe_code_is_forbidden_in_both_roots() {
    for path in ["src/lib.rs", "src/main.rs"] {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        assert!(text.contains("#![forbid(unsafe_code)]"), "{path} does not forbid unsafe code");
    }
}

#[test]
fn exceptions_to_lints_say_why_and_expire() {
    let mut broken = Vec::new();
    for file in product() {
        for attribute in ["#[allow(", "#![allow("] {
            for (at, _) in file.bare.match_indices(attribute) {
                broken.push(format!("src/{}:{} use #[expect(.., reason = ..)]", file.path, file.line(at)));
            }
        }
        for (at, _) in file.code.match_indices("#[expect(") {
            let end = file.code[at..].find(']').map_or(file.code.len(), |end| at + end);
            if !file.code[at..end].contains("reason") {
                broken.push(format!("src/{}:{} an expectation without its reason", file.path, file.line(at)));
            }
        }
    }

    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn long_lived_tasks_have_an_owner() {
    let mut broken = Vec::new();
    for file in product().iter().filter(|file| !file.is_test()) {
        // It lasts until one question is answered, which is its whole point: nobody can break it off.
        if file.path == "kernel/db/pool.rs" {
            continue;
        }
        for (at, _) in file.bare.match_indices("tokio::spawn(") {
            broken.push(format!("src/{}:{}", file.path, file.line(at)));
        }
    }

    assert!(
        broken.is_empty(),
        "spawn through a TaskTracker with a CancellationToken:\n{}",
        broken.join("\n")
    );
}

mod scanner {
    //! The scanner itself, on small texts.

    use super::{Source, looks_like_sql};

    fn parse(path: &str, text: &str) -> Source {
        Source::parse(path.to_owned(), text.to_owned())
    }

    #[test]
    fn paths_groups_and_long_super_chains_count_as_imports() {
        let text = "use crate::kernel::Secret;\nuse crate::{catalog::{Table, gateway}, rest};\nuse super::super::policy;\n";
        let file = parse("meta/http.rs", text);
        let names: Vec<String> = file.imports().into_iter().map(|(_, name)| name).collect();

        assert_eq!(names, ["kernel", "catalog", "rest", "policy"]);
    }

    #[test]
    fn a_declaration_of_unit_tests_hides_nothing_behind_it() {
        let file = parse("rest/mod.rs", "//! A\n\n#[cfg(test)]\nmod tests;\n\nuse crate::auth::x;\n");
        assert_eq!(file.imports(), [(6, "auth".to_owned())]);
    }

    #[test]
    fn comments_strings_and_unit_tests_do_not_count() {
        let text = "// crate::rest\nlet a = \"crate::auth\"; let b = '\"'; /* crate::meta */\n#[cfg(test)]\nmod tests { use crate::jobs; }\n";
        let file = parse("kernel/sql.rs", text);

        assert!(file.imports().is_empty());
        assert_eq!(file.strings, [(2, "crate::auth".to_owned())]);
    }

    #[test]
    fn a_crate_is_found_as_a_whole_word_only() {
        let file = parse("rest/core/a.rs", "use my_tokio::x;\nuse http::y;\nuse tokio::z;\n");

        assert_eq!(file.names_path("tokio"), Some(3));
        assert_eq!(file.names_path("axum"), None);
    }

    #[test]
    fn statements_are_told_from_sentences() {
        assert!(looks_like_sql("select 1 from pg_class"));
        assert!(looks_like_sql("\n  DELETE FROM a"));
        assert!(!looks_like_sql("Select a row first."));
        assert!(!looks_like_sql("update the configuration"));
    }
}
