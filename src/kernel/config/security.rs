//! Configuration of table security.

use super::schema::section;

section! {
    /// Rules of tables.
    pub struct SecurityConfig {
        /// Claim that says whether an account is verified, as a path such as `app_metadata.verified`; absent: nobody is.
        pub verified_claim: Option<String> = None;
        /// Whether columns that a role may never read are taken from its grants too.
        pub column_grants: bool = true;
    }
}
