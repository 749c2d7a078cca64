//! What a column's type OID says of its kind.
//!
//! Postgres names a type in the stream only if it is not built in. So the built-in ones are known by OID, and the others
//! by their Type message. That message does not say what sort of type it names; enums, ranges and composites are all
//! [`Kind::Other`] here, under a name that `CREATE TABLE` accepts, and the catalog may tell more later.

use super::Type;
use super::builtin_types::{ARRAYS, OTHERS};
use super::quote::quote_ident;
use crate::change::Kind;

/// Returns the kind of a column.
///
/// `named` is what a Type message said of the type. Without one the OID must be of a built-in type; a type that a later
/// version of Postgres brings travels as text, which is what its values are.
pub(super) fn kind(oid: u32, named: Option<&Type>) -> Kind {
    match named {
        Some(Type { schema, name, .. }) if &**schema == "pg_catalog" => Kind::Other(catalog_name(name).into()),
        Some(Type { schema, name, .. }) => Kind::Other(format!("{}.{}", quote_ident(schema), quote_ident(name)).into()),
        None => built_in(oid).unwrap_or_else(|| Kind::Other("text".into())),
    }
}

fn built_in(oid: u32) -> Option<Kind> {
    let named = |table: &[(u32, &'static str)]| {
        let at = table.binary_search_by_key(&oid, |(o, _)| *o).ok()?;
        Some(Box::from(table[at].1))
    };
    Kind::of_oid(oid).or_else(|| named(ARRAYS).map(Kind::Array)).or_else(|| named(OTHERS).map(Kind::Other))
}

/// Returns the name for SQL of a type in `pg_catalog`, given as the catalog has it.
///
/// Such a type is named when a domain is made of it: Postgres sends the name of the type below the domain.
fn catalog_name(name: &str) -> String {
    match name {
        "bool" => "boolean".to_owned(),
        "int2" => "smallint".to_owned(),
        "int4" => "integer".to_owned(),
        "int8" => "bigint".to_owned(),
        "float4" => "real".to_owned(),
        "float8" => "double precision".to_owned(),
        "varchar" => "character varying".to_owned(),
        "time" => "time without time zone".to_owned(),
        "timetz" => "time with time zone".to_owned(),
        "timestamp" => "timestamp without time zone".to_owned(),
        "timestamptz" => "timestamp with time zone".to_owned(),
        "varbit" => "bit varying".to_owned(),
        "numeric" | "interval" => name.to_owned(),
        _ => match name.strip_prefix('_') {
            // In this schema, and in no other, the underscore means an array for sure.
            Some(element) => format!("{}[]", catalog_name(element)),
            None => quote_ident(name),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(schema: &str, name: &str) -> String {
        let named = Type { oid: 16_400, schema: schema.into(), name: name.into() };
        kind(16_400, Some(&named)).type_name()
    }

    #[test]
    fn names_every_built_in_type_so_that_create_table_accepts_it() {
        assert_eq!(kind(23, None), Kind::Int32);
        assert_eq!(kind(1007, None), Kind::Array("integer".into()));
        assert_eq!(kind(1007, None).type_name(), "integer[]");
        assert_eq!(kind(22, None), Kind::Other("int2vector".into()));
        assert_eq!(kind(1560, None).type_name(), "\"bit\"");
        assert_eq!(kind(1014, None).type_name(), "bpchar[]");
        assert_eq!(kind(3220, None).type_name(), "pg_lsn");
        assert_eq!(kind(4451, None).type_name(), "int4multirange");
        assert_eq!(kind(9_999, None).type_name(), "text");
    }

    #[test]
    fn names_other_types_with_their_schema_and_quotes_where_needed() {
        assert_eq!(named("public", "mood"), "public.mood");
        assert_eq!(named("public", "_mood"), "public._mood");
        assert_eq!(named("My Schema", "user"), "\"My Schema\".\"user\"");
    }

    #[test]
    fn names_the_type_below_a_domain() {
        assert_eq!(named("pg_catalog", "int4"), "integer");
        assert_eq!(named("pg_catalog", "_text"), "text[]");
        assert_eq!(named("pg_catalog", "_varchar"), "character varying[]");
        assert_eq!(named("pg_catalog", "char"), "\"char\"");
        assert_eq!(named("pg_catalog", "numeric"), "numeric");
    }

    #[test]
    fn the_tables_are_sorted_and_leave_no_type_to_two_of_them() {
        for table in [ARRAYS, OTHERS] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
            assert!(table.iter().all(|(oid, _)| Kind::of_oid(*oid).is_none()));
        }
        assert!(ARRAYS.iter().all(|(oid, _)| OTHERS.binary_search_by_key(oid, |(o, _)| *o).is_err()));
    }
}
