//! Prepares a database: looks, runs what is missing, and says of each thing how it stands.
//!
//! The settings come first, each by itself, for the server refuses them inside a transaction. Then everything else but
//! the slot is one transaction, in which each item has a savepoint: what is refused is reported and the rest goes on, and
//! whoever interrupts it leaves nothing half done. Each rule looks after what came before it was run, so that it sees the
//! role that was just made. The slot comes last: it decodes with the catalog of its time, so the publication must be
//! there before it.
//!
//! To print a script the same rules look at the database as it is, and nothing is run.

use std::time::Duration;

use tokio_postgres::Client;

use super::failure::SetupError;
use super::here::{Here, here};
use super::item::{Item, Mend, Part, Severity, State, Statement};
use super::server::{SLOTS_AND_SENDERS, Settings, WAL_LEVEL};
use super::wait::{self, Stop};
use super::wish::{Job, SourceWish};
use super::{event_triggers, grants, group, hba, helpers, publish, replica_identity, roles, server};
use crate::postgres::QueryError;
use crate::postgres::catalog::{self, Which};
use crate::postgres::quote::quote_literal;
use crate::postgres::slot;

const RESTART: &str = "restart";

/// How a database is prepared.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Nothing is run; the statements are returned.
    pub print: bool,
    /// The administrator's part alone.
    pub as_admin: bool,
    /// How long a restart is waited for.
    pub wait: Option<Duration>,
    /// How long a server that can't be reached is tried.
    pub patience: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    pub here: Here,
    pub items: Vec<Item>,
    /// The script of the schema `pelton`, which comes first.
    pub helpers: Option<String>,
    /// What a script has to run; the slot is in `last`, which comes behind the transaction.
    pub statements: Vec<Statement>,
    pub last: Vec<Statement>,
}

/// One run.
struct Run<'a> {
    how: How,
    stop: &'a Stop,
    tell: &'a mut (dyn FnMut(&Item) + Send),
    done: Done,
}

/// Prepares a database, and tells of each item as soon as it is known.
///
/// # Errors
/// [`SetupError`]: what keeps all of it from being done. What keeps a single item from it is in that item.
pub async fn run(job: &Job, how: How, stop: &Stop, tell: &mut (dyn FnMut(&Item) + Send)) -> Result<Done, SetupError> {
    let place = &job.place;
    let mut client = wait::connect(&job.connection, place, how.patience, stop).await?;
    let here = here(&client, job).await?;
    if here.version < 14 {
        return Err(SetupError::TooOld { place: place.clone(), version: here.version_text });
    }
    if here.standby {
        return Err(SetupError::Standby { place: place.clone() });
    }
    let done = Done { here, items: Vec::new(), helpers: None, statements: Vec::new(), last: Vec::new() };
    let mut run = Run { how, stop, tell, done };
    let settings = match &job.source {
        None => None,
        Some(source) => Some(run.settings(&client, job, source).await?),
    };
    if job.source.as_ref().is_some_and(|source| source.helpers) && run.takes(Part::Admin) {
        if how.print {
            run.done.helpers = Some(helpers::script());
        } else {
            let item = helpers::apply(&mut client, job).await;
            run.say(item);
        }
    }
    let begin = "BEGIN; SET LOCAL lock_timeout = '10s'";
    client.batch_execute(begin).await.map_err(|error| QueryError::new("begin a transaction", error))?;
    let published = run.together(&client, job).await?;
    let end = if how.print { "ROLLBACK" } else { "COMMIT" };
    client.batch_execute(end).await.map_err(|error| QueryError::new("commit what was prepared", error))?;
    if let (Some(source), Some(settings)) = (&job.source, settings) {
        // Whoever waits may have somebody else turn the knob meanwhile.
        let wait = how.wait.filter(|_| !how.as_admin && !how.print);
        if !settings.decodes && !how.print && (settings.restart_due || wait.is_some()) {
            let restart = run.done.here.provider.restart();
            let amiss = |severity, what: String| {
                Item::amiss(severity, RESTART, place, what, "wal_level is read when the server starts").step(restart)
            };
            let what = "the server has to be restarted before the slot can be made".to_owned();
            match wait {
                None if how.as_admin => run.say(amiss(Severity::Advice, what)),
                None => {
                    let item = amiss(Severity::Error, what);
                    run.say(item.step("then run `pelton setup` again; with --wait it waits for the restart"));
                    return Ok(run.done);
                }
                Some(patience) => {
                    let what = format!("waiting up to {} s until wal_level is logical", patience.as_secs());
                    run.say(amiss(Severity::Advice, what));
                    client = wait::restarted(&job.connection, place, patience, stop).await?;
                    run.done.items.retain(|item| ![WAL_LEVEL, SLOTS_AND_SENDERS, RESTART].contains(&item.rule));
                    run.say(Item { state: State::Changed, ..Item::right(RESTART, place, "the server was restarted") });
                    run.settings(&client, job, source).await?;
                }
            }
        }
        run.slot(&client, job, source, published).await?;
    }
    if let Some(item) = hba::item(&client, &run.done.here, job).await? {
        run.say(item);
    }
    Ok(run.done)
}

impl Run<'_> {
    /// Settles the settings. What was refused, or is left to somebody, makes no restart due.
    async fn settings(&mut self, client: &Client, job: &Job, source: &SourceWish) -> Result<Settings, SetupError> {
        let mut settings = server::settings(client, &self.done.here, job, &source.slot).await?;
        let before = self.done.items.len();
        self.settle(client, std::mem::take(&mut settings.items), false).await?;
        let refused = |item: &Item| item.rule == WAL_LEVEL && item.severity() == Some(Severity::Error);
        settings.restart_due &= !self.done.items[before..].iter().any(refused);
        Ok(settings)
    }

    /// Everything that is one transaction. Returns whether the publication is there, or will be.
    async fn together(&mut self, client: &Client, job: &Job) -> Result<bool, SetupError> {
        let here = self.done.here.clone();
        self.settle(client, roles::items(client, &here, job).await?, true).await?;
        if let Some(item) = roles::password_item(client, &here, job).await? {
            self.settle(client, vec![item], true).await?;
        }
        self.settle(client, vec![grants::connect(client, &here, job).await?], true).await?;
        let mut published = true;
        if let Some(source) = &job.source {
            published = self.source(client, job, source).await?;
        }
        if let Some(destination) = &job.destination {
            self.settle(client, vec![grants::own_schema(client, &here, job, "rejot_data_store").await?], true).await?;
            self.settle(client, grants::destination(client, &here, job, destination).await?, true).await?;
        }
        if job.event_store {
            self.settle(client, vec![grants::own_schema(client, &here, job, "rejot_events").await?], true).await?;
        }
        Ok(published)
    }

    async fn source(&mut self, client: &Client, job: &Job, source: &SourceWish) -> Result<bool, SetupError> {
        let here = self.done.here.clone();
        let names = source.listed().map(|mut names| {
            names.extend(source.drop.iter().cloned());
            names
        });
        let which = match &names {
            Some(names) => Which::WithPartitions(names),
            None => Which::All,
        };
        let mut tables = catalog::load(client, which).await?;
        let items = replica_identity::items(client, job, source, &mut tables).await?;
        self.settle(client, items, true).await?;
        if let Some(name) = &source.group {
            let taken = tables.iter().filter(|table| table.partition_root.is_none() && source.takes(&table.name));
            let taken = taken.filter(|table| replica_identity::is_fit(table)).map(|table| table.name.clone());
            let items = group::items(client, &here, job, name, &taken.collect::<Vec<_>>()).await?;
            self.settle(client, items, true).await?;
        }
        let published = publish::items(client, &here, job, source, &tables).await?;
        self.settle(client, published.items, true).await?;
        self.settle(client, grants::source(client, &here, job, source, &published.tables).await?, true).await?;
        self.settle(client, event_triggers::items(client, job, source).await?, true).await?;
        let bad = |item: &Item| item.rule == "publication" && item.severity() == Some(Severity::Error);
        Ok(self.how.print || !self.done.items.iter().any(bad))
    }

    async fn slot(
        &mut self,
        client: &Client,
        job: &Job,
        source: &SourceWish,
        published: bool,
    ) -> Result<(), SetupError> {
        let name = &source.slot;
        let place = format!("{}, slot {name}", job.place);
        if let Some(found) = slot::look_up(client, name).await? {
            match found.usable(&self.done.here.database) {
                Ok(()) => self.say(Item::right("slot", place, "the slot is there")),
                Err(error) => {
                    let item =
                        Item::amiss(Severity::Error, "slot", place, error.to_string(), "no stream can be read from it");
                    self.say(error.hint().into_iter().fold(item, Item::step));
                }
            }
            return Ok(());
        }
        let why = "from where it is made on, nothing is missed";
        let item = Item::amiss(Severity::Error, "slot", &place, "the slot does not exist", why);
        // The same as `slot::create`, for a script: nothing happens where it is there.
        let failover = if self.done.here.version >= 17 { ", false, false, true" } else { "" };
        let sql = format!(
            "SELECT pg_catalog.pg_create_logical_replication_slot({name}, 'pgoutput'{failover}) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = {name})",
            name = quote_literal(name)
        );
        let item = item.sql(Statement::new("the slot, behind the publication", sql).outside_a_transaction());
        if self.how.print {
            if !self.how.as_admin {
                self.done.last.extend(item.statements().cloned());
            }
            return Ok(());
        }
        if self.how.as_admin {
            self.leave(item, Part::Ordinary);
            return Ok(());
        }
        if !published {
            self.say(item.step("it comes behind the publication, which is not there yet"));
            return Ok(());
        }
        tracing::info!(slot = name, "making the slot; it waits for the transactions that are running now");
        match slot::create(client, name).await {
            Ok(at) => self.say(Item { state: State::Changed, what: format!("made, at {at}"), ..item }),
            Err(error) if self.stop.is_asked() => {
                tracing::debug!("the slot was not made: {error}");
                return Err(SetupError::Stopped);
            }
            Err(error) => {
                let told = crate::engine::Chain(&error).to_string();
                let item = Item { state: State::Failed(told), mends: Vec::new(), ..item };
                self.say(error.hint().into_iter().fold(item, Item::step));
            }
        }
        Ok(())
    }

    /// Whether this run is for a part.
    fn takes(&self, part: Part) -> bool {
        let here = &self.done.here;
        match part {
            _ if self.how.as_admin => part == Part::Admin,
            Part::Ordinary => true,
            // Somebody else than the role came, and may be the owner of the tables.
            Part::Admin => here.administrator || (here.me != here.role && !self.how.print),
        }
    }

    /// Runs what mends the items, or notes it for a script, and tells of each.
    async fn settle(&mut self, client: &Client, items: Vec<Item>, inside: bool) -> Result<(), SetupError> {
        for item in items {
            if self.stop.is_asked() {
                return Err(SetupError::Stopped);
            }
            let statements: Vec<Statement> = item.statements().cloned().collect();
            let foreign = statements.iter().map(|statement| statement.part).find(|part| !self.takes(*part));
            match foreign {
                _ if statements.is_empty() => self.say(item),
                Some(part) => self.leave(item, part),
                None if self.how.print => {
                    self.done.statements.extend(statements);
                    // What a script can't do is said beside it.
                    let steps: Vec<Mend> =
                        item.mends.iter().filter(|mend| matches!(mend, Mend::Step(_))).cloned().collect();
                    if !steps.is_empty() {
                        self.say(Item { mends: steps, ..item });
                    }
                }
                None => {
                    let failed = self.execute(client, &statements, inside).await?;
                    let item = match failed {
                        None => changed(item),
                        Some(error) => refused(item, &error, &self.done.here),
                    };
                    self.say(item);
                }
            }
        }
        Ok(())
    }

    /// Runs statements; returns what the server refused.
    async fn execute(
        &self,
        client: &Client,
        statements: &[Statement],
        inside: bool,
    ) -> Result<Option<QueryError>, SetupError> {
        let control = |error| QueryError::new("run a step by itself", error);
        if inside {
            client.batch_execute("SAVEPOINT item").await.map_err(control)?;
        }
        for statement in statements {
            // A secret is kept out of the server's log too, where we may say so.
            let hush = inside && statement.printed.is_some() && self.done.here.superuser;
            if hush {
                client.batch_execute("SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1; SET LOCAL log_min_error_statement = 'panic'").await.map_err(control)?;
            }
            if let Err(error) = client.batch_execute(&statement.sql).await {
                let error = QueryError::new(statement.comment.clone(), error);
                if self.stop.is_asked() {
                    return Err(SetupError::Stopped);
                }
                if !matches!(error, QueryError::Refused { .. }) {
                    return Err(error.into());
                }
                if inside {
                    client.batch_execute("ROLLBACK TO SAVEPOINT item").await.map_err(control)?;
                }
                return Ok(Some(error));
            }
            if hush {
                client.batch_execute("SET LOCAL log_statement TO DEFAULT; SET LOCAL log_min_duration_statement TO DEFAULT; SET LOCAL log_min_error_statement TO DEFAULT").await.map_err(control)?;
            }
        }
        if inside {
            client.batch_execute("RELEASE SAVEPOINT item").await.map_err(control)?;
        }
        Ok(None)
    }

    /// Tells of something that is for somebody else to do.
    fn leave(&mut self, item: Item, part: Part) {
        match part {
            Part::Admin if self.how.print => {
                self.say(item.step("it is the administrator's part: `pelton setup --as-admin --print` writes it"));
            }
            Part::Admin => {
                self.say(item.step("an administrator does it, with `pelton setup --as-admin`, or with this SQL"))
            }
            Part::Ordinary if self.how.print => {}
            Part::Ordinary => {
                let what = format!("{}: left to `pelton setup` as the role itself", item.what);
                self.say(Item { state: State::Amiss(Severity::Advice), what, mends: Vec::new(), why: None, ..item });
            }
        }
    }

    fn say(&mut self, item: Item) {
        (self.tell)(&item);
        self.done.items.push(item);
    }
}

/// What was done stands in the comments of what did it.
fn changed(item: Item) -> Item {
    let mut did: Vec<&str> = item.statements().map(|statement| statement.comment.as_str()).collect();
    did.dedup();
    let what = did.join("; ");
    Item { state: State::Changed, what, ..item }
}

fn refused(item: Item, error: &QueryError, here: &Here) -> Item {
    let QueryError::Refused { source, .. } = error else { return item };
    let denied = &*source.code == "42501";
    let told = source.to_string();
    let hint = source.hint.as_ref().map(ToString::to_string);
    let item = match item.state {
        State::Amiss(Severity::Error) => Item { state: State::Failed(told.clone()), ..item },
        _ => Item { what: format!("{}: the server refuses: {told}", item.what), ..item },
    };
    let item = hint.into_iter().fold(item, Item::step);
    match &*source.code {
        "55P03" => item.step("somebody uses the table just now: run `pelton setup` again"),
        _ if denied => item.step(format!(
            "role {} may not do that: a superuser, the owner, or the provider's administrator does it, with `pelton setup --as-admin` or this SQL",
            crate::postgres::quote::ident_for_people(&here.me)
        )),
        _ if told.contains("plaintext password") => item.step("set the password in the provider's console"),
        _ => item,
    }
}
