//! Every row of the list of threats to storage (H01 to H22) has tests that are called after it, `h01_…`: here is which.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[test]
fn every_threat_has_a_test_that_is_called_after_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for folder in ["src/storage", "tests/it/storage", "tests/it/slow"] {
        for file in sources(&root.join(folder)) {
            let text = std::fs::read_to_string(&file).unwrap();
            for test in text.lines().filter_map(|line| line.split_once("fn h")).map(|(_, rest)| rest) {
                let name = format!("h{}", test.split('(').next().unwrap());
                let ids = name.split('_').map_while(|part| part.strip_prefix('h')?.parse().ok());
                for id in ids {
                    found.entry(id).or_default().push(name.clone());
                }
            }
        }
    }
    let missing: Vec<u32> = (1..=22).filter(|id| !found.contains_key(id)).collect();
    assert!(missing.is_empty(), "no test for {missing:?}; there are {found:#?}");
}

/// The Rust files in a folder and below.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            found.push(entry);
        }
    }
    found
}
