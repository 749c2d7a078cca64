//! What an `outputSchema` says of columns: whether their types prove it, and where the two differ.

use std::fmt;

use serde_json::Value as Json;

use crate::change::{Column, Kind, PublicSchema};

/// Says of a kind of columns which JSON types it may be declared as, the first one being what we derive ourselves.
///
/// Everything that travels as Postgres's text is a string; JSON columns hold anything.
pub fn json_types(kind: &Kind) -> &'static [&'static str] {
    match kind {
        Kind::Bool => &["boolean"],
        Kind::Int16 | Kind::Int32 | Kind::Int64 => &["integer", "number"],
        Kind::Float32 | Kind::Float64 => &["number", "string"],
        Kind::Json | Kind::Jsonb => &["object", "array", "string", "number", "integer", "boolean"],
        // ReJot declares numerics and arrays as what its own runtime made of them.
        Kind::Numeric => &["string", "number"],
        Kind::Array(_) => &["string", "array"],
        _ => &["string"],
    }
}

/// What says nothing about values.
pub(super) const NOTES: &[&str] =
    &["title", "description", "default", "examples", "format", "deprecated", "readOnly", "writeOnly", "$comment"];
/// Returns the JSON types that a property is declared as.
pub(super) fn declared(property: Option<&Json>) -> Vec<String> {
    match property.and_then(|property| property.get("type")) {
        Some(Json::String(one)) => vec![one.clone()],
        Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Tells whether every value of a column is what its property says.
pub(super) fn is_proven(property: &Json, column: &Column) -> bool {
    let Some(rules) = property.as_object() else { return *property == Json::Bool(true) };
    let declared = declared(Some(property));
    // Arrays are ReJot's arrays, and text here.
    let fits = |name: &str| json_types(&column.kind)[0] == name || json_types(&column.kind).contains(&name);
    let by_type = match &column.kind {
        _ if declared.is_empty() => true,
        Kind::Json | Kind::Jsonb => json_types(&column.kind)
            .iter()
            .all(|name| declared.iter().any(|one| one == name || (*name == "integer" && one == "number"))),
        Kind::Float32 | Kind::Float64 | Kind::Numeric => declared.iter().any(|one| fits(one)),
        _ => declared.iter().any(|one| fits(one)),
    };
    by_type && rules.keys().all(|name| name == "type" || NOTES.contains(&name.as_str()))
}

/// What an `outputSchema` and the columns of a public schema disagree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// There is no such column.
    NoColumn { name: String, required: bool },
    /// It is declared as another JSON type than it has.
    Type { name: String, declared: String, has: &'static str, kind: Kind },
    /// It is required, and may be NULL.
    Nullable { name: String },
    /// Additional properties are forbidden, and there is one.
    Additional { name: String },
}

impl Difference {
    /// Returns the field and the rule that hold for no row, if none can be what the schema says.
    pub fn of_every_row(&self) -> Option<(&str, &'static str)> {
        match self {
            Difference::NoColumn { name, required: true } => Some((name, "required")),
            Difference::Additional { name } => Some((name, "additionalProperties")),
            _ => None,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::NoColumn { name, required: true } => {
                write!(f, "`{name}` is required, and there is no such column")
            }
            Difference::NoColumn { name, required: false } => write!(f, "there is no column `{name}`"),
            Difference::Type { name, declared, has, kind } => {
                write!(f, "`{name}` is {declared}, and the column is {has} ({kind})")
            }
            Difference::Nullable { name } => write!(f, "`{name}` is required, and the column may be NULL"),
            Difference::Additional { name } => {
                write!(f, "additional properties are forbidden, and there is a column `{name}`")
            }
        }
    }
}

/// Returns what differs between an `outputSchema` and the columns.
pub fn differences(schema: &Json, public: &PublicSchema) -> Vec<Difference> {
    let mut differences = Vec::new();
    let empty = serde_json::Map::new();
    let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&empty);
    let required: Vec<&str> =
        schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    let column = |name: &str| public.columns.iter().find(|column| *column.name == *name);
    for (name, property) in properties {
        let Some(column) = column(name) else {
            if !required.contains(&name.as_str()) {
                differences.push(Difference::NoColumn { name: name.clone(), required: false });
            }
            continue;
        };
        let expected = json_types(&column.kind);
        let wrong = |one: &&String| *one != "null" && !expected.contains(&one.as_str());
        if let Some(declared) = declared(Some(property)).iter().find(wrong) {
            let (name, declared, kind) = (name.clone(), declared.clone(), column.kind.clone());
            differences.push(Difference::Type { name, declared, has: expected[0], kind });
        }
    }
    for name in required {
        match column(name) {
            Some(column) if column.nullable => differences.push(Difference::Nullable { name: name.to_owned() }),
            Some(_) => {}
            None => differences.push(Difference::NoColumn { name: name.to_owned(), required: true }),
        }
    }
    if schema.get("additionalProperties") == Some(&Json::Bool(false)) {
        let more = public.columns.iter().filter(|column| !properties.contains_key(&*column.name));
        differences.extend(more.map(|column| Difference::Additional { name: column.name.to_string() }));
    }
    differences
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_said() {
        let column = |name: &str, kind, nullable| Column {
            name: name.into(),
            kind,
            type_oid: 0,
            type_modifier: -1,
            nullable,
            key: false,
            attrs: Vec::new(),
        };
        let public = PublicSchema {
            name: "orders".into(),
            major: 1,
            minor: 0,
            columns: vec![column("id", Kind::Int64, false), column("label", Kind::Text, true)],
            attrs: Vec::new(),
        };
        let check = |schema: Json, expected: &[&str]| {
            let found: Vec<String> = differences(&schema, &public).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        };
        check(json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}}), &[]);
        check(json!({"properties": {"label": {"type": ["string", "null"]}}}), &[]);
        check(
            json!({
                "required": ["label", "gone"],
                "properties": {"id": {"type": "string"}, "x": {}, "gone": {}},
                "additionalProperties": false,
            }),
            &[
                "`id` is string, and the column is integer (bigint)",
                "there is no column `x`",
                "`label` is required, and the column may be NULL",
                "`gone` is required, and there is no such column",
                "additional properties are forbidden, and there is a column `label`",
            ],
        );
    }
}
