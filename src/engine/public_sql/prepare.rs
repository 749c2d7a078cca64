//! What an author's statements give, and how they are run: asked of Postgres once, before the first change.

use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use crate::change::{Column, Kind, Op, PublicSchema};
use crate::postgres::{self, QueryError};
use crate::sink::MISSING_VALUE;
use crate::sql::{Placeholder, TableRef};

use super::super::failure::EngineError;
use super::super::plan::{SqlPlan, SqlStatementPlan};
use super::super::prepare::{Source, SourceTable};
use super::text::{self, InputColumn};
use super::{Input, Prepared, SqlError, SqlTransform};

/// Where changes come from, and who asks.
pub struct Origin<'a> {
    pub source: &'a Source,
    pub application_name: String,
    /// The transform, for messages.
    pub transform: &'a str,
}

/// How long a statement may take for a batch of changes. It holds the flow up, and the source's log with it.
const TIMEOUT: &str = "SET statement_timeout = '60s'";

/// What says which transactions a statement behind it will see.
const SEEN: &str = "SELECT pg_catalog.pg_current_snapshot()::text";
const SEEN_ON_STANDBY: &str = "SELECT pg_catalog.pg_last_wal_replay_lsn()::text";

/// The columns of a table: name, number, and type without its modifier, so that `bit` is not `bit(1)`.
const COLUMNS: &str = "SELECT a.attname::text, a.attnum, pg_catalog.format_type(a.atttypid, -1) \
    FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";

/// What types are called. An element's array type names it back.
const TYPES: &str = "SELECT t.oid, t.typtype = 'e', pg_catalog.format_type(t.oid, -1), pg_catalog.format_type(e.oid, NULL) \
    FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND e.typarray = t.oid \
    WHERE t.oid = ANY ($1)";

/// A statement as it was described.
struct Described<'a> {
    plan: &'a SqlStatementPlan,
    table: &'a SourceTable,
    gives: Vec<Given>,
    prepared: Prepared,
}

/// A column that a statement gives.
struct Given {
    name: String,
    kind: Kind,
    modifier: i32,
    /// The column of the changed table that it is, where it is nothing else.
    of: Option<String>,
}

impl Origin<'_> {
    fn failed(&self, source: SqlError) -> EngineError {
        let (slug, transform) = (self.source.slug.clone(), self.transform.to_owned());
        EngineError::PublicSql { slug, transform, source: Box::new(source) }
    }
}

/// Makes a public schema's statements ready to run.
///
/// # Errors
/// The source can't be reached, or a statement names or gives what it can't.
pub async fn prepare(origin: &Origin<'_>, plan: &SqlPlan) -> Result<SqlTransform, EngineError> {
    let source = origin.source;
    let session = postgres::Session::user_sql(origin.application_name.clone());
    let client = postgres::connect(&source.connection, &session).await.map_err(|error| EngineError::Connect {
        role: "source",
        slug: source.slug.clone(),
        source: error,
    })?;
    let limited = client.batch_execute(TIMEOUT).await;
    limited.map_err(|error| asking(source, "set a time limit", error))?;
    let seen = if source.standby { SEEN_ON_STANDBY } else { SEEN };
    let seen = client.prepare(seen).await.map_err(|error| asking(source, "ask for snapshots", error))?;
    let mut described = Vec::new();
    for statement in &plan.statements {
        let table = source.table(&statement.table.schema, &statement.table.name)?;
        described.push(describe(origin, &client, statement, table).await?);
    }
    let is_insert = |one: &&Described<'_>| one.plan.op == Op::Insert;
    let main = described.iter().find(is_insert).or_else(|| described.iter().find(|one| one.plan.op != Op::Delete));
    let Some(main) = main.or(described.first()) else {
        return Err(EngineError::Bug("a public schema without statements was planned".to_owned()));
    };
    let (key, key_columns) = key(&described, main);
    let today = source.today.columns(&main.table.relation.schema, &main.table.relation.name);
    // What rows from before a column was added have in it.
    let missing = |given: &Given| {
        let column = today.iter().find(|column| Some(&column.name) == given.of.as_ref());
        column.and_then(|column| Some((MISSING_VALUE.to_owned(), column.missing.clone()?)))
    };
    let column = |given: &Given| Column {
        name: given.name.as_str().into(),
        kind: given.kind.clone(),
        type_oid: 0,
        type_modifier: given.modifier,
        nullable: !key.contains(&given.name),
        key: key.contains(&given.name),
        attrs: missing(given).into_iter().collect(),
    };
    let public = PublicSchema {
        name: plan.name.as_str().into(),
        major: plan.major,
        minor: plan.minor,
        columns: main.gives.iter().map(column).collect(),
        attrs: Vec::new(),
    };
    // In the order of the public schema's columns.
    let key_columns = key_columns.map(|columns| {
        let of = |index: usize| columns.iter().find(|(name, _)| **name == *public.columns[index].name);
        public.key().into_iter().filter_map(|index| of(index).map(|(_, column)| column.clone())).collect()
    });
    let main_table = (main.plan.table.schema.clone(), main.plan.table.name.clone());
    let main_says = (name_of(main.plan.op), main.plan.table.to_string());
    let mut statements = Vec::new();
    for mut one in described {
        one.prepared.columns = columns(&one, &public, &main_says).map_err(|error| origin.failed(error))?;
        statements.push(one.prepared);
    }
    let mut digest = Sha256::new();
    for statement in &plan.statements {
        digest.update(format!("{} {} ", name_of(statement.op), statement.table));
        digest.update(statement.sql.render(ToString::to_string));
    }
    Ok(SqlTransform {
        slug: source.slug.clone(),
        name: origin.transform.to_owned(),
        client,
        standby: source.standby,
        seen,
        public,
        statements,
        main: main_table,
        key_columns,
        today: source.today.clone(),
        digest: hex::encode(digest.finalize()),
        vanished: 0,
        told_truncate: false,
    })
}

fn asking(source: &Source, doing: &str, error: tokio_postgres::Error) -> EngineError {
    EngineError::Source { slug: source.slug.clone(), source: QueryError::new(doing, error) }
}

pub(super) fn name_of(op: Op) -> &'static str {
    match op {
        Op::Insert => "insert",
        Op::Update => "update",
        Op::Delete => "delete",
        Op::Truncate => "truncate",
    }
}

/// Asks Postgres what a statement gives, and prepares it for many changes.
async fn describe<'a>(
    origin: &Origin<'_>,
    client: &Client,
    plan: &'a SqlStatementPlan,
    table: &'a SourceTable,
) -> Result<Described<'a>, EngineError> {
    let source = origin.source;
    let relation = &table.relation;
    let rows = source.client.query(COLUMNS, &[&relation.oid]).await;
    let rows = rows.map_err(|error| asking(source, "look up columns", error))?;
    let catalog: Vec<(String, i16, String)> = rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let reference = TableRef { schema: &relation.schema, name: &relation.name };
    let template = &plan.sql;
    let names = placeholders(plan, table).map_err(|error| origin.failed(error))?;
    let column_of = |placeholder: &Placeholder| {
        names.iter().find(|(known, _)| known == placeholder).map(|(_, column)| column.clone())
    };
    // What changes do not say (generated columns, those that are not published) is not in a row made of one either.
    let lacks = catalog.iter().any(|(name, ..)| relation.column(name).is_none());
    let pins = template.pins(reference, &table.key, column_of) && !(lacks && template.mentions(reference, "*"));
    let mut columns = Vec::new();
    let mut inputs = Vec::new();
    for column in &relation.columns {
        let Some((name, _, cast)) = catalog.iter().find(|(name, ..)| **name == *column.name) else { continue };
        let is_placeholder = names.iter().any(|(_, taken)| taken == name);
        let is_mentioned = pins && template.mentions(reference, name);
        let is_taken = is_placeholder || is_mentioned;
        columns.push(InputColumn { name: name.clone(), cast: cast.clone(), is_taken });
        if is_taken {
            inputs.push(Input { name: name.clone(), type_oid: column.type_oid, is_placeholder, is_mentioned });
        }
    }
    let what = format!("{} of {}", name_of(plan.op), plan.table);
    let refused = |error| {
        let doing = format!("prepare its {what}");
        origin.failed(SqlError::of(error, |refusal| SqlError::Refused { doing, refusal }))
    };
    let alone = text::alone(template, &columns, column_of);
    let types = vec![Type::TEXT; template.placeholders().len()];
    let alone = client.prepare_typed(&alone, &types).await.map_err(refused)?;
    let gives = given(origin, plan, table, &alone, &catalog).await?;
    let mut types = vec![Type::INT4_ARRAY];
    types.resize(1 + inputs.len(), Type::TEXT_ARRAY);
    let live = text::for_many(template, reference, &columns, column_of, false);
    let live = client.prepare_typed(&live, &types).await.map_err(refused)?;
    // A statement that does not name the table at all gives what the placeholders say: that is the change too.
    let mut from_change = None;
    if pins {
        let sql = text::for_many(template, reference, &columns, column_of, true);
        match client.prepare_typed(&sql, &types).await {
            Ok(statement) => from_change = Some(statement),
            // What only the table itself has: system columns, functions of its row type, generated columns.
            Err(error) if error.as_db_error().is_some() => {}
            Err(error) => return Err(refused(error)),
        }
    } else if !template.names(reference) {
        from_change = Some(live.clone());
    }
    if from_change.is_none() && plan.op == Op::Delete {
        return Err(origin.failed(SqlError::DeleteReadsTable { table: plan.table.to_string() }));
    }
    if from_change.is_none() {
        tracing::info!(
            source = source.slug,
            transform = origin.transform,
            "its {what} can't be answered from the change: it reads the table as it is when the change comes"
        );
    }
    let prepared = Prepared {
        schema: relation.schema.to_string(),
        table: relation.name.to_string(),
        op: plan.op,
        from_change,
        live,
        inputs,
        all: pins && template.mentions(reference, "*"),
        known: relation.columns.iter().map(|column| column.name.to_string()).collect(),
        columns: Vec::new(),
    };
    Ok(Described { plan, table, gives, prepared })
}

/// Returns which column of the changed table each placeholder is.
///
/// `$n` counts the columns of the key, as ReJot's documentation has it; where there are more, those of the table.
fn placeholders(plan: &SqlStatementPlan, table: &SourceTable) -> Result<Vec<(Placeholder, String)>, SqlError> {
    let relation = &table.relation;
    let all: Vec<String> = relation.columns.iter().map(|column| column.name.to_string()).collect();
    let in_order: Vec<String> = all.iter().filter(|name| table.key.contains(name)).cloned().collect();
    let placeholders = plan.sql.placeholders();
    let greatest = placeholders.iter().map(|one| match one {
        Placeholder::Numbered(number) => usize::from(*number),
        Placeholder::Named(_) => 0,
    });
    let numbered = if greatest.max().unwrap_or(0) <= in_order.len() { &in_order } else { &all };
    let mut names = Vec::new();
    for placeholder in placeholders {
        let column = match &placeholder {
            Placeholder::Named(name) => all.iter().find(|column| *column == name),
            Placeholder::Numbered(number) => numbered.get(usize::from(*number) - 1),
        };
        let (table_name, written) = (plan.table.to_string(), placeholder.to_string());
        let Some(column) = column else {
            let (op, columns) = (name_of(plan.op), all);
            return Err(SqlError::NoSuchColumn { op, table: table_name, placeholder: written, columns });
        };
        let of_identity = |column: &&Column| column.key;
        if plan.op == Op::Delete && !relation.columns.iter().filter(of_identity).any(|known| *known.name == **column) {
            let columns = relation.columns.iter().filter(of_identity).map(|column| column.name.to_string()).collect();
            return Err(SqlError::NotOfDelete { table: table_name, placeholder: written, columns });
        }
        names.push((placeholder, column.clone()));
    }
    Ok(names)
}

/// Returns the columns that a statement gives.
async fn given(
    origin: &Origin<'_>,
    plan: &SqlStatementPlan,
    table: &SourceTable,
    statement: &Statement,
    catalog: &[(String, i16, String)],
) -> Result<Vec<Given>, EngineError> {
    let source = origin.source;
    let oids: Vec<u32> = statement.columns().iter().map(|column| column.type_().oid()).collect();
    let rows = source.client.query(TYPES, &[&oids]).await.map_err(|error| asking(source, "look up types", error))?;
    let kind = |oid: u32| {
        let row = rows.iter().find(|row| row.get::<_, u32>(0) == oid);
        Kind::of_oid(oid).or_else(|| {
            let row = row?;
            Some(match (row.get::<_, bool>(1), row.get::<_, Option<String>>(3)) {
                // An enum is text in public: its labels are the owner's to change.
                (true, _) => Kind::Text,
                (false, Some(element)) => Kind::Array(element.into()),
                (false, None) => Kind::Other(row.get::<_, String>(2).into()),
            })
        })
    };
    let (op, table_name) = (name_of(plan.op), plan.table.to_string());
    let mut gives: Vec<Given> = Vec::new();
    for column in statement.columns() {
        let name = column.name().to_owned();
        if name == "?column?" {
            return Err(origin.failed(SqlError::Unnamed { op, table: table_name }));
        }
        if gives.iter().any(|known| known.name == name) {
            return Err(origin.failed(SqlError::Twice { op, table: table_name, column: name }));
        }
        let of = catalog.iter().find(|(_, number, _)| {
            column.table_oid() == Some(table.relation.oid) && column.column_id() == Some(*number)
        });
        gives.push(Given {
            name,
            kind: kind(column.type_().oid()).unwrap_or(Kind::Text),
            modifier: column.type_modifier(),
            of: of.map(|(name, ..)| name.clone()),
        });
    }
    if gives.is_empty() {
        return Err(origin.failed(SqlError::NoColumns { op, table: table_name }));
    }
    Ok(gives)
}

/// Returns the names of the key's columns, and of which columns of the main table they are, where that is known: the key of
/// the table, if its columns are taken over; else what the statements for deletes give.
type Key = (Vec<String>, Option<Vec<(String, String)>>);

fn key(described: &[Described<'_>], main: &Described<'_>) -> Key {
    let given = |column: &String| main.gives.iter().find(|given| given.of.as_ref() == Some(column));
    let taken: Option<Vec<(String, String)>> =
        main.table.key.iter().map(|column| Some((given(column)?.name.clone(), column.clone()))).collect();
    if let Some(taken) = taken.filter(|taken| !taken.is_empty()) {
        return (taken.iter().map(|(name, _)| name.clone()).collect(), Some(taken));
    }
    let mut deletes = described.iter().filter(|one| one.plan.op == Op::Delete);
    let names = |one: &Described<'_>| one.gives.iter().map(|given| given.name.clone()).collect::<Vec<String>>();
    let Some(first) = deletes.next().map(names) else { return (Vec::new(), None) };
    let others: Vec<Vec<String>> = deletes.map(names).collect();
    let public = names(main);
    let common = |name: &String| public.contains(name) && others.iter().all(|other| other.contains(name));
    (first.into_iter().filter(common).collect(), None)
}

/// Returns which public column each column of a statement is.
fn columns(one: &Described<'_>, public: &PublicSchema, main: &(&'static str, String)) -> Result<Vec<usize>, SqlError> {
    let table = one.plan.table.to_string();
    let position = |given: &Given| public.columns.iter().position(|column| *column.name == *given.name);
    if one.plan.op == Op::Delete {
        let is_given = |column: &&Column| one.gives.iter().any(|given| *given.name == *column.name);
        if let Some(lacks) = public.columns.iter().filter(|column| column.key).find(|column| !is_given(column)) {
            return Err(SqlError::KeyNotGiven { table, column: lacks.name.to_string() });
        }
    }
    let of_key = |column: usize| one.plan.op != Op::Delete || public.columns[column].key;
    let fits = |given: &Given| match position(given) {
        Some(column) => !of_key(column) || public.columns[column].kind == given.kind,
        // A delete may say more than its key.
        None => one.plan.op == Op::Delete,
    };
    let is_whole = one.plan.op == Op::Delete || one.gives.len() == public.columns.len();
    if !is_whole || !one.gives.iter().all(fits) {
        let list = |columns: Vec<(String, String)>| {
            columns.into_iter().map(|(name, kind)| format!("{name} ({kind})")).collect::<Vec<_>>().join(", ")
        };
        let found = list(one.gives.iter().map(|given| (given.name.clone(), given.kind.to_string())).collect());
        let expected = list(public.columns.iter().map(|c| (c.name.to_string(), c.kind.to_string())).collect());
        let other = format!("{} of {}", main.0, main.1);
        return Err(SqlError::Differs { op: name_of(one.plan.op), table, found, other, expected });
    }
    // What a delete says beyond the public columns goes nowhere.
    Ok(one.gives.iter().map(|given| position(given).unwrap_or(usize::MAX)).collect())
}
