//! Holds public rows against the `outputSchema` that the manifest gives them.
//!
//! Most of such a schema the types of the columns prove, once: that a bigint is a number needs no look at a row. What is left
//! is looked at row by row: NULL in what is required, and rules about values (`enum`, `pattern`, `minimum` …), for which the
//! one value, or the whole row where a rule is about all of it, becomes JSON. Large values that an update left alone are
//! not known and not judged.
//!
//! What does not hold is counted and told with its field and rule, never with its value; under `strict` it stops the flow.
//! The counts go with the rows that they are of, into the transaction that writes them, so they are as true as those.

mod columns;

use std::collections::{BTreeMap, BTreeSet};

use jsonschema::Validator;
use serde_json::{Map, Value as Json};
use tokio_postgres::Client;

use self::columns::{NOTES, declared, is_proven};
use crate::change::{Kind, Op, PublicSchema, Row, Value};
use crate::datastore::{self, CountedUnder, Scope, Violations};
use crate::sink::text_of;

pub use self::columns::{differences, json_types};

use super::failure::EngineError;
use super::plan::{GroupPlan, OutputPlan, TransformPlan};
use super::transform::Made;

/// What the checks of columns cover, of a schema's own keywords.
const BY_COLUMN: &[&str] =
    &["$schema", "$id", "$defs", "definitions", "type", "properties", "required", "additionalProperties"];

/// Returns what the rows of a transform are held against, by the index of its public schemas.
///
/// # Errors
/// See [`OutputCheck::new`].
pub fn checks(
    transform: &TransformPlan,
    public_schemas: &[PublicSchema],
) -> Result<Vec<(usize, OutputCheck)>, EngineError> {
    let mut checks = Vec::new();
    for (index, public) in public_schemas.iter().enumerate() {
        let Some(plan) = plan_of(transform, public) else { continue };
        checks.extend(OutputCheck::new(plan, public)?.map(|check| (index, check)));
    }
    Ok(checks)
}

/// Forgets what was counted under another `outputSchema` than a transform's public schemas have now.
///
/// # Errors
/// What the destination says.
pub async fn forget_others(
    client: &Client,
    group: &GroupPlan,
    scope: &Scope,
    transform: &TransformPlan,
    public_schemas: &[PublicSchema],
) -> Result<(), EngineError> {
    let counted_under = |public: &PublicSchema| CountedUnder {
        public_schema: public.name.to_string(),
        major: public.major as i32,
        schema: plan_of(transform, public).map(|plan| plan.schema.to_string()).unwrap_or_default(),
    };
    let now: Vec<CountedUnder> = public_schemas.iter().map(counted_under).collect();
    let forgotten = datastore::forget_violations(client, scope, &now).await;
    forgotten.map_err(|source| EngineError::DataStore { slug: group.slug.clone(), source })
}

fn plan_of<'a>(transform: &'a TransformPlan, public: &PublicSchema) -> Option<&'a OutputPlan> {
    transform.outputs.iter().find(|plan| *plan.public_schema == *public.name && plan.major == public.major)
}

/// One public schema's `outputSchema`, ready to judge rows.
pub struct OutputCheck {
    plan: OutputPlan,
    name: String,
    /// The names of the key's columns, which stand for the row in messages.
    key: Vec<String>,
    /// What no row can be: field and rule.
    never: Vec<(String, &'static str)>,
    columns: Vec<ColumnCheck>,
    /// Rules about several fields.
    whole: Option<Validator>,
    /// All of the public schema's columns, with what they are declared as.
    all: Vec<(String, Kind, Vec<String>)>,
    /// How often a rule did not hold in this run, by field and rule: the log is told of some only.
    counts: BTreeMap<(String, String), u64>,
}

struct ColumnCheck {
    index: usize,
    /// It must be there, and NULL is not allowed.
    required: bool,
    /// What the column's type does not prove.
    rules: Option<Validator>,
}

/// A rule that does not hold: its field, and its name.
type Violation = (String, String);

impl OutputCheck {
    /// Reads an `outputSchema`; `None` where the columns prove all of it.
    ///
    /// # Errors
    /// It is no JSON Schema, or no row can be what it says, and it is strict.
    pub fn new(plan: &OutputPlan, public: &PublicSchema) -> Result<Option<OutputCheck>, EngineError> {
        let mut check = OutputCheck {
            plan: plan.clone(),
            name: format!("{}@{}", public.name, public.major),
            key: public.key().into_iter().map(|index| public.columns[index].name.to_string()).collect(),
            never: Vec::new(),
            columns: Vec::new(),
            whole: None,
            all: public.columns.iter().map(|c| (c.name.to_string(), c.kind.clone(), Vec::new())).collect(),
            counts: BTreeMap::new(),
        };
        if let Err(why) = check.read(&plan.schema, public) {
            if plan.strict {
                return Err(check.refuse(&format!("is no JSON Schema that can be used: {why}")));
            }
            tracing::warn!(public_schema = check.name, "its outputSchema is no JSON Schema that can be used: {why}");
            return Ok(None);
        }
        for difference in differences(&plan.schema, public) {
            let Some((field, rule)) = difference.of_every_row() else { continue };
            if plan.strict {
                return Err(check.refuse(&format!("holds for no row: {difference}")));
            }
            tracing::warn!(public_schema = check.name, "its outputSchema holds for no row: {difference}");
            check.never.push((field.to_owned(), rule));
        }
        let idle = check.columns.is_empty() && check.whole.is_none() && check.never.is_empty();
        Ok((!idle).then_some(check))
    }

    fn refuse(&self, what: &str) -> EngineError {
        EngineError::Setup {
            what: format!("the outputSchema of public schema `{}` {what}", self.name),
            hint: Some(
                "correct `outputSchema` in the manifest, or what makes the rows; or leave `strict` out".to_owned(),
            ),
        }
    }

    fn read(&mut self, schema: &Json, public: &PublicSchema) -> Result<(), String> {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Json::as_object).unwrap_or(&empty);
        let required: Vec<&str> =
            schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
        for (index, column) in public.columns.iter().enumerate() {
            let property = properties.get(&*column.name);
            self.all[index].2 = declared(property);
            let is_required = required.contains(&&*column.name);
            let mut rules = None;
            let mut takes_null = false;
            if let Some(property) = property {
                let validator = validator(&alone(schema, property))?;
                takes_null = validator.is_valid(&Json::Null);
                rules = (!is_proven(property, column)).then_some(validator);
            }
            let required = is_required && column.nullable && !takes_null;
            if required || rules.is_some() {
                self.columns.push(ColumnCheck { index, required, rules });
            }
        }
        let is_more = |name: &&String| !BY_COLUMN.contains(&name.as_str()) && !NOTES.contains(&name.as_str());
        let more: Map<String, Json> = schema
            .as_object()
            .unwrap_or(&empty)
            .iter()
            .filter(|(name, _)| is_more(name))
            .map(|(name, rule)| (name.clone(), rule.clone()))
            .collect();
        if !more.is_empty() {
            self.whole = Some(validator(&alone(schema, &Json::Object(more)))?);
        }
        Ok(())
    }

    /// Judges the rows of one public schema, by its index in the transform, and returns what does not hold.
    ///
    /// # Errors
    /// A row is not what a strict schema says.
    pub fn judge(&mut self, made: &Made, public_schema: usize) -> Result<Vec<Violations>, EngineError> {
        // Of each field and rule: how many rows, and the last of them.
        let mut found: BTreeMap<Violation, (i64, usize)> = BTreeMap::new();
        for (index, row) in made.rows.iter().enumerate() {
            if row.public_schema as usize != public_schema || !matches!(row.op, Op::Insert | Op::Update) {
                continue;
            }
            for violation in self.violations(row) {
                if self.plan.strict {
                    let (commit_lsn, change) = made.position(index);
                    let (public_schema, (field, rule)) = (self.name.clone(), violation);
                    return Err(EngineError::OutputSchema { public_schema, field, rule, commit_lsn, change });
                }
                self.tell(&violation);
                let (rows, last) = found.entry(violation).or_default();
                (*rows, *last) = (*rows + 1, index);
            }
            for (field, rule) in &self.never {
                let (rows, last) = found.entry((field.clone(), (*rule).to_owned())).or_default();
                (*rows, *last) = (*rows + 1, index);
            }
        }
        let counted = found.into_iter().map(|((field, rule), (rows, last))| {
            let (commit_lsn, change) = made.position(last);
            Violations {
                public_schema: self.plan.public_schema.clone(),
                major: self.plan.major as i32,
                schema: self.plan.schema.to_string(),
                field,
                rule,
                key: self.key.clone(),
                rows,
                commit_lsn,
                change: change as i64,
            }
        });
        Ok(counted.collect())
    }

    /// Tells of the first, the tenth, the hundredth and so on.
    fn tell(&mut self, violation: &Violation) {
        let count = self.counts.entry(violation.clone()).or_default();
        *count += 1;
        if 10u64.pow(count.ilog10()) == *count {
            let (public_schema, (field, rule), rows) = (&self.name, violation, *count);
            let key = if self.key.is_empty() { "none".to_owned() } else { self.key.join(", ") };
            tracing::warn!(public_schema, field, rule, key, rows, "public rows are not what outputSchema says");
        }
    }

    /// Returns what does not hold of a row, each field and rule once.
    fn violations(&self, row: &Row) -> Vec<Violation> {
        let values: Vec<Value<'_>> = row.values.columns().collect();
        let mut found = Vec::new();
        for check in &self.columns {
            let (name, ..) = &self.all[check.index];
            let violation = |rule: String| (name.clone(), rule);
            match (values.get(check.index), &check.rules) {
                (Some(Value::Null), _) if check.required => found.push(violation("required".to_owned())),
                (Some(value @ (Value::Text(_) | Value::Binary(_))), Some(rules)) => {
                    let value = self.json(check.index, *value);
                    found.extend(broken(rules, &value).into_iter().map(|(_, rule)| violation(rule)));
                }
                _ => {}
            }
        }
        if let Some(whole) = self.whole.as_ref().filter(|_| !values.contains(&Value::Unchanged)) {
            let known = values.iter().enumerate().filter(|(_, value)| **value != Value::Null);
            let object = known.map(|(at, value)| (self.all[at].0.clone(), self.json(at, *value))).collect();
            let broken = broken(whole, &Json::Object(object)).into_iter();
            found.extend(broken);
        }
        let mut seen = BTreeSet::new();
        found.retain(|violation| seen.insert(violation.clone()));
        found
    }

    /// Returns a value as JSON.
    fn json(&self, column: usize, value: Value<'_>) -> Json {
        let (_, kind, declared) = &self.all[column];
        let Ok(Some(text)) = text_of(kind, value) else { return Json::Null };
        let text = String::from_utf8_lossy(&text);
        let parsed = || serde_json::from_str::<Json>(&text).ok();
        let is_number = declared.iter().any(|name| matches!(name.as_str(), "number" | "integer"));
        let number = || parsed().filter(Json::is_number);
        let as_json = match kind {
            Kind::Bool => Some(Json::Bool(text == "t" || text == "true")),
            Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Float32 | Kind::Float64 => number(),
            Kind::Numeric if is_number => number(),
            Kind::Json | Kind::Jsonb => parsed(),
            _ => None,
        };
        as_json.unwrap_or_else(|| Json::String(text.into_owned()))
    }
}

/// Returns the fields and the rules that do not hold.
fn broken(rules: &Validator, value: &Json) -> Vec<(String, String)> {
    let last = |path: String| path.rsplit('/').next().unwrap_or_default().to_owned();
    let first = |path: String| path.split('/').nth(1).filter(|name| !name.is_empty()).unwrap_or("the row").to_owned();
    rules
        .iter_errors(value)
        .map(|error| (first(error.instance_path().to_string()), last(error.schema_path().to_string())))
        .collect()
}

fn validator(schema: &Json) -> Result<Validator, String> {
    // The message may quote the schema, which is the manifest's, and no row.
    jsonschema::validator_for(schema).map_err(|error| error.to_string())
}

/// Returns a part of a schema as a schema of its own, with the definitions that it may refer to.
fn alone(schema: &Json, part: &Json) -> Json {
    let Some(part) = part.as_object() else { return part.clone() };
    let mut alone = part.clone();
    for name in ["$schema", "$defs", "definitions"] {
        if let Some(value) = schema.get(name) {
            alone.entry(name).or_insert_with(|| value.clone());
        }
    }
    Json::Object(alone)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::change::{Column, TupleWriter};

    /// What the rows break: `field rule`. `-` is NULL, `~` a value that an update left alone.
    fn check(schema: Json, rows: &[&str], expected: &[&str]) {
        let column = |name: &str, kind, nullable| Column {
            name: name.into(),
            kind,
            type_oid: 0,
            type_modifier: -1,
            nullable,
            key: !nullable,
            attrs: Vec::new(),
        };
        let public = PublicSchema {
            name: "p".into(),
            major: 1,
            minor: 0,
            columns: vec![
                column("id", Kind::Int64, false),
                column("label", Kind::Text, true),
                column("price", Kind::Numeric, true),
                column("doc", Kind::Jsonb, true),
            ],
            attrs: Vec::new(),
        };
        let plan = OutputPlan { public_schema: "p".to_owned(), major: 1, schema, strict: false };
        let check = OutputCheck::new(&plan, &public).unwrap();
        let mut found = Vec::new();
        for row in rows {
            let mut writer = TupleWriter::default();
            writer.begin();
            row.split('|').for_each(|value| match value {
                "-" => writer.null(),
                "~" => writer.unchanged(),
                text => writer.text(text.as_bytes()),
            });
            writer.end();
            let values = writer.finish().remove(0);
            let row = Row { public_schema: 0, op: Op::Insert, source: 0, values, old_key: None };
            let violations = check.as_ref().map(|check| check.violations(&row)).unwrap_or_default();
            found.extend(violations.into_iter().map(|one| format!("{} {}", one.0, one.1)));
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn what_types_prove_costs_nothing_and_the_rest_is_looked_at() {
        let rows = ["1|a|1.50|{}", "2|-|-|-", "3|~|~|~"];
        check(
            json!({"type": "object", "properties": {"id": {"type": "integer", "title": "x"}}, "required": ["id"]}),
            &rows,
            &[],
        );
        check(
            json!({"required": ["id", "label"], "properties": {"label": {"type": "string"}}}),
            &rows,
            &["label required"],
        );
        check(json!({"required": ["label"], "properties": {"label": {"type": ["string", "null"]}}}), &rows, &[]);
        check(
            json!({"properties": {"label": {"enum": ["b"]}, "id": {"minimum": 2}}}),
            &rows,
            &["id minimum", "label enum"],
        );
        check(json!({"properties": {"price": {"type": "number", "maximum": 1}}}), &rows, &["price maximum"]);
        check(json!({"properties": {"price": {"type": "string", "pattern": "^1\\.5$"}}}), &rows, &["price pattern"]);
        check(json!({"properties": {"doc": {"type": "array"}}}), &rows, &["doc type"]);
        check(json!({"properties": {"id": {"type": "string"}}}), &["1|a|1|{}"], &["id type"]);
        check(
            json!({"$defs": {"l": {"maxLength": 0}}, "properties": {"label": {"$ref": "#/$defs/l"}}}),
            &rows,
            &["label maxLength"],
        );
        check(json!({"if": {"required": ["label"]}, "then": {"required": ["gone"]}}), &rows, &["the row required"]);
        check(json!({"properties": {"label": {"type": "nonsense"}}}), &rows, &[]);
    }
}
