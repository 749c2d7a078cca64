//! What an author's statements give, and how they are run: asked of Postgres once, before the first change.

use std::sync::atomic::AtomicUsize;

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
use super::answer::{self, ROWS_MAX};
use super::key::{key, of_row};
use super::seen::Seen;
use super::text::{self, ForMany, InputColumn};
use super::{Input, Prepared, SqlError, SqlTransform, reads};

/// Where changes come from, and who asks.
pub struct Origin<'a> {
    pub source: &'a Source,
    pub application_name: String,
    /// The transform, for messages.
    pub transform: &'a str,
}

/// Whether a table's name alone means it.
const BY_NAME: &str = "SELECT pg_catalog.to_regclass($1)::oid IS NOT DISTINCT FROM $2::oid";

/// The columns of a table: name, number, and type without its modifier, so that `bit` is not `bit(1)`.
const COLUMNS: &str = "SELECT a.attname::text, a.attnum, pg_catalog.format_type(a.atttypid, -1) \
    FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";

/// What types are called. An element's array type names it back.
const TYPES: &str = "SELECT t.oid, t.typtype = 'e', pg_catalog.format_type(t.oid, -1), pg_catalog.format_type(e.oid, NULL) \
    FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_type AS e ON e.oid = t.typelem AND e.typarray = t.oid \
    WHERE t.oid = ANY ($1)";

/// A statement as it was described.
pub(super) struct Described<'a> {
    pub plan: &'a SqlStatementPlan,
    pub table: &'a SourceTable,
    pub gives: Vec<Given>,
    prepared: Prepared,
}

/// A column that a statement gives.
pub(super) struct Given {
    pub name: String,
    kind: Kind,
    modifier: i32,
    /// The column of the changed row that it is, where it is nothing else.
    pub of: Option<String>,
}

impl Origin<'_> {
    fn failed(&self, source: SqlError) -> EngineError {
        let (slug, transform) = (self.source.slug.clone(), self.transform.to_owned());
        EngineError::PublicSql { slug, transform, source: Box::new(source) }
    }

    /// Sorts what went wrong in the session that runs the statements.
    fn lost(&self, doing: &str) -> impl Fn(tokio_postgres::Error) -> EngineError {
        let refused = move |refusal| SqlError::Refused { doing: doing.to_owned(), refusal };
        move |error| self.failed(SqlError::of(error, refused))
    }
}

/// Makes a public schema's statements ready to run.
///
/// # Errors
/// The source can't be reached, or a statement names or gives what it can't.
pub async fn prepare(origin: &Origin<'_>, plan: &SqlPlan) -> Result<SqlTransform, EngineError> {
    let source = origin.source;
    let session = postgres::Session::user_sql(origin.application_name.clone());
    let client = postgres::connect(&source.connection, &session).await;
    let client = client.map_err(|error| origin.failed(SqlError::Connect { source: error }))?;
    client.batch_execute(&answer::settings()).await.map_err(origin.lost("set a time limit"))?;
    let seen = Seen::prepare(&client).await.map_err(origin.lost("ask for snapshots"))?;
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
    let by_name = client.query_one(BY_NAME, &[&postgres::quote_ident(&relation.name), &relation.oid]).await;
    let by_name: bool = by_name.map_err(origin.lost("look up a name"))?.get(0);
    let reference = TableRef { schema: &relation.schema, name: &relation.name, by_name };
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
    let doing = format!("prepare its {what}");
    let refused = origin.lost(&doing);
    let alone = text::alone(template, &columns, column_of);
    let types = vec![Type::TEXT; template.placeholders().len()];
    let alone = client.prepare_typed(&alone, &types).await.map_err(&refused)?;
    let mut gives = given(origin, plan, table, &alone, &catalog).await?;
    of_row(client, plan, table, reference, &columns, column_of, &mut gives).await.map_err(&refused)?;
    let names: Vec<String> = gives.iter().map(|given| given.name.clone()).collect();
    let mut types = vec![Type::INT4_ARRAY];
    types.resize(1 + inputs.len(), Type::TEXT_ARRAY);
    let for_many =
        ForMany { template, table: reference, columns: &columns, gives: &names, from_change: false, empty: false };
    let live = client.prepare_typed(&text::for_many(&for_many, column_of), &types).await.map_err(&refused)?;
    // A statement that does not name the table gives what the placeholders say, and what other tables have: that is the
    // change too.
    let mut from_change = (!pins && !template.names(reference)).then(|| live.clone());
    if pins {
        let sql = text::for_many(&ForMany { from_change: true, ..for_many }, column_of);
        match client.prepare_typed(&sql, &types).await {
            Ok(statement) => from_change = Some(statement),
            Err(error) if error.code().is_some_and(|code| is_of_table_alone(code.code())) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    if from_change.is_some() {
        let explained = ForMany { from_change: pins, empty: true, ..for_many };
        let includes = reads::includes(client, &text::for_many(&explained, column_of), relation.oid).await;
        if includes.map_err(&refused)? {
            from_change = None;
        }
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
        at_once: AtomicUsize::new(ROWS_MAX),
    };
    Ok(Described { plan, table, gives, prepared })
}

/// Tells whether a statement takes what only the table itself has: system columns, functions of its row type. Whatever else
/// the server says is no reason to read something else.
fn is_of_table_alone(sqlstate: &str) -> bool {
    (sqlstate.starts_with("42") && sqlstate != "42501") || sqlstate == "0A000"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_or_is_forbidden_is_no_reason_to_read_the_table_as_it_is() {
        for (sqlstate, of_table) in [
            ("42703", true),
            ("42883", true),
            ("42P10", true),
            ("0A000", true),
            ("42501", false),
            ("57014", false),
            ("53200", false),
            ("40P01", false),
        ] {
            assert_eq!(is_of_table_alone(sqlstate), of_table, "{sqlstate}");
        }
    }
}
