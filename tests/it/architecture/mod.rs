//! The rules of `docs/architecture.md`, enforced: who may import whom, which modules stay free of I/O, where SQL may
//! live, how long files may be, and that the documents say what the code does.
//!
//! `source.rs` reads the code, `rules.rs` and `documents.rs` hold the rules. No database is needed.

mod documents;
mod rules;
mod source;
