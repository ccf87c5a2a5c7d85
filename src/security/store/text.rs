//! The effect of rules as SQL, for people to read. Pure; never run.

use crate::catalog::model::{ReadAccess, Relation};
use crate::kernel::sql::SqlBuf;
use crate::policy::model::Verb;

/// The columns and conditions that a caller's request is held to.
pub(in crate::security) fn effective_sql(relation: &Relation, verb: Verb) -> String {
    let mut sql = SqlBuf::new();
    let name = &relation.name;
    let writable = || relation.columns.values().filter(|column| column.access.write);
    match verb {
        Verb::Select => {
            let shown = relation
                .columns
                .values()
                .filter(|column| matches!(column.access.read, ReadAccess::Plain | ReadAccess::Masked(_)));
            sql.lit("select ").join(", ", shown, |sql, column| {
                sql.ident(&column.name);
                if matches!(column.access.read, ReadAccess::Masked(_)) {
                    sql.lit(" /* masked */");
                }
            });
            sql.lit(" from ").name(&name.schema, &name.name);
        }
        Verb::Insert => {
            sql.lit("insert into ").name(&name.schema, &name.name).lit(" (");
            sql.join(", ", writable(), |sql, column| {
                sql.ident(&column.name);
            });
            sql.lit(") values (…)");
        }
        Verb::Update => {
            sql.lit("update ").name(&name.schema, &name.name).lit(" set ");
            sql.join(", ", writable(), |sql, column| {
                sql.ident(&column.name).lit(" = …");
            });
        }
        Verb::Delete => {
            sql.lit("delete from ").name(&name.schema, &name.name);
        }
    }
    if let Some(condition) = relation.restriction.rows.as_deref().filter(|_| verb.is_read()) {
        // Stored rules, which parsed as an expression.
        sql.lit(" where ").catalog_sql(condition);
    }
    sql.into_parts().0
}
