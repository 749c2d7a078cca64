//! Mends the tables of one destination, all in one transaction, with the checkpoints that say so.

use std::sync::Arc;

use tokio_postgres::Client;

use crate::change::{Op, Row, TupleWriter};
use crate::datastore::{self, FlowRow, Owned, Start, StateTable};
use crate::postgres::{self, QueryError, quote_table};
use crate::sink::{Addressed, Destination, SinkError, TableTarget, TableWriter};

use super::super::failure::EngineError;
use super::super::plan::{FlowPlan, GroupPlan, TransformKind, TransformPlan};
use super::super::prepare::Source;
use super::super::transform::Runner;
use super::super::{Context, backfill, load};
use super::compare::{self, Side};
use super::narrow::{Limits, Refused, narrow};
use super::{Differences, FlowRepair, Repaired, outcome};

/// The flows of one destination.
pub struct Group<'a> {
    pub context: &'a Arc<Context>,
    pub plan: &'a GroupPlan,
    pub source: &'a Source,
    pub client: &'a Client,
    pub owned: &'a Owned,
    pub start: &'a Start,
    pub epoch: u32,
    pub is_lost: bool,
    pub limits: &'a Limits,
}

/// A table that is compared.
struct Compared {
    flow: String,
    writer: TableWriter,
    source: Table,
    destination: Table,
    key: Vec<usize>,
}

/// One end of it.
struct Table {
    from: String,
    columns: Vec<String>,
}

/// What is to be written into a table.
#[derive(Default)]
struct Mend {
    surplus: Vec<Row>,
    changed: Vec<Row>,
}

/// Why flows are not compared, and which.
type Others = Vec<(Vec<String>, String)>;

impl Group<'_> {
    /// Brings the flows back.
    pub async fn repair(&self, snapshot: &str) -> Result<Vec<FlowRepair>, EngineError> {
        let reader = self.reader(snapshot).await?;
        let (mut compared, mut others, mut gaps) = (Vec::new(), Others::new(), Vec::new());
        for transform in &self.plan.transforms {
            let known = |flow: &&FlowPlan| self.owned.flows.iter().any(|row| row.flow == flow.name);
            let (whole, partial): (Vec<&FlowPlan>, Vec<&FlowPlan>) =
                transform.flows.iter().filter(known).partition(|flow| flow.target.backfill());
            gaps.extend(partial.iter().map(|flow| flow.name.clone()));
            if whole.is_empty() {
                continue;
            }
            match self.comparable(transform, &whole, &reader).await? {
                Ok(tables) => compared.extend(tables),
                Err(why) => others.push((whole.iter().map(|flow| flow.name.clone()).collect(), why)),
            }
        }
        let begin = "BEGIN; SET LOCAL synchronous_commit = on; SET LOCAL statement_timeout = 0; SET LOCAL jit = off";
        self.client.batch_execute(begin).await.map_err(self.at_destination("begin"))?;
        let done = self.in_transaction(compared, others, gaps, &reader).await;
        crate::fault::point("before-repaired");
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.client.batch_execute(end).await.map_err(self.at_destination("end a transaction"));
        let done = done?;
        ended.map(|()| done)
    }

    async fn in_transaction(
        &self,
        compared: Vec<Compared>,
        mut others: Others,
        gaps: Vec<String>,
        reader: &Client,
    ) -> Result<Vec<FlowRepair>, EngineError> {
        datastore::lock(self.client, self.owned).await.map_err(self.refused())?;
        let mut done = Vec::new();
        let (mut names, mut mends, mut writers, mut found) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut room = self.limits.bytes_max;
        for table in compared {
            match self.differences(&table, reader, &mut room).await? {
                Some((differences, mend)) => {
                    names.push(table.flow);
                    mends.push(mend);
                    writers.push(table.writer);
                    found.push(differences);
                }
                None => others.push((vec![table.flow], "too much of it differs".to_owned())),
            }
        }
        let savepoint = "SAVEPOINT pelton_repair";
        self.client.batch_execute(savepoint).await.map_err(self.at_destination("set a savepoint"))?;
        let mut go_on = match self.write(Destination::new(writers), &mends).await {
            Ok(()) => {
                let compared = names.iter().zip(&found);
                done.extend(compared.map(|(flow, found)| outcome(self.plan, flow, Repaired::Compared(*found))));
                names
            }
            // Constraints that refuse the order, as where two rows have swapped a unique value.
            Err(SinkError::Refused { source, .. }) if source.sqlstate.starts_with("23") => {
                let back = "ROLLBACK TO SAVEPOINT pelton_repair";
                self.client.batch_execute(back).await.map_err(self.at_destination("roll back"))?;
                others.push((names, "constraints of the destination refuse what differs".to_owned()));
                Vec::new()
            }
            Err(source) => return Err(EngineError::Sink { slug: self.plan.slug.clone(), source }),
        };
        if self.is_lost {
            done.extend(gaps.iter().map(|flow| outcome(self.plan, flow, Repaired::WithGap)));
            go_on.extend(gaps);
        } else {
            others.push((gaps, "it has `backfill: false`".to_owned()));
        }
        datastore::go_on(self.client, self.owned, &go_on, self.start, self.epoch).await.map_err(self.refused())?;
        for (flows, why) in others {
            if self.is_lost {
                datastore::copy_anew(self.client, self.owned, &flows, self.start, self.epoch)
                    .await
                    .map_err(self.refused())?;
            }
            done.extend(flows.iter().map(|flow| {
                let why = why.clone();
                let told = if self.is_lost { Repaired::CopiedAnew(why) } else { Repaired::LeftAlone(why) };
                outcome(self.plan, flow, told)
            }));
        }
        Ok(done)
    }

    fn refused(&self) -> impl Fn(datastore::DataStoreError) -> EngineError {
        let slug = self.plan.slug.clone();
        move |source| EngineError::DataStore { slug: slug.clone(), source }
    }

    fn at_destination(&self, act: &'static str) -> impl Fn(tokio_postgres::Error) -> EngineError {
        let refused = self.refused();
        move |source| refused(datastore::DataStoreError::query(act)(source))
    }

    fn at_source(&self, doing: &'static str) -> impl Fn(tokio_postgres::Error) -> EngineError {
        let slug = self.source.slug.clone();
        move |error| EngineError::Source { slug: slug.clone(), source: QueryError::new(doing, error) }
    }

    /// Connects to the source once more, for a transaction under the snapshot.
    async fn reader(&self, snapshot: &str) -> Result<Client, EngineError> {
        let session = postgres::Session::source(self.context.application_name());
        let reader = postgres::connect(&self.source.connection, &session).await;
        let reader =
            reader.map_err(|source| EngineError::Connect { role: "source", slug: self.source.slug.clone(), source })?;
        let begin = backfill::begin_under(snapshot);
        reader.batch_execute(&begin).await.map_err(self.at_source("take the snapshot"))?;
        Ok(reader)
    }

    /// Makes what is needed to compare a transform's flows, or says why they can't be.
    async fn comparable(
        &self,
        transform: &TransformPlan,
        flows: &[&FlowPlan],
        reader: &Client,
    ) -> Result<Result<Vec<Compared>, String>, EngineError> {
        let refuse = |why: &str| Ok(Err(why.to_owned()));
        if self.plan.event_store {
            return refuse("consumers have read what was published, so it is published anew, in a later epoch");
        }
        match transform.kind {
            TransformKind::Table { .. } => {}
            TransformKind::Wasm(_) => return refuse("what a component made can't be compared with the source"),
            TransformKind::Sql(_) => return refuse("what SQL made can't be compared with the source"),
        }
        let is_copied = |row: &FlowRow| row.backfill.is_none() && !row.released;
        let row = |flow: &FlowPlan| self.owned.flows.iter().find(|row| row.flow == flow.name);
        if !flows.iter().all(|flow| row(flow).is_some_and(is_copied)) {
            return refuse("it was not copied to the end");
        }
        let state = StateTable { scope: self.owned.scope.clone(), transform: transform.name.clone() };
        let runner = load::runner(self.context, self.source, self.plan, transform, None, &state).await?;
        let Runner::Table(projection) = runner else { return refuse("it is no table") };
        let public = projection.public_schema();
        let read = |(schema, table): &&(String, String)| projection.reads(schema, table);
        let names: Vec<(String, String)> = self.source.tables.iter().filter(read).cloned().collect();
        let reading = |source| EngineError::BackfillRead { slug: self.source.slug.clone(), source };
        let published = self.source.published(&names);
        let plans = backfill::plan_tables(&self.source.client, &self.source.publication, &published).await;
        let plans = plans.map_err(reading)?;
        let [table] = &plans[..] else { return refuse("its table is published as several") };
        let locked = reader.batch_execute(&backfill::lock(table)).await;
        locked.map_err(self.at_source("lock a table against being rewritten"))?;
        let rewritten = reader.query_one(backfill::WAS_REWRITTEN, &[&table.relation.oid]).await;
        let rewritten = rewritten.and_then(|row| row.try_get::<_, bool>(0));
        if rewritten.map_err(self.at_source("look whether a table was rewritten"))? {
            return Err(reading(backfill::ReadError::Rewritten { table: table.name() }));
        }
        let mut compared = Vec::new();
        for flow in flows {
            let Some(written) = flow.target.table() else {
                return refuse("what a consumer's statements wrote can't be compared with the source");
            };
            let target = TableTarget {
                schema: written.table.schema.clone(),
                table: written.table.name.clone(),
                create_table: written.create_table,
                public: public.clone(),
                exact: true,
            };
            let from = quote_table(&target.schema, &target.table);
            let writer = TableWriter::prepare(self.client, target).await;
            let writer = writer.map_err(|source| EngineError::Sink { slug: self.plan.slug.clone(), source })?;
            if let Some(why) = writer.incomparable() {
                return refuse(why);
            }
            compared.push(Compared {
                flow: flow.name.clone(),
                writer,
                source: Table {
                    from: backfill::from(table),
                    columns: compare::quoted(projection.sources().iter().map(String::as_str)),
                },
                destination: Table {
                    from,
                    columns: compare::quoted(public.columns.iter().map(|column| &*column.name)),
                },
                key: public.key(),
            });
        }
        Ok(Ok(compared))
    }

    /// Finds what differs; `None` when that is too much. `room` is what is left for rows, in bytes.
    async fn differences(
        &self,
        table: &Compared,
        reader: &Client,
        room: &mut usize,
    ) -> Result<Option<(Differences, Mend)>, EngineError> {
        let (at_source, at_destination) = (self.at_source("compare a table"), self.at_destination("compare a table"));
        let side =
            |client, table: &Table, key| Side { client, from: table.from.clone(), columns: table.columns.clone(), key };
        let source = side(reader, &table.source, &table.key[..]);
        let destination = side(self.client, &table.destination, &table.key[..]);
        let rows = source.count().await.map_err(&at_source)?;
        let narrowed = narrow(&source, &destination, rows, self.limits).await;
        let differing = narrowed.map_err(|refused| match refused {
            Refused::Source(error) => at_source(error),
            Refused::Destination(error) => at_destination(error),
        })?;
        let mut found = Differences { rows, fetched: differing.rows, ..Differences::default() };
        let mut mend = Mend::default();
        if differing.rows == 0 {
            return Ok(Some((found, mend)));
        }
        if differing.rows > self.limits.keys_max {
            return Ok(None);
        }
        let within = &differing.buckets;
        // Both ends work at the same time.
        let (there, here) = tokio::join!(source.keys(within), destination.keys(within));
        let (there, here) = (there.map_err(&at_source)?, here.map_err(&at_destination)?);
        let width = table.source.columns.len();
        let mut writer = TupleWriter::default();
        for key in here.keys().filter(|key| !there.contains_key(*key)) {
            writer.begin();
            for column in 0..width {
                match table.key.iter().position(|&k| k == column).map(|at| key[at].as_deref()) {
                    Some(Some(text)) => writer.text(text.as_bytes()),
                    Some(None) => writer.null(),
                    None => writer.unchanged(),
                }
            }
            writer.end();
        }
        let row = |op| move |values| Row { public_schema: 0, op, source: 0, values, old_key: None };
        mend.surplus = writer.finish().into_iter().map(row(Op::Delete)).collect();
        let differs = |key: &compare::Key| there.get(key).is_some_and(|digest| here.get(key) != Some(digest));
        let mut writer = TupleWriter::default();
        let most = *room;
        let take = |columns: &[Option<&str>]| {
            writer.begin();
            for column in columns {
                match column {
                    Some(text) => writer.text(text.as_bytes()),
                    None => writer.null(),
                }
            }
            writer.end();
            writer.bytes() <= most
        };
        if !source.rows(within, differs, take).await.map_err(&at_source)? {
            return Ok(None);
        }
        *room -= writer.bytes();
        // An update of all columns: it is written whether or not the row is there.
        mend.changed = writer.finish().into_iter().map(row(Op::Update)).collect();
        (found.deleted, found.written) = (mend.surplus.len() as u64, mend.changed.len() as u64);
        Ok(Some((found, mend)))
    }

    /// Deletes what is surplus, of tables that refer to others first, and writes what differs, of those that are referred
    /// to first.
    async fn write(&self, mut into: Destination, mends: &[Mend]) -> Result<(), SinkError> {
        let order = into.parents_first().to_vec();
        for &table in order.iter().rev() {
            let rows: Vec<Addressed<'_>> = mends[table].surplus.iter().map(|row| Addressed { table, row }).collect();
            into.write(self.client, &rows).await?;
        }
        for &table in &order {
            let rows: Vec<Addressed<'_>> = mends[table].changed.iter().map(|row| Addressed { table, row }).collect();
            into.write(self.client, &rows).await?;
        }
        Ok(())
    }
}
