//! What goforward knows of the database: relations, columns, relationships, functions, roles.
//!
//! Plain data, immutable once built and shared as one [`Catalog`] behind an `Arc`. Pure: no I/O, no clock. Names are
//! PostgreSQL's own, unquoted. How relationships are derived is in `super::relations`, protection in
//! `super::protection`, where the rows come from in `super::load`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;

pub use super::access::{ColumnAccess, ColumnName, InputRule, Mask, ReadAccess, ViewLineage};
pub use super::function::{Function, Parameter, ReturnType, ReturnValue, Volatility};
pub use super::protection::{Protection, RelationSecurity, UnforcedTable};
pub use super::role::{IsolationLevel, Role};

/// The name of a relation, function or type together with its schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QualifiedName {
    /// The schema, empty where a name is not qualified.
    pub schema: Arc<str>,
    /// The name inside the schema.
    pub name: Arc<str>,
}

impl QualifiedName {
    /// A name from its two parts.
    pub fn new(schema: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { schema: schema.into(), name: name.into() }
    }
}

/// `schema.name` without quotes, as messages write it.
impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// One immutable snapshot of the database schema.
///
/// `relations`, `relationships`, `functions` and `media_handlers` hold what the exposed schemas offer; partitions are
/// reached through their parent only and are not listed.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Tables, views, materialised views and foreign tables of the exposed schemas.
    pub relations: HashMap<QualifiedName, Arc<Relation>>,
    /// Relationships by (origin, schema of the foreign relation), each list in a fixed order (see [`Relationship`]).
    pub relationships: HashMap<(QualifiedName, Arc<str>), Arc<Vec<Relationship>>>,
    /// Functions of the exposed schemas that can be called by name; overloads with fewest parameters first.
    pub functions: Arc<HashMap<QualifiedName, Vec<Function>>>,
    /// Domain representations: implicit casts with a function between a domain and `json` or `text`, keyed by
    /// (source type, target type) as `format_type` writes them with an empty search path.
    pub representations: Arc<Representations>,
    /// Custom media type handlers, keyed by what they apply to and the lower-case media type (`*/*` included).
    pub media_handlers: Arc<HashMap<(HandlerTarget, MediaTypeText), MediaHandler>>,
    /// Names of `pg_timezone_names`. Shared between snapshots, as reading them is slow and they do not change.
    pub timezones: Arc<HashSet<Arc<str>>>,
    /// Comments of the exposed schemas.
    pub schema_comments: HashMap<Arc<str>, Arc<str>>,
    /// `server_version_num`: 150018 is PostgreSQL 15.18.
    pub server_version: u32,
    /// The roles that the authenticator login may switch to, and every other role with `settable` false.
    pub roles: Arc<HashMap<Arc<str>, Role>>,
    /// What views of every schema do with the columns that they read, by view; tables that inherit or generate columns too.
    pub lineage: Arc<HashMap<QualifiedName, ViewLineage>>,
    /// The relations whose rows a function returns that can be used like a column, by relation and name.
    pub row_results: Arc<HashMap<ColumnName, Vec<QualifiedName>>>,
    /// The rows of `goforward.table_security`, for `policy` to read.
    pub table_security: Arc<TableSecurityRows>,
    /// Tables whose rules changed since, while the catalog could not be read again (see `reload`).
    pub changed_rules: Arc<BTreeSet<QualifiedName>>,
    /// The marks of the policies that goforward made, of relations whose row-level security is on (see `policy`).
    pub own_policies: Arc<HashMap<QualifiedName, Vec<Arc<str>>>>,
    /// Columns that settable roles may not select, in relations where grants differ by column.
    pub not_granted: Arc<HashMap<QualifiedName, Vec<ColumnRefusal>>>,
    /// The exposed schemas, in configuration order; the first is the default.
    pub schemas: Vec<Arc<str>>,
    /// Counts snapshots of this process, starting at 1. Plans and prepared shapes are valid for one version.
    pub version: u64,
}

/// Representations by (source type, target type).
pub type Representations = HashMap<(Arc<str>, Arc<str>), Representation>;

/// The stored rules of tables: what one read of the database found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TableSecurityRows {
    /// The database has no such table: it was not prepared by goforward.
    #[default]
    Absent,
    /// The rows, each as a JSON object.
    Read(HashMap<QualifiedName, Arc<str>>),
    /// The table is there, but cannot be read; why.
    Unreadable(Arc<str>),
}

/// A column that a role may not select.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRefusal {
    /// The role.
    pub role: Arc<str>,
    /// The column.
    pub column: Arc<str>,
}

/// The text of a media type in lower case without parameters, such as `text/csv`.
pub type MediaTypeText = Arc<str>;

impl Catalog {
    /// The relation of that name, if an exposed schema has it.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        self.relations.get(&QualifiedName::new(schema, name)).map(|relation| &**relation)
    }

    /// All relationships from `origin` to relations of `foreign_schema`.
    pub fn relationships_of(&self, origin: &QualifiedName, foreign_schema: &str) -> &[Relationship] {
        self.relationships
            .get(&(origin.clone(), Arc::from(foreign_schema)))
            .map_or(&[], |found| found.as_slice())
    }

    /// All overloads of a function, fewest parameters first.
    pub fn functions_named(&self, schema: &str, name: &str) -> &[Function] {
        self.functions.get(&QualifiedName::new(schema, name)).map_or(&[], Vec::as_slice)
    }

    /// The cast between a domain and `json`/`text` under which the values of a column travel.
    pub fn representation(&self, source_type: &str, target_type: &str) -> Option<&Representation> {
        self.representations.get(&(Arc::from(source_type), Arc::from(target_type)))
    }
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelationKind {
    /// An ordinary table.
    Table,
    /// A table split into partitions.
    PartitionedTable,
    /// A view.
    View,
    /// A view with stored rows.
    MaterializedView,
    /// A table of a foreign server.
    ForeignTable,
}

impl RelationKind {
    /// Whether it is a view or a materialised view.
    pub fn is_view(self) -> bool {
        matches!(self, Self::View | Self::MaterializedView)
    }

    /// From `pg_class.relkind`.
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "r" => Some(Self::Table),
            "p" => Some(Self::PartitionedTable),
            "v" => Some(Self::View),
            "m" => Some(Self::MaterializedView),
            "f" => Some(Self::ForeignTable),
            _ => None,
        }
    }
}

/// A table, view, materialised view or foreign table.
#[derive(Clone, Debug)]
pub struct Relation {
    /// What PostgreSQL knows it by (`pg_class.oid`): another one that gets the same name has another.
    pub oid: u32,
    /// Its name.
    pub name: QualifiedName,
    /// What it is.
    pub kind: RelationKind,
    /// `COMMENT ON`.
    pub comment: Option<Arc<str>>,
    /// The columns by name, in the order of the table.
    pub columns: IndexMap<Arc<str>, Column>,
    /// Columns of the primary key in alphabetical order; for a view those of the traced base tables' keys.
    pub primary_key: Vec<Arc<str>>,
    /// Whether rows can be inserted, grants aside (views: automatically updatable, or by trigger or rule).
    pub insertable: bool,
    /// Whether rows can be updated, grants aside.
    pub updatable: bool,
    /// Whether rows can be deleted, grants aside.
    pub deletable: bool,
    /// Row-level security facts.
    pub security: RelationSecurity,
    /// Whether callers may reach it when the API is closed by default, and if not why and what to do.
    pub protection: Protection,
    /// Table-wide grants, as stored; empty means that only the owner has any.
    pub grants: Vec<Grant>,
    /// What `policy` decided about the names and rows of it for a class of callers.
    pub restriction: Restriction,
}

/// Limits on a relation beyond those on single columns. None, as the catalog is loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restriction {
    /// Set where a column is protected: only the columns listed, and these computed fields, may be named. PostgreSQL
    /// takes any other name for a function of the whole row.
    pub closed: Option<Vec<Arc<str>>>,
    /// Conditions on its rows that PostgreSQL does not enforce by itself, as SQL text over its columns.
    pub rows: Option<Arc<str>>,
    /// The column that an insert fills with the caller's id where the caller leaves it out.
    pub owner_column: Option<Arc<str>>,
    /// Set on a view that uses a protected column otherwise than by showing it, and has no rules of its own.
    pub uses_protected_column: bool,
}

impl Relation {
    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(name)
    }

    /// The columns that may be read, masked ones included.
    pub fn readable_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.values().filter(|column| column.access.read != ReadAccess::Hidden)
    }

    /// The columns that may be compared, ordered by and so on.
    pub fn comparable_columns(&self) -> impl Iterator<Item = &Column> {
        self.readable_columns().filter(|column| !matches!(column.access.read, ReadAccess::Masked(_)))
    }

    /// Whether it is a view or a materialised view.
    pub fn is_view(&self) -> bool {
        self.kind.is_view()
    }

    /// Whether row policies can hold it: tables only.
    pub fn has_row_policies(&self) -> bool {
        matches!(self.kind, RelationKind::Table | RelationKind::PartitionedTable)
    }

    /// Whether `*` is not simply all columns.
    pub fn is_restricted(&self) -> bool {
        self.restriction.closed.is_some()
            || self.columns.values().any(|column| column.access.read != ReadAccess::Plain)
    }
}

/// Rights of one role on one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The role, `None` for PUBLIC.
    pub grantee: Option<Arc<str>>,
    /// The privilege letters of `aclitem` without grant options: `r` select, `a` insert, `w` update, `d` delete,
    /// `X` execute, and so on.
    pub privileges: Arc<str>,
}

/// Whether and how a column's value is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generated {
    /// An ordinary column.
    No,
    /// `GENERATED ALWAYS AS (…) STORED`.
    Stored,
    /// `GENERATED ALWAYS AS (…) VIRTUAL`, from PostgreSQL 18 on.
    Virtual,
}

/// Whether a column takes its value from an identity sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// Not an identity column.
    No,
    /// `GENERATED ALWAYS AS IDENTITY`.
    Always,
    /// `GENERATED BY DEFAULT AS IDENTITY`.
    ByDefault,
}

/// The domain of columns that refer to stored objects, by path.
pub const FILE_REFERENCE: &str = "storage.file_reference";

/// A column of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Arc<str>,
    /// `COMMENT ON COLUMN`.
    pub comment: Option<Arc<str>>,
    /// Whether it takes NULL (its domain included).
    pub nullable: bool,
    /// The type with domains resolved to their base type; types of `pg_catalog` without modifier.
    pub data_type: Arc<str>,
    /// The type as declared, modifier included; a domain keeps its name.
    pub nominal_type: Arc<str>,
    /// The declared length of a character or bit type.
    pub max_length: Option<i32>,
    /// SQL text of the default, the domain's where the column has none; `nextval(…)` for `BY DEFAULT` identity; none
    /// for generated columns.
    pub default: Option<Arc<str>>,
    /// Labels in their order, if the base type is an enum.
    pub enum_values: Vec<Arc<str>>,
    /// Whether it is a generated column.
    pub generated: Generated,
    /// Whether it is an identity column.
    pub identity: Identity,
    /// Whether the base type is an array.
    pub is_array: bool,
    /// Whether the base type is composite.
    pub is_composite: bool,
    /// Grants on this column alone.
    pub grants: Vec<Grant>,
    /// What the caller may do with it.
    pub access: ColumnAccess,
}

/// A cast function between a domain and `json` or `text`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Representation {
    /// `format_type` of the source.
    pub source_type: Arc<str>,
    /// `format_type` of the target.
    pub target_type: Arc<str>,
    /// The function, as SQL text (quoted and qualified by PostgreSQL).
    pub function: Arc<str>,
}

/// What a media type handler applies to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HandlerTarget {
    /// An aggregate over `anyelement`: every relation and function result.
    AnyElement,
    /// An aggregate over the rows of this relation, or this function whose return type is a media type domain.
    Named(QualifiedName),
}

/// How rows become a body of a custom media type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaHandler {
    /// The aggregate to call; for a function that returns the media type itself, the domain.
    pub handler: QualifiedName,
    /// What it applies to.
    pub target: HandlerTarget,
    /// The media type that is answered: the domain's name, or `application/octet-stream` for the domain `*/*`.
    pub media_type: MediaTypeText,
    /// Whether `handler` is an aggregate (otherwise the function in `target` already returns the body).
    pub is_aggregate: bool,
}

/// A link from one relation to another that an embed can follow.
///
/// The derived order is the order in which candidates are reported when an embed is ambiguous.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relationship {
    /// Derived from foreign keys.
    ForeignKey {
        /// Where the embed starts.
        relation: QualifiedName,
        /// What is embedded.
        foreign_relation: QualifiedName,
        /// Whether both are the same relation.
        is_self: bool,
        /// How many rows and over which columns.
        cardinality: Cardinality,
        /// Whether the origin is a view.
        relation_is_view: bool,
        /// Whether the embedded relation is a view.
        foreign_is_view: bool,
    },
    /// A function that takes a row of the origin and returns rows of the embedded relation.
    Computed {
        /// The function.
        function: QualifiedName,
        /// Where the embed starts.
        relation: QualifiedName,
        /// What is embedded.
        foreign_relation: QualifiedName,
        /// Whether at most one row comes back (not SETOF, or ROWS 1).
        to_one: bool,
        /// Whether both are the same relation.
        is_self: bool,
    },
}

impl Relationship {
    /// Where the embed starts.
    pub fn relation(&self) -> &QualifiedName {
        match self {
            Self::ForeignKey { relation, .. } | Self::Computed { relation, .. } => relation,
        }
    }

    /// What is embedded.
    pub fn foreign_relation(&self) -> &QualifiedName {
        match self {
            Self::ForeignKey { foreign_relation, .. } | Self::Computed { foreign_relation, .. } => {
                foreign_relation
            }
        }
    }

    /// Whether both ends are the same relation.
    pub fn is_self(&self) -> bool {
        match self {
            Self::ForeignKey { is_self, .. } | Self::Computed { is_self, .. } => *is_self,
        }
    }

    /// Whether at most one row is embedded.
    pub fn is_to_one(&self) -> bool {
        match self {
            Self::ForeignKey { cardinality, .. } => {
                matches!(cardinality, Cardinality::ToOne { .. } | Cardinality::OneToOne { .. })
            }
            Self::Computed { to_one, .. } => *to_one,
        }
    }
}

/// Pairs of (column of the origin, column of the foreign relation).
pub type ColumnPairs = Vec<(Arc<str>, Arc<str>)>;

/// How many rows a foreign-key relationship embeds, and over which columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cardinality {
    /// The foreign relation refers to the origin.
    ToMany {
        /// The foreign key.
        constraint: Arc<str>,
        /// (origin column, foreign column).
        columns: ColumnPairs,
    },
    /// The origin refers to the foreign relation.
    ToOne {
        /// The foreign key.
        constraint: Arc<str>,
        /// (origin column, foreign column).
        columns: ColumnPairs,
    },
    /// As `ToOne`, the foreign key's columns being unique.
    OneToOne {
        /// The foreign key.
        constraint: Arc<str>,
        /// (origin column, foreign column).
        columns: ColumnPairs,
        /// Whether the origin is the referenced side.
        is_parent: bool,
    },
    /// Through a junction table.
    ManyToMany(Junction),
}

/// The table between the ends of a many-to-many relationship.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Junction {
    /// The junction.
    pub relation: QualifiedName,
    /// Its foreign key to the origin.
    pub constraint_source: Arc<str>,
    /// Its foreign key to the embedded relation.
    pub constraint_target: Arc<str>,
    /// (origin column, junction column).
    pub columns_source: ColumnPairs,
    /// (foreign column, junction column).
    pub columns_target: ColumnPairs,
}
