//! The lanes against a real PostgreSQL.
