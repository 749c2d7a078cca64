//! The event stores that are served: which has what, and sessions there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;

use super::answer::Refusal;
use super::cursor::Cursor;
use crate::datastore::DataStoreError;
use crate::engine::Chain;
use crate::eventstore::{self, Stream, Wanted};
use crate::manifest::{Manifest, PostgresConnection, nearest};
use crate::postgres::{self, Session};

/// Sessions for requests that end, for each event store.
const SESSIONS_MAX: usize = 8;
/// How long a request waits for one.
const SESSION_WAIT: Duration = Duration::from_secs(10);

/// An event store that is served.
pub struct Store {
    pub slug: String,
    /// The manifests that publish into it, or read from it.
    pub manifests: Vec<String>,
    connection: PostgresConnection,
    idle: Mutex<Vec<Client>>,
    permits: Arc<Semaphore>,
}

/// A session, in no transaction. One that is dropped before [`Held::done`] is closed: it may be in the middle of something.
pub struct Held<'a> {
    store: &'a Store,
    client: Option<Client>,
    _permit: OwnedSemaphorePermit,
}

impl Held<'_> {
    pub fn client(&self) -> &Client {
        self.client.as_ref().expect("it is there until it is given back")
    }

    /// Gives it back.
    pub fn done(mut self) {
        let mut idle = self.store.idle.lock().expect("nobody panics while holding it");
        idle.extend(self.client.take());
    }
}

impl Store {
    /// Returns the stores of manifests: of each the first one, which has all that it publishes.
    pub fn all(manifests: &[Manifest]) -> Vec<Store> {
        let mut stores: Vec<Store> = Vec::new();
        for manifest in manifests {
            let Some(store) = manifest.event_stores.first() else { continue };
            let Some(connection) = manifest.postgres(&store.slug) else { continue };
            match stores.iter_mut().find(|known| known.connection == *connection) {
                Some(known) => known.manifests.push(manifest.slug.clone()),
                None => stores.push(Store {
                    slug: store.slug.clone(),
                    manifests: vec![manifest.slug.clone()],
                    connection: connection.clone(),
                    idle: Mutex::default(),
                    permits: Arc::new(Semaphore::new(SESSIONS_MAX)),
                }),
            }
        }
        stores
    }

    /// Tells whoever asked that it can't be read, and the log why.
    pub fn failed(&self, error: &(dyn std::error::Error + 'static)) -> Refusal {
        tracing::warn!(event_store = self.slug, "a request could not be answered: {}", Chain(error));
        Refusal::later(format!("event store `{}` can't be read now", self.slug))
    }

    /// Returns a session for one request.
    pub async fn session(&self) -> Result<Held<'_>, Refusal> {
        let permit = tokio::time::timeout(SESSION_WAIT, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Refusal::later("too many requests are being answered"))?;
        let permit = permit.expect("it is never closed");
        let idle = {
            let mut idle = self.idle.lock().expect("nobody panics while holding it");
            idle.retain(|client| !client.is_closed());
            idle.pop()
        };
        let client = match idle {
            Some(client) => client,
            None => {
                let connected = postgres::connect(&self.connection, &Session::destination("pelton http")).await;
                connected.map_err(|error| self.failed(&error))?
            }
        };
        Ok(Held { store: self, client: Some(client), _permit: permit })
    }

    /// Returns a session of its own that hears of what is appended.
    pub async fn listening(&self) -> Result<(Client, Arc<Notify>), Refusal> {
        let connected = postgres::connect_and_hear(&self.connection, &Session::destination("pelton http")).await;
        connected.map_err(|error| self.failed(&error))
    }

    /// Does something in a session.
    pub async fn with<T>(&self, work: impl AsyncFnOnce(&Client) -> Result<T, DataStoreError>) -> Result<T, Refusal> {
        let held = self.session().await?;
        let done = work(held.client()).await.map_err(|error| self.failed(&error))?;
        held.done();
        Ok(done)
    }
}

/// A store with the streams that were asked for, in that order.
pub struct Located<'a> {
    pub store: &'a Store,
    pub streams: Vec<Stream>,
    pub wanted: Vec<Wanted>,
}

/// Finds the store that has all of what cursors name: that of the manifest first.
pub async fn locate<'a>(stores: &'a [Store], cursors: &[Cursor]) -> Result<Located<'a>, Refusal> {
    let mut names: Vec<String> = Vec::new();
    for store in in_order(stores, cursors.first().map(|cursor| &*cursor.manifest)) {
        let there = store.with(async |client| eventstore::streams(client).await).await?;
        let find = |cursor: &Cursor| {
            let is_it = |stream: &&Stream| {
                (&stream.manifest, &stream.public_schema, stream.major)
                    == (&cursor.manifest, &cursor.public_schema, cursor.major)
            };
            there.iter().find(is_it).cloned()
        };
        let found: Vec<Option<Stream>> = cursors.iter().map(find).collect();
        if let Some(streams) = found.into_iter().collect::<Option<Vec<Stream>>>() {
            let wanted = streams.iter().zip(cursors);
            let wanted = wanted.map(|(stream, cursor)| Wanted { stream: stream.id, after: cursor.after }).collect();
            return Ok(Located { store, streams, wanted });
        }
        names.extend(there.iter().map(name));
    }
    let asked = |cursor: &Cursor| format!("{}/{}@{}", cursor.manifest, cursor.public_schema, cursor.major);
    let missing = cursors.iter().map(asked).find(|asked| !names.contains(asked));
    let Some(missing) = missing else {
        let what = "what was asked for is in several event stores";
        return Err(Refusal::bad(what, "ask for the public schemas of one manifest at a time"));
    };
    let hint = match nearest(&missing, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => "nothing has been published here yet".to_owned(),
        None => "GET /public-schemas tells what is published".to_owned(),
    };
    Err(Refusal::absent(format!("public schema {missing} is not published here"), hint))
}

/// Returns the stores, that of a manifest first.
pub fn in_order<'a>(stores: &'a [Store], manifest: Option<&str>) -> Vec<&'a Store> {
    let mut all: Vec<&Store> = stores.iter().collect();
    all.sort_by_key(|store| manifest.is_none_or(|manifest| store.manifests.iter().all(|slug| slug != manifest)));
    all
}

fn name(stream: &Stream) -> String {
    format!("{}/{}@{}", stream.manifest, stream.public_schema, stream.major)
}
