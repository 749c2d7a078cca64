//! What a column holds, as far as a transform needs to know.

use std::fmt;

/// The kind of a column: decides how its values travel to a guest, and what the text of a value looks like.
///
/// Everything without a case of its own passes through as Postgres's own text ([`Kind::Other`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Numeric,
    Text,
    Bytea,
    Uuid,
    Json,
    Jsonb,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    /// An enum; its labels are in the column's attributes.
    Enumeration,
    /// An array, with the name of its element type.
    Array(Box<str>),
    /// Any other type, by Postgres's name.
    Other(Box<str>),
}

/// (oid, name as format_type prints it, kind) of the built-in types that have a kind of their own.
const BUILT_IN: &[(u32, &str, Kind)] = &[
    (16, "boolean", Kind::Bool),
    (21, "smallint", Kind::Int16),
    (23, "integer", Kind::Int32),
    (20, "bigint", Kind::Int64),
    (700, "real", Kind::Float32),
    (701, "double precision", Kind::Float64),
    (1700, "numeric", Kind::Numeric),
    (25, "text", Kind::Text),
    (1043, "character varying", Kind::Text),
    (1042, "character", Kind::Text),
    (19, "name", Kind::Text),
    (17, "bytea", Kind::Bytea),
    (2950, "uuid", Kind::Uuid),
    (114, "json", Kind::Json),
    (3802, "jsonb", Kind::Jsonb),
    (1082, "date", Kind::Date),
    (1083, "time without time zone", Kind::Time),
    (1266, "time with time zone", Kind::Timetz),
    (1114, "timestamp without time zone", Kind::Timestamp),
    (1184, "timestamp with time zone", Kind::Timestamptz),
    (1186, "interval", Kind::Interval),
];

impl Kind {
    /// Returns the kind of a built-in scalar type by its OID (`src/include/catalog/pg_type.dat` fixes them),
    /// `None` for any other type.
    pub fn of_oid(oid: u32) -> Option<Kind> {
        BUILT_IN.iter().find(|(o, ..)| *o == oid).map(|(.., kind)| kind.clone())
    }

    /// Returns the kind of a built-in scalar type by its name, as `format_type` prints it or in Postgres's own short form,
    /// `None` for any other type.
    pub fn of_name(name: &str) -> Option<Kind> {
        let name = match name {
            "int2" => "smallint",
            "int4" => "integer",
            "int8" => "bigint",
            "time" => "time without time zone",
            "timetz" => "time with time zone",
            "timestamp" => "timestamp without time zone",
            "timestamptz" => "timestamp with time zone",
            name => name,
        };
        BUILT_IN.iter().find(|(_, n, _)| *n == name).map(|(.., kind)| kind.clone())
    }

    /// Returns the OID of a built-in scalar type, the first of those that share the kind; 0 for any other type.
    pub fn oid(&self) -> u32 {
        BUILT_IN.iter().find(|(.., kind)| kind == self).map_or(0, |(oid, ..)| *oid)
    }

    /// Returns the Postgres type that a column of this kind is made with, as it stands in `CREATE TABLE`.
    ///
    /// Enums have no built-in type: their labels travel as text.
    pub fn type_name(&self) -> String {
        match self {
            Kind::Enumeration => "text".to_owned(),
            Kind::Array(element) => format!("{element}[]"),
            Kind::Other(name) => name.to_string(),
            Kind::Text => "text".to_owned(),
            built_in => {
                let (_, name, _) =
                    BUILT_IN.iter().find(|(.., kind)| kind == built_in).expect("every other kind is listed");
                (*name).to_owned()
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Enumeration => f.write_str("enum"),
            kind => f.write_str(&kind.type_name()),
        }
    }
}
