//! The documents say what the code does: the table of error codes, the README's commands, links, container files.
//!
//! Conventions that these tests rest on: an error code is a whole string literal (`"PGRST116"` anywhere, a code of our own such
//! as `"api_key_missing"` inside a function or after a field named `code`) and the first cell of a table row in docs/errors.md.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::source::{Source, product, root};
use crate::harness::run_command;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `PGRST` and three characters.
fn is_rest_code(text: &str) -> bool {
    let tail = text.strip_prefix("PGRST").filter(|tail| tail.len() == 3);
    tail.is_some_and(|tail| tail.chars().all(|c| c.is_ascii_digit() || c == 'X'))
}

/// A code of our own: words in lower case joined by underscores.
fn is_own_code(text: &str) -> bool {
    text.contains('_') && text.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

/// The codes that a file can answer with.
fn codes(file: &Source) -> Vec<String> {
    let functions = file.bodies("fn code(");
    let in_code_function =
        |line: usize| functions.iter().any(|(first, last)| (*first..=*last).contains(&line));
    let in_code_field = |text: &str| file.code.contains(&format!("code: \"{text}\""));
    let is_code = |line: usize, text: &str| {
        is_rest_code(text) || is_own_code(text) && (in_code_function(line) || in_code_field(text))
    };
    let texts = file.strings.iter();
    texts.filter(|(line, text)| is_code(*line, text)).map(|(_, text)| text.clone()).collect()
}

#[test]
fn the_error_reference_lists_exactly_the_codes_of_the_code() {
    let defined: BTreeSet<String> = product().iter().flat_map(codes).collect();
    let listed: BTreeSet<String> = read("docs/errors.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split_whitespace().next())
        .filter(|cell| is_rest_code(cell) || is_own_code(cell))
        .map(str::to_owned)
        .collect();

    let missing: Vec<_> = defined.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&defined).collect();
    assert!(missing.is_empty(), "docs/errors.md does not list {missing:?}");
    assert!(gone.is_empty(), "docs/errors.md lists codes that no code answers with: {gone:?}");
}

#[test]
fn local_links_of_the_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in documents() {
        let text = read(&path);
        let folder = Path::new(&path).parent().unwrap();
        for (_, rest) in text.match_indices("](").map(|(at, _)| text.split_at(at + 2)) {
            let target = rest.split([')', '#', ' ']).next().unwrap();
            let is_local = !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:");
            if is_local && !root().join(folder).join(target).exists() {
                broken.push(format!("{path}: {target}"));
            }
        }
    }

    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn commands_and_flags_that_the_documents_name_exist() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in documents() {
        let text = read(&path);
        for (at, _) in text.match_indices("goforward ") {
            let (before, named) = text.split_at(at);
            if !before.ends_with('`') && !before.ends_with("./target/release/") {
                continue;
            }
            let named = named.split(['`', '\n', '#', ';', '|', ')']).next().unwrap();
            let words: Vec<&str> = named.split_whitespace().skip(1).collect();
            let (flags, command): (Vec<&str>, Vec<&str>) =
                words.iter().partition(|word| word.starts_with("--"));
            let depth = if matches!(
                command.first(),
                Some(&("channels" | "config" | "policy" | "realtime" | "s3-keys"))
            ) {
                2
            } else {
                1
            };
            let help = run_command(&[&command[..depth.min(command.len())], &["--help"]].concat(), &[]);
            let help = String::from_utf8_lossy(&help.stdout).into_owned();
            let known =
                |flag: &&str| help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n"));
            if help.is_empty() || !flags.iter().all(known) {
                wrong.push(format!("{path}: {named}"));
            }
            checked += 1;
        }
    }

    assert!(wrong.is_empty(), "commands or flags that do not exist:\n{}", wrong.join("\n"));
    assert!(checked > 10, "only {checked} commands were found");
}

/// The README, the changelog and every page of docs.
fn documents() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned(), "CHANGELOG.md".to_owned()];
    let mut folders = vec!["docs".to_owned(), "bench".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(path);
            } else if Path::new(&path).extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

#[test]
fn the_readme_gives_one_command_to_run_and_one_to_test() {
    let readme = read("README.md");

    for command in ["cargo run --release -- serve", "./scripts/test"] {
        assert!(readme.lines().any(|line| line.trim() == command), "README.md has no line `{command}`");
    }
    for script in ["scripts/test", "scripts/conformance", "scripts/coverage", ".ci/run"] {
        assert!(is_executable(&root().join(script)), "{script} must exist and be executable");
    }
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
}

#[test]
fn the_repository_names_no_local_path_and_no_registry_host() {
    let mut broken = Vec::new();
    for path in documents().into_iter().chain(["tests/clients/node/package-lock.json".to_owned()]) {
        for (number, line) in read(&path).lines().enumerate() {
            for word in ["/home/", "/root/", "\"resolved\""] {
                if line.contains(word) {
                    broken.push(format!("{path}:{}: {word}", number + 1));
                }
            }
        }
    }

    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_the_dockerfile_copies_exists() {
    let text = read("Dockerfile");
    let instructions: Vec<String> = joined(&text);
    let mut stages = BTreeSet::new();
    for line in &instructions {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let ["FROM", .., "AS" | "as", name] = words.as_slice() {
            stages.insert((*name).to_owned());
        }
        if words.first() != Some(&"COPY") {
            continue;
        }
        if let Some(stage) = words.iter().find_map(|word| word.strip_prefix("--from=")) {
            assert!(stages.contains(stage), "COPY from the unknown stage {stage}");
            continue;
        }
        let sources: Vec<&&str> =
            words[1..words.len() - 1].iter().filter(|word| !word.starts_with("--")).collect();
        for source in sources {
            assert!(root().join(source).exists(), "the Dockerfile copies {source}, which is not there");
        }
    }

    assert!(stages.len() >= 2, "the image is built in stages");
    let last_user = instructions.iter().rfind(|line| line.starts_with("USER ")).expect("a USER instruction");
    let (user, group) = last_user.trim_start_matches("USER ").split_once(':').expect("USER id:group");
    assert!(user.parse::<u32>().is_ok_and(|id| id >= 1000), "the image must not run as root: {last_user}");
    // PostgreSQL runs under a named account only, and the data directory belongs to it.
    let made = |part: &str| instructions.iter().any(|line| line.contains(part));
    assert!(made(&format!("useradd --uid {user} --gid {group} ")), "nobody makes the user of {last_user}");
    assert!(
        instructions.iter().any(|line| line.starts_with("ENTRYPOINT [")),
        "exec form, so that signals arrive"
    );
}

#[test]
fn the_commands_of_the_image_are_ones_of_the_executable() {
    let instructions = joined(&read("Dockerfile"));
    let words = |start: &str| -> Vec<String> {
        let line = instructions.iter().find_map(|line| line.split_once(start).map(|(_, rest)| rest));
        serde_json::from_str(line.unwrap_or_else(|| panic!("no {start} in exec form"))).unwrap()
    };
    assert_eq!(words("ENTRYPOINT "), ["goforward"]);
    let started = instructions.iter().rfind(|line| line.starts_with("CMD [")).expect("CMD");
    let started: Vec<String> = serde_json::from_str(started.trim_start_matches("CMD ")).unwrap();
    let checked = words("--retries=3 CMD ");
    assert_eq!(checked[0], "goforward");

    for command in [&started[..], &checked[1..]] {
        let help = run_command(&[&command[0], "--help"], &[]);
        let text = String::from_utf8_lossy(&help.stdout);
        assert!(help.status.success(), "`goforward {}` is no command", command[0]);
        for flag in command.iter().filter(|word| word.starts_with("--")) {
            assert!(text.contains(&format!("{flag} ")), "`goforward {}` has no {flag}", command[0]);
        }
    }
}

/// The instructions of a Dockerfile: comments gone, continued lines joined.
fn joined(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let text = lines.join("\n").replace("\\\n", " ");
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_compose_file_is_consistent() {
    let compose: serde_json::Value =
        serde_saphyr::from_str(&read("compose.yaml")).expect("compose.yaml is YAML");
    let services = compose["services"].as_object().expect("services");
    let volumes = compose["volumes"].as_object().expect("volumes");

    let goforward = &services["goforward"];
    assert_eq!(goforward["read_only"], true, "the root file system is read-only");
    assert_eq!(goforward["cap_drop"][0], "ALL");
    for (name, service) in services {
        let is_used = name == "goforward" || goforward["depends_on"].get(name).is_some();
        assert!(is_used, "service {name} serves nothing");
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let source = mount.as_str().unwrap().split(':').next().unwrap();
            let known = volumes.contains_key(source) || root().join(source).exists();
            assert!(known, "service {name} mounts {source}, which is neither a volume nor a file");
        }
        for other in service["depends_on"].as_object().into_iter().flat_map(|map| map.keys()) {
            assert!(services.contains_key(other), "service {name} depends on the unknown {other}");
        }
    }
}
