//! The database: how it is found or started, how it is spoken to, and as whom.

pub mod bootstrap;
pub mod embedded;
