//! The REST service through the real executable: what PostgREST's cases do not cover, because it is goforward's own promise.

mod agreement_with_psql;
mod alone;
mod body_memory;
mod closed_by_default;
mod configuration;
mod conflicts;
mod documents;
mod limits;
mod preferences;
mod results;
mod schema_changes;

/// The tables that these tests work on.
pub const SHOP: &str = include_str!("../fixtures/shop.sql");
/// A customer of the shop.
pub const ALICE: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
/// Another one.
pub const BOB: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";
/// One who has ordered nothing.
pub const CAROL: &str = "cccccccc-cccc-4ccc-8ccc-cccccccccccc";
