//! Configuration of table security.

use super::schema::section;

section! {
    /// Rules about tables.
    pub struct SecurityConfig {
        /// Claim that says whether an account is verified, as a path such as `app_metadata.verified`; absent: nobody is.
        pub verified_claim: Option<String> = None;
        /// Whether columns that a PostgreSQL role may never read or write, whoever the caller, are taken from its grants
        /// too, so that SQL under that role cannot use them either. When turned off, what was taken is given back.
        pub column_grants: bool = true;
    }
}
