//! One transform of a group is opened: its component, its state, the tables or streams that it writes to.

use std::sync::Arc;
use std::sync::atomic::AtomicI32;

use tokio_postgres::Client;

use crate::change::{Position, PublicSchema};
use crate::datastore::{self, BackfillRow, DataStoreError, Owned, StateTable};
use crate::eventstore::{self, Appender, Publisher};
use crate::fault;
use crate::sink::{Addressed, Destination, TableWriter, Writer as Writes};

use super::super::Context;
use super::super::copying::{self, Copying};
use super::super::deploy::Chosen;
use super::super::failure::EngineError;
use super::super::load;
use super::super::output;
use super::super::plan::{GroupPlan, TransformKind, TransformPlan};
use super::super::prepare::Source;
use super::super::publish::Publishing;
use super::super::rejot::{self, Left};
use super::super::target::Place;
use super::super::transform::{FlowTarget, Runner, Running};
use super::flows::{Together, rows_of};

/// What it takes to open a transform.
pub struct Part<'a> {
    pub context: &'a Arc<Context>,
    pub client: &'a Client,
    pub group: &'a GroupPlan,
    pub source: &'a Source,
    pub transform: &'a TransformPlan,
    /// The component that it runs as, if it is one.
    pub chosen: Option<&'a Chosen>,
    pub owned: &'a Owned,
    /// Where flows begin.
    pub start: &'a datastore::Start,
    /// It was released, and begins anew.
    pub anew: bool,
    /// The segment that events are appended to, where the destination is an event store.
    pub segment: Option<&'a Arc<AtomicI32>>,
    /// What ReJot left.
    pub left: &'a Left,
}

impl Part<'_> {
    /// Makes a transform ready to run for flows that are at the same point, and their tables ready to be written.
    pub async fn open(
        &self,
        together: &Together<'_>,
        parts: usize,
        first_table: usize,
        saved: &[BackfillRow],
    ) -> Result<(Running, Vec<Writes>), EngineError> {
        let Part { context, client, group, source, transform, chosen, owned, start, anew, segment: _, left } = *self;
        let scope = &owned.scope;
        let data_store = |source| EngineError::DataStore { slug: group.slug.clone(), source };
        let mut saved = saved;
        if anew {
            let former = rows_of(transform, &owned.flows).filter_map(|row| row.backfill.clone());
            let backfills: Vec<String> = former.chain(together.backfill.map(str::to_owned)).collect();
            datastore::forget(client, owned, &transform.name, &backfills).await.map_err(data_store)?;
            saved = &[];
        }
        let state = StateTable { scope: scope.clone(), transform: transform.name.clone() };
        let runner = load::runner(context, source, group, transform, chosen, &state).await?;
        if parts > 1 && runner.is_stateful() {
            return Err(load::flows_apart(transform));
        }
        let public_schemas = runner.public_schemas();
        let outputs = output::checks(transform, &public_schemas)?;
        let mut published = Vec::new();
        for flow in &together.flows {
            let is_it = |public: &PublicSchema| *public.name == *flow.public_schema && public.major == flow.major;
            let found = public_schemas.iter().position(is_it);
            published.push(found.ok_or_else(|| load::no_such_public_schema(transform, flow, &public_schemas))?);
        }
        let mut flows = Vec::new();
        let mut writers = Vec::new();
        let mut appenders: Vec<Option<Appender>> = public_schemas.iter().map(|_| None).collect();
        let mut epoch = together.rows.iter().map(|row| row.epoch.max(1)).max().unwrap_or(1);
        let mut has_past = false;
        if let Some(segment) = self.segment {
            let publisher = |&public_schema: &usize| Publisher {
                manifest: &scope.manifest,
                source: &scope.source,
                public: &public_schemas[public_schema],
                component_digest: runner.component_digest(),
                taken_over_at: left.taken_over_at,
            };
            // Once nothing speaks against any of them.
            let publishers: Vec<Publisher<'_>> = published.iter().map(publisher).collect();
            let streams = eventstore::register(client, &publishers).await;
            let streams = streams.map_err(|source| EngineError::Publish { slug: group.slug.clone(), source })?;
            for ((flow, &public_schema), (stream, copied)) in together.flows.iter().zip(&published).zip(streams) {
                rejot::tell(&flow.name, copied);
                if let Runner::Sql(sql) = &runner
                    && sql.changes_without_key()
                {
                    let (source, public_schema) = (&source.slug, &flow.name);
                    tracing::info!(
                        source,
                        public_schema,
                        "it has no key: a table that consumes it takes new rows alone"
                    );
                }
                let public = &public_schemas[public_schema];
                appenders[public_schema] = Some(Appender::new(&stream, public, segment.clone()));
                has_past |= stream.last != Position::START;
                // Behind what is there, also where the source's log is another one; what is behind ReJot's, and does not go on
                // from it, is not of the first.
                let behind = stream.last.epoch == 0 || stream.last.commit_lsn >= start.lsn;
                epoch = epoch.max(stream.last.epoch.max(1) + i32::from(behind));
                let name = flow.name.clone();
                flows.push(FlowTarget { name, public_schema: public_schema as u32, table: 0, whole: true });
            }
        } else {
            for (flow, &public_schema) in together.flows.iter().zip(&published) {
                if let (Runner::Sql(sql), Some(_)) = (&runner, flow.target.table())
                    && sql.changes_without_key()
                {
                    return Err(sql.refuse_table(&flow.name));
                }
                let exact = matches!(transform.kind, TransformKind::Table { .. });
                let place = Place { context, slug: &group.slug, connection: &group.connection, client };
                let public = &public_schemas[public_schema];
                // What is recorded waits for its tables' locks; a deployment is tried again.
                writers.push(match chosen {
                    Some(chosen) if chosen.is_deployment => place.writer_soon(&flow.name, &flow.target, public).await?,
                    _ => place.writer(&flow.name, &flow.target, public, exact).await?,
                });
                let table = first_table + flows.len();
                let (name, whole) = (flow.name.clone(), flow.target.is_whole() && !left.may_lack_rows(flow));
                flows.push(FlowTarget { name, public_schema: public_schema as u32, table, whole });
            }
        }
        let is_new = together.backfill.is_some_and(|name| saved.iter().all(|row| row.name != name));
        // A flow that is new, or begins anew, to a stream that has events: what consumers have of it goes first.
        let begins_anew = anew || (has_past && is_new);
        if !begins_anew {
            epoch = together.rows.iter().map(|row| row.epoch.max(1)).max().unwrap_or(1);
        }
        let mut publishing = self.segment.map(|_| Publishing::new(appenders, epoch));
        if begins_anew {
            writers = self.begin_anew(together, writers, publishing.as_mut(), epoch).await?;
        }
        let copies = |(schema, table): &&(String, String)| runner.copies(schema, table);
        let tables: Vec<(String, String)> = source.tables.iter().filter(copies).cloned().collect();
        let copying = match together.backfill {
            None => None,
            Some(name) => {
                let (from, application_name) = (together.from, context.application_name());
                let start = copying::Start { name, tables: &tables, from, saved, application_name };
                match Copying::open(source, start).await? {
                    Some(copying) => Some(copying),
                    None => {
                        datastore::finish_backfills(client, scope, &[name.to_owned()]).await.map_err(data_store)?;
                        None
                    }
                }
            }
        };
        let state = runner.is_stateful().then_some(state);
        output::forget_others(client, group, scope, transform, &public_schemas).await?;
        let (name, from) = (transform.name.clone(), together.from);
        let running = Running { name, runner, flows, from, copying, state, outputs, publishing, shadow: None };
        Ok((running, writers))
    }

    /// Empties the tables of flows that were released, and lifts the release with it.
    async fn begin_anew(
        &self,
        together: &Together<'_>,
        writers: Vec<Writes>,
        publishing: Option<&mut Publishing>,
        epoch: i32,
    ) -> Result<Vec<Writes>, EngineError> {
        let Part { client, group, source, transform, owned, start, anew, .. } = *self;
        let refused = |source| EngineError::DataStore { slug: group.slug.clone(), source };
        let server = |act| move |source| refused(DataStoreError::query(act)(source));
        let flows: Vec<String> = together.flows.iter().map(|flow| flow.name.clone()).collect();
        let sink = |source| EngineError::Sink { slug: group.slug.clone(), source };
        // What consumers have of a stream goes with the event that empties it, and comes anew behind that.
        let (mut events, mut destination) = (None, Destination::new(writers));
        if let Some(publishing) = publishing {
            events = Some(publishing.begin_anew(start.lsn)?);
            destination =
                Destination::new(vec![TableWriter::prepare(client, eventstore::events_table()).await.map_err(sink)?]);
        } else if let Some(consumer) = destination.has_statements() {
            return Err(load::statements_anew(transform, consumer));
        } else if let Some(table) = destination.reaches_out() {
            return Err(EngineError::NotAnew {
                what: format!(
                    "transform `{}` begins anew, and to empty {table} would reach into other tables, by foreign keys with \
                     ON DELETE CASCADE or SET",
                    transform.name
                ),
                hint: Some(format!(
                    "empty {table} and what refers to it yourself, and start all flows that write them anew; or drop the \
                     foreign keys that refer to {table}"
                )),
            });
        }
        client.batch_execute("BEGIN").await.map_err(server("begin"))?;
        let begun = async {
            match &events {
                None => destination.empty(client).await.map_err(sink)?,
                Some(events) => {
                    let events: Vec<Addressed<'_>> = events.iter().map(|row| Addressed { table: 0, row }).collect();
                    destination.write(client, &events).await.map_err(sink)?;
                }
            }
            let backfill = together.backfill.expect("what begins anew is copied");
            datastore::begin_anew(client, owned, &flows, start, backfill, epoch).await.map_err(refused)
        };
        let begun = begun.await;
        fault::point("before-anew");
        let end = if begun.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = client.batch_execute(end).await.map_err(server("end a transaction"));
        begun.and(ended)?;
        fault::point("after-anew");
        let what = match (anew, &events) {
            (true, None) => "was released: its tables are emptied and copied anew",
            (true, Some(_)) => "was released: its streams begin anew",
            (false, _) => "is new to streams that have events: they begin anew",
        };
        tracing::info!(source = source.slug, destination = group.slug, transform = transform.name, "{what}");
        Ok(if events.is_none() { destination.into_writers() } else { Vec::new() })
    }
}
