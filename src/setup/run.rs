//! Prepares a database: looks, runs what mends it, and says of each thing how it stands.
//!
//! What there is to do is what the rules say ([`super::rules`]), step by step, each looked at when the steps before it are
//! done, so that it sees the role that was just made. Settings come first, each by itself, for the server refuses them
//! inside a transaction. Then everything else but the slot is one transaction, in which each item has a savepoint: what is
//! refused is reported and the rest goes on, and whoever interrupts it leaves nothing half done. The slot comes last: it
//! decodes with the catalog of its time, so the publication must be there before it.
//!
//! What no rule asks for, and only setup does, stands between the steps: the role's password, the schema `pelton`, REPLICA
//! IDENTITY FULL, the group of owners, event triggers, the slot.
//!
//! To print a script the same rules judge the database as it is, and nothing is run.

use std::time::Duration;

use tokio_postgres::Client;

use super::facts::{self, Facts, VERSION_MIN};
use super::failure::SetupError;
use super::here::{Here, here};
use super::item::{Item, Part, Severity, State, Statement};
use super::rules::{RESTART, Step, judge, to_publish, waits_for_restart};
use super::target::{Side, SourceTarget, Target};
use super::wait::{self, Stop};
use super::wish::{Job, Way};
use super::{event_triggers, group, hba, helpers, password, replica_identity};
use crate::engine::Chain;
use crate::postgres::{QueryError, quote_literal, slot};

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
pub(super) struct Run<'a> {
    pub how: How,
    pub stop: &'a Stop,
    pub tell: &'a mut (dyn FnMut(&Item) + Send),
    pub done: Done,
    /// Each with what was seen last of it.
    found: Vec<(Target, Facts)>,
}

/// Prepares a database, and tells of each item as soon as it is known.
///
/// # Errors
/// [`SetupError`]: what keeps all of it from being done. What keeps a single item from it is in that item.
pub async fn run(job: &Job, how: How, stop: &Stop, tell: &mut (dyn FnMut(&Item) + Send)) -> Result<Done, SetupError> {
    let place = &job.place;
    let mut client = wait::connect(&job.connection, place, how.patience, stop).await?;
    let mut found = Vec::new();
    for mut target in job.targets.iter().cloned() {
        if let Side::Source(source) = &mut target.side {
            source.asked.way = if how.print { Way::Script } else { Way::Steps };
        }
        let facts = facts::inspect(&client, &target).await?;
        found.push((target, facts));
    }
    let here = here(&client, &found[0].1).await?;
    if here.version < VERSION_MIN {
        return Err(SetupError::TooOld { place: place.clone(), version: here.version_text });
    }
    if found[0].1.server.in_recovery {
        return Err(SetupError::Standby { place: place.clone() });
    }
    let done = Done { here, items: Vec::new(), helpers: None, statements: Vec::new(), last: Vec::new() };
    let mut run = Run { how, stop, tell, done, found };
    for at in 0..run.found.len() {
        for step in [Step::Server, Step::Log] {
            run.settle(&client, run.judge(at, step), false).await?;
        }
        run.settings(&client, at).await?;
    }
    if job.source().is_some_and(|source| source.asked.helpers) && run.takes(Part::Admin) {
        if how.print {
            run.done.helpers = Some(helpers::script());
        } else {
            let item = helpers::apply(&mut client, job).await;
            run.say(item);
        }
    }
    let begin = "BEGIN; SET LOCAL lock_timeout = '10s'";
    client.batch_execute(begin).await.map_err(|error| QueryError::new("begin a transaction", error))?;
    for step in Step::together() {
        for at in 0..run.found.len() {
            run.step(&client, job, at, step).await?;
        }
    }
    let end = if how.print { "ROLLBACK" } else { "COMMIT" };
    client.batch_execute(end).await.map_err(|error| QueryError::new("commit what was prepared", error))?;
    if let Some(at) = run.found.iter().position(|(target, _)| matches!(target.side, Side::Source(_))) {
        if !run.restarted(&mut client, job, at).await? {
            return Ok(run.done);
        }
        run.slot(&client, at).await?;
    }
    if let Some(item) = hba::item(&client, &run.done.here, job).await? {
        run.say(item);
    }
    Ok(run.done)
}

impl Run<'_> {
    fn judge(&self, at: usize, step: Step) -> Vec<Item> {
        let (target, facts) = &self.found[at];
        judge(step, target, facts)
    }

    /// Looks anew; a script is made of what was seen first.
    async fn look(&mut self, client: &Client, at: usize) -> Result<(), SetupError> {
        if self.how.print {
            return Ok(());
        }
        let (target, seen) = &mut self.found[at];
        let mut facts = facts::look(client, target).await?;
        // What can't be asked inside a transaction does not change in it either.
        if let (Some(store), Some(seen)) = (&mut facts.store, seen.store.take()) {
            store.history = seen.history;
        }
        *seen = facts;
        Ok(())
    }

    /// Settles the settings. That something waits for a restart is said by [`Run::restarted`], once everything else is done.
    async fn settings(&mut self, client: &Client, at: usize) -> Result<(), SetupError> {
        let mut items = self.judge(at, Step::Settings);
        for item in items.iter_mut().filter(|item| item.rule == RESTART) {
            item.state = State::Amiss(Severity::Advice);
        }
        self.settle(client, items, false).await?;
        self.look(client, at).await
    }

    /// Takes a step of those that are one transaction, and what only setup does beside it.
    async fn step(&mut self, client: &Client, job: &Job, at: usize, step: Step) -> Result<(), SetupError> {
        self.look(client, at).await?;
        if step == Step::Tables {
            let items = self.identity(at);
            self.settle(client, items, true).await?;
            self.look(client, at).await?;
        }
        if step == Step::Publication {
            self.compare(client, at).await?;
        }
        self.settle(client, self.judge(at, step), true).await?;
        if step == Step::Role
            && at == 0
            && let Some(item) = password::item(client, &self.done.here, job).await?
        {
            self.settle(client, vec![item], true).await?;
        }
        let (target, facts) = &self.found[at];
        let (Side::Source(wanted), Some(source)) = (&target.side, &facts.source) else { return Ok(()) };
        let items = match (step, &wanted.asked.group) {
            (Step::Tables, Some(name)) => {
                group::items(client, &self.done.here, target, name, to_publish(wanted, source)).await?
            }
            (Step::Privileges, _) => event_triggers::items(client, target, &wanted.asked).await?,
            _ => return Ok(()),
        };
        self.settle(client, items, true).await
    }

    fn identity(&mut self, at: usize) -> Vec<Item> {
        let (target, facts) = &mut self.found[at];
        match (&target.side, &mut facts.source) {
            (Side::Source(wanted), Some(source)) => replica_identity::items(target, wanted, source),
            _ => Vec::new(),
        }
    }

    /// Compares the publication with the columns and rows that were asked for.
    async fn compare(&mut self, client: &Client, at: usize) -> Result<(), SetupError> {
        let (target, facts) = &mut self.found[at];
        if let (Side::Source(wanted), Some(source)) = (&target.side, &mut facts.source) {
            source.differing = facts::differing(client, wanted, source).await?;
        }
        Ok(())
    }

    /// Sees to it that what was set is in effect. Returns false when it is not, so that no slot can be made.
    async fn restarted(&mut self, client: &mut Client, job: &Job, at: usize) -> Result<bool, SetupError> {
        let (place, how) = (&job.place, self.how);
        // Whoever waits may have somebody else turn the knob meanwhile.
        let wait = how.wait.filter(|_| !how.as_admin && !how.print);
        let facts = &self.found[at].1;
        let decodes = !self
            .judge(at, Step::Settings)
            .iter()
            .any(|item| item.severity() == Some(Severity::Error) && ["wal-level", RESTART].contains(&item.rule));
        if how.print || decodes || !(waits_for_restart(facts) || wait.is_some()) {
            return Ok(true);
        }
        let restart = self.done.here.provider.restart();
        let amiss = |severity, what: String| {
            Item::amiss(severity, RESTART, place, what, "wal_level is read when the server starts").step(restart)
        };
        let what = "the server has to be restarted before the slot can be made".to_owned();
        match wait {
            None if how.as_admin => self.say(amiss(Severity::Advice, what)),
            None => {
                let item = amiss(Severity::Error, what);
                self.say(item.step("then run `pelton setup` again; with --wait it waits for the restart"));
                return Ok(false);
            }
            Some(patience) => {
                let what = format!("waiting up to {} s until wal_level is logical", patience.as_secs());
                self.say(amiss(Severity::Advice, what));
                *client = wait::restarted(&job.connection, place, patience, self.stop).await?;
                let settings = ["wal-level", "free-slots", "free-senders", RESTART];
                self.done.items.retain(|item| !settings.contains(&item.rule));
                self.say(Item { state: State::Changed, ..Item::right(RESTART, place, "the server was restarted") });
                self.look(client, at).await?;
                self.settings(client, at).await?;
            }
        }
        Ok(true)
    }

    /// Makes the slot, unless it is there, or its flows have lost it.
    async fn slot(&mut self, client: &Client, at: usize) -> Result<(), SetupError> {
        self.look(client, at).await?;
        let items = self.judge(at, Step::Slot);
        let (target, facts) = &self.found[at];
        let (Side::Source(SourceTarget { slot: name, .. }), Some(source)) = (&target.side, &facts.source) else {
            return Ok(());
        };
        if source.slot.is_some() || items.iter().any(|item| item.severity().is_some()) {
            return self.settle(client, items, false).await;
        }
        let name = name.clone();
        let why = "from where it is made on, nothing is missed";
        let place = target.within(format_args!("slot {name}"));
        let item = Item::amiss(Severity::Error, "slot", place, "it does not exist", why);
        // The same as `slot::create`, for a script: nothing happens where it is there.
        let failover = if self.done.here.version >= 17 { ", false, false, true" } else { "" };
        let sql = format!(
            "SELECT pg_catalog.pg_create_logical_replication_slot({name}, 'pgoutput'{failover}) \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = {name})",
            name = quote_literal(&name)
        );
        let statement = Statement::new("the slot, behind the publication", sql).outside_a_transaction();
        let is_wrong = |item: &Item| item.rule.starts_with("publication") && item.severity() == Some(Severity::Error);
        match self.how {
            How { as_admin: true, print: true, .. } => {}
            How { as_admin: true, .. } => self.leave(item, Part::Ordinary),
            How { print: true, .. } => self.done.last.push(statement),
            _ if self.done.items.iter().any(is_wrong) => {
                self.say(item.step("it comes behind the publication, which is not as it should be yet"));
            }
            _ => self.make_slot(client, &name, item).await?,
        }
        Ok(())
    }

    async fn make_slot(&mut self, client: &Client, name: &str, item: Item) -> Result<(), SetupError> {
        tracing::info!(slot = name, "making the slot; it waits for the transactions that are running now");
        match slot::create(client, name).await {
            Ok(at) => self.say(Item { state: State::Changed, what: format!("made, at {at}"), ..item }),
            Err(error) if self.stop.is_asked() => {
                tracing::debug!("the slot was not made: {error}");
                return Err(SetupError::Stopped);
            }
            Err(error) => {
                let item = Item { state: State::Failed(Chain(&error).to_string()), mends: Vec::new(), ..item };
                self.say(error.hint().into_iter().fold(item, Item::step));
            }
        }
        Ok(())
    }
}
