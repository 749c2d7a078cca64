//! What retention has removed, told to readers whose position lies before it.
//!
//! Among merged events a reader goes on for as long as they are those that it began with: whatever is merged further may take
//! away what it has not read, such as the delete of a row that it has. So it says under which horizon it began.

use tokio_postgres::Client;

use super::answer::Refusal;
use super::cursor::digest;
use super::store::{Located, Store, name};
use crate::change::Position;
use crate::datastore::DataStoreError;
use crate::eventstore::{self, Gone, Stream, Wanted};

/// What a reader of some streams has said.
pub struct Reader {
    streams: Vec<Stream>,
    /// See `Cursor::began_under`.
    began_under: Vec<Option<u32>>,
}

impl Reader {
    /// Of the streams that a request names, and the horizons under which it has begun to read them.
    pub fn of(located: &Located<'_>) -> Reader {
        Reader { streams: located.streams.clone(), began_under: located.began_under.clone() }
    }

    /// Returns what happened to a stream of which events behind these positions are gone, as the session's snapshot shows it,
    /// and what to do about it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn misses(
        &mut self,
        client: &Client,
        wanted: &[Wanted],
    ) -> Result<Option<(String, String)>, DataStoreError> {
        for gone in eventstore::gone(client, wanted).await? {
            let index = self.streams.iter().position(|stream| stream.id == gone.stream);
            let index = index.expect("only what is read is looked at");
            let under = Some(digest(gone.horizon));
            let known = self.began_under[index];
            // Who begins at the start gets what there is, but for one that has seen more.
            let begins = wanted[index].after == Position::START && (gone.merged || known.is_none());
            if known != under && !begins {
                return Ok(Some(told(&self.streams[index], &gone)));
            }
            self.began_under[index] = under;
        }
        Ok(None)
    }

    /// The same, as a refusal.
    ///
    /// # Errors
    /// Events are gone, or the store can't be read.
    pub async fn refuse(&mut self, store: &Store, client: &Client, wanted: &[Wanted]) -> Result<(), Refusal> {
        match self.misses(client, wanted).await.map_err(|error| store.failed(&error))? {
            Some((what, hint)) => Err(Refusal::gone(what, hint)),
            None => Ok(()),
        }
    }
}

fn told(stream: &Stream, gone: &Gone) -> (String, String) {
    let (name, horizon) = (name(stream), gone.horizon);
    let (how, all) = match gone.merged {
        true => ("merged into the newest of each key", "begin anew with `null`, on an emptied table; or "),
        false => ("removed", ""),
    };
    let what =
        format!("not all events of {name} behind that position are there any more: those up to {horizon} were {how}");
    (what, format!("{all}go on without those events from \"{horizon}\""))
}
