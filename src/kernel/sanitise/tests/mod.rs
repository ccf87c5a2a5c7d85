//! The sanitiser against its corpora, its tables, and arbitrary input.

mod corpora;
mod corpus;
mod fields;
mod properties;
mod rate;
