//! Masks as SQL: what is shown instead of a protected value. Pure. NULL stays NULL.

use crate::catalog::model::Mask;
use crate::kernel::sql::SqlBuf;

/// The mask over a value.
pub fn masked(sql: &mut SqlBuf, mask: &Mask, value: impl Fn(&mut SqlBuf)) {
    let text = |sql: &mut SqlBuf| {
        value(sql);
        sql.lit("::text");
    };
    match mask {
        Mask::Email => {
            // What has no @ is masked as a whole.
            sql.lit("regexp_replace(");
            text(sql);
            sql.lit(", '^([^@])[^@]*(@[^@]+)$|^.*$', '\\1***\\2')");
        }
        Mask::Phone => all_but_last(sql, "[0-9](?=.*[0-9].*[0-9])", text),
        Mask::LastFour => {
            sql.lit("CASE WHEN length(");
            text(sql);
            sql.lit(") > 4 THEN ");
            all_but_last(sql, ".(?=.{4})", text);
            sql.lit(" ELSE regexp_replace(");
            text(sql);
            sql.lit(", '.', '*', 'g') END");
        }
        Mask::Hash => {
            sql.lit("goforward.mask_hash(");
            text(sql);
            sql.lit(")");
        }
        Mask::Null => {
            sql.lit("NULL::text");
        }
        Mask::Constant(shown) => {
            sql.lit("CASE WHEN ");
            value(sql);
            sql.lit(" IS NOT NULL THEN ").bind_text(shown).lit("::text END");
        }
    }
}

/// Every match of the pattern becomes a star.
fn all_but_last(sql: &mut SqlBuf, pattern: &'static str, text: impl Fn(&mut SqlBuf)) {
    sql.lit("regexp_replace(");
    text(sql);
    sql.lit(", '").lit(pattern).lit("', '*', 'g')");
}
