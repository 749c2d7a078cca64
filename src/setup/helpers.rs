//! The schema `pelton` at a source: a view of the state, a procedure for replica identities, functions for event
//! triggers. Pelton works without, so what keeps it from being made is a warning.

use tokio_postgres::Client;

use super::item::{Item, Severity, State};
use super::wish::Job;
use crate::datastore::{self, DataStoreError, PRIVILEGED};
use crate::engine::Chain;

/// Applies what is pending of the privileged migrations, in a transaction of their own.
pub async fn apply(client: &mut Client, job: &Job) -> Item {
    let item = |what: String| Item::right("helpers", format!("{}, schema pelton", job.place), what);
    match datastore::apply(client, &PRIVILEGED).await {
        Ok(done) if done.is_empty() => item("the view pelton.status and its procedures are there".to_owned()),
        Ok(_) => Item { state: State::Changed, ..item("the view pelton.status, and procedures for tables".to_owned()) },
        Err(error) => refused(job, &error),
    }
}

fn refused(job: &Job, error: &DataStoreError) -> Item {
    let why = "only the view pelton.status and the event triggers need it";
    let place = format!("{}, schema pelton", job.place);
    let item = Item::amiss(Severity::Warning, "helpers", place, Chain(error).to_string(), why);
    let item = error.hint().into_iter().fold(item, Item::step);
    item.step("or leave it out, with --no-helpers")
}

/// Returns the script that applies them.
pub fn script() -> String {
    datastore::script(&PRIVILEGED, None)
}
