//! Configuration of the REST service: what is exposed and how requests are run. Names differ from PostgREST's
//! where they had to be plainer; each key names the parameter that it corresponds to.

use std::collections::BTreeMap;

use super::schema::{choice, section};
use super::server::texts;
use super::values::ByteSize;
use crate::kernel::secret::Secret;

choice! {
    /// A set of defaults for the REST service.
    pub enum RestProfile {
        /// Closed by default, with the limits of hosted projects.
        Goforward = "goforward",
        /// As PostgREST behaves.
        Postgrest = "postgrest",
    }
}

choice! {
    /// How the transaction of a request ends.
    pub enum TransactionEnd {
        /// Always committed.
        Commit = "commit",
        /// Committed, unless the request prefers `tx=rollback`.
        CommitAllowOverride = "commit-allow-override",
        /// Always rolled back.
        Rollback = "rollback",
        /// Rolled back, unless the request prefers `tx=commit`.
        RollbackAllowOverride = "rollback-allow-override",
    }
}

impl TransactionEnd {
    /// Whether a request that prefers nothing is rolled back.
    pub fn rolls_back(self) -> bool {
        matches!(self, Self::Rollback | Self::RollbackAllowOverride)
    }

    /// Whether a request may choose by `Prefer: tx=`.
    pub fn allows_override(self) -> bool {
        matches!(self, Self::CommitAllowOverride | Self::RollbackAllowOverride)
    }
}

choice! {
    /// What the OpenAPI document shows.
    pub enum OpenApiMode {
        /// What the caller's role may use.
        FollowPrivileges = "follow-privileges",
        /// Everything that is exposed.
        IgnorePrivileges = "ignore-privileges",
        /// Nothing: the root answers 404.
        Disabled = "disabled",
    }
}

choice! {
    /// How much an error answer tells.
    pub enum ErrorVerbosity {
        /// Code, message, details and hint.
        Verbose = "verbose",
        /// Code and message.
        Minimal = "minimal",
    }
}

choice! {
    /// Whether something may be done.
    pub enum Permission {
        /// It may.
        Allow = "allow",
        /// It may not.
        Deny = "deny",
    }
}

section! {
    /// The auto-generated REST service.
    pub struct RestConfig {
        /// Set of defaults: `goforward`, or `postgrest` to behave as PostgREST does. Every key can still be set alone.
        pub profile: RestProfile = RestProfile::Goforward;
        /// Path under which the service answers; may be empty with `serve --only rest`.
        pub prefix: String = "/rest/v1".to_owned();
        /// Schemas whose relations and functions are served; the first is the default one.
        pub schemas: Vec<String> = texts(&["public", "graphql_public"]), as "db-schemas", profile texts(&["public"]);
        /// Schemas added to the search path of every request; not served themselves.
        pub extra_search_path: Vec<String> = texts(&["public", "extensions"]),
            as "db-extra-search-path", profile texts(&["public"]);
        /// Most rows that one request returns; absent for no limit.
        pub max_rows: Option<u64> = Some(1_000), as "db-max-rows", profile None;
        /// Role of callers without a token; absent to refuse them.
        pub anon_role: Option<String> = Some("anon".to_owned()), as "db-anon-role", profile None;
        /// Function to call before every request, as in `schema.function`.
        pub pre_request: Option<String> = None, as "db-pre-request";
        /// Function that sets `pgrst.*` settings when the configuration is read from the database.
        pub pre_config: Option<String> = None, as "db-pre-config";
        /// Function whose result replaces the OpenAPI document.
        pub root_spec: Option<String> = None, as "db-root-spec";
        /// Whether `pgrst.*` settings of the authenticator role are applied.
        pub in_database_config: bool = true, as "db-config";
        /// How the transaction of a request ends.
        pub tx_end: TransactionEnd = TransactionEnd::Commit, as "db-tx-end";
        /// Whether `count()`, `sum()` and the like may be used.
        pub aggregates_enabled: bool = false, as "db-aggregates-enabled";
        /// Whether execution plans may be asked for.
        pub plan_enabled: bool = false, as "db-plan-enabled";
        /// Whether statements are prepared; turn off behind a pooler in transaction mode.
        pub prepared_statements: bool = true, as "db-prepared-statements";
        /// Settings of functions (`create function ... set`) that hold for their whole request.
        pub hoisted_tx_settings: Vec<String> =
            texts(&["statement_timeout", "plan_filter.statement_cost_limit", "default_transaction_isolation"]),
            as "db-hoisted-tx-settings";
        /// The OpenAPI document.
        pub openapi: OpenApiConfig = OpenApiConfig::default();
        /// How much an error answer tells.
        pub client_error_verbosity: ErrorVerbosity = ErrorVerbosity::Verbose, as "client-error-verbosity";
        /// Whether answers carry `Server-Timing`.
        pub server_timing: bool = false, as "server-timing-enabled";
        /// Request header whose value is repeated in the answer.
        pub trace_header: Option<String> = None, as "server-trace-header";
        /// Whether embeds may be addressed by the target's name in filters although they have an alias.
        pub legacy_target_names: bool = true, as "url-use-legacy-target-names";
        /// Values that SQL reads as `current_setting('app.settings.<name>')`.
        pub app_settings: BTreeMap<String, Secret> = BTreeMap::new(), as "app.settings.*";
        /// Largest answer; above it the request fails with a clear error. CSV and NDJSON stream without it.
        pub max_result_bytes: ByteSize = ByteSize::mib(256), in ByteSize::kib(64), ByteSize::mib(65_536);
        /// Whether relations that nothing protects are refused to roles without BYPASSRLS.
        pub protect_relations: bool = true, profile false;
        /// Whether `*` leaves out columns that the role may not select, where it would fail otherwise.
        pub star_by_grants: bool = true, profile false;
        /// Whether update and delete without a filter are possible for those roles.
        pub allow_unfiltered_writes: bool = false, profile true;
        /// Whether the anonymous role may ask for planned and estimated counts, which reveal invisible rows.
        pub anon_count_estimates: bool = false, profile true;
        /// Whether those roles see what PostgreSQL adds to an error, which can quote rows of others.
        pub verbose_errors: bool = false, profile true;
        /// Whether functions that run with their owner's rights may be called.
        pub definer_functions: Permission = Permission::Allow;
    }
}

section! {
    /// The OpenAPI document at the root of the service.
    pub struct OpenApiConfig {
        /// What it shows.
        pub mode: OpenApiMode = OpenApiMode::FollowPrivileges, as "openapi-mode";
        /// Whether it says that a JWT is needed.
        pub security_active: bool = false, as "openapi-security-active";
        /// Address of the service behind a proxy; `server.public_url` with the prefix unless set.
        pub server_proxy_uri: Option<String> = None, as "openapi-server-proxy-uri";
    }
}
