//! The event stores that are served: which has what, and sessions there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::{CancelToken, Client};

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

/// No statement lives longer than the request that it is for.
const PATIENCE: &str = "SET statement_timeout = '30s'";

/// Ends what a session does when it is dropped: a server notices only when it next sends something that nobody is there.
pub struct Cancel {
    connection: PostgresConnection,
    token: Option<CancelToken>,
}

impl Cancel {
    /// Ends what this session runs, once it is dropped.
    pub fn of(connection: &PostgresConnection, client: &Client) -> Cancel {
        Cancel { connection: connection.clone(), token: Some(client.cancel_token()) }
    }

    /// Nothing is to be ended any more.
    pub fn disarm(&mut self) {
        self.token = None;
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        let (Some(token), Ok(runtime)) = (self.token.take(), tokio::runtime::Handle::try_current()) else { return };
        let connection = self.connection.clone();
        runtime.spawn(async move {
            // Where the server is gone, so is the statement.
            let _ = postgres::cancel(&connection, &token).await;
        });
    }
}

/// An event store that is served.
pub struct Store {
    pub slug: String,
    /// The manifests whose store it is.
    pub manifests: Vec<String>,
    connection: PostgresConnection,
    idle: Mutex<Vec<Client>>,
    permits: Arc<Semaphore>,
}

/// A session, in no transaction. One that is dropped before [`Held::done`] is closed, and what it does is cancelled.
pub struct Held<'a> {
    store: &'a Store,
    client: Option<Client>,
    cancel: Cancel,
    _permit: OwnedSemaphorePermit,
}

impl Held<'_> {
    pub fn client(&self) -> &Client {
        self.client.as_ref().expect("it is there until it is given back")
    }

    /// Gives it back.
    pub fn done(mut self) {
        self.cancel.disarm();
        let mut idle = self.store.idle.lock().expect("nobody panics while holding it");
        idle.extend(self.client.take());
    }
}

impl Store {
    /// Returns the stores of manifests: of each the first one into which it publishes, or its mirror where it publishes nothing.
    pub fn all(manifests: &[Manifest]) -> Vec<Store> {
        let mut stores: Vec<Store> = Vec::new();
        for manifest in manifests {
            let all = &manifest.event_stores;
            // Nothing is published into mirrors.
            let publishes = !manifest.public_schemas.is_empty();
            let best = all.iter().find(|store| store.mirror_of.is_some() != publishes);
            let Some(store) = best.or(all.first()) else { continue };
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
                let client = postgres::connect(&self.connection, &Session::destination("pelton http")).await;
                let client = client.map_err(|error| self.failed(&error))?;
                client.batch_execute(PATIENCE).await.map_err(|error| self.failed(&error))?;
                client
            }
        };
        let cancel = Cancel::of(&self.connection, &client);
        Ok(Held { store: self, client: Some(client), cancel, _permit: permit })
    }

    /// Returns a session of its own that hears of what is appended, and what ends its work when nobody wants it any more.
    pub async fn listening(&self) -> Result<(Client, Arc<Notify>, Cancel), Refusal> {
        let connected = postgres::connect_and_hear(&self.connection, &Session::destination("pelton http stream")).await;
        let (client, heard) = connected.map_err(|error| self.failed(&error))?;
        let cancel = Cancel::of(&self.connection, &client);
        Ok((client, heard, cancel))
    }

    /// Returns the streams that are told: what the manifests publish, and what they mirror. Others that are in the same store are
    /// somebody else's to tell.
    ///
    /// # Errors
    /// What the server says.
    pub async fn told(&self, client: &Client) -> Result<Vec<Stream>, DataStoreError> {
        let mut streams = eventstore::streams(client).await?;
        let mirrored = streams.iter().any(|stream| !stream.path.is_empty());
        let upstreams = if mirrored { eventstore::upstreams(client, &self.manifests).await? } else { Vec::new() };
        streams.retain(|stream| match stream.path.last() {
            Some(upstream) => upstreams.contains(upstream),
            None => self.manifests.contains(&stream.manifest),
        });
        Ok(streams)
    }

    /// The same, in a session of its own.
    ///
    /// # Errors
    /// It can't be read.
    pub async fn streams(&self) -> Result<Vec<Stream>, Refusal> {
        self.with(async |client| self.told(client).await).await
    }

    /// Does something in a session.
    pub async fn with<T>(&self, work: impl AsyncFnOnce(&Client) -> Result<T, DataStoreError>) -> Result<T, Refusal> {
        let held = self.session().await?;
        let done = work(held.client()).await.map_err(|error| self.failed(&error))?;
        held.done();
        Ok(done)
    }
}

/// A store with streams that were asked for, in that order.
pub struct Located<'a> {
    pub store: &'a Store,
    pub streams: Vec<Stream>,
    pub wanted: Vec<Wanted>,
    /// See [`Cursor::began_under`].
    pub began_under: Vec<Option<u32>>,
}

/// What cursors name, store by store, and what of it is nowhere.
pub struct Found<'a> {
    pub located: Vec<Located<'a>>,
    pub unknown: Vec<String>,
    /// What there is.
    pub known: Vec<String>,
}

/// Finds what cursors name, of each manifest in its own store first.
///
/// # Errors
/// A store can't be read, or a cursor is none of the stream that it names.
pub async fn find<'a>(stores: &'a [Store], cursors: &[Cursor]) -> Result<Found<'a>, Refusal> {
    let mut found = Found { located: Vec::new(), unknown: Vec::new(), known: Vec::new() };
    let mut left: Vec<&Cursor> = cursors.iter().collect();
    for store in in_order(stores, cursors.first().map(|cursor| &*cursor.manifest)) {
        let there = store.streams().await?;
        let (mut streams, mut wanted, mut began_under) = (Vec::new(), Vec::new(), Vec::new());
        let mut absent = Vec::new();
        for cursor in left {
            let Some(stream) = there.iter().find(|stream| name(stream) == cursor.name()) else {
                absent.push(cursor);
                continue;
            };
            if cursor.origin.as_ref().is_some_and(|origin| *origin != stream.origin) {
                return Err(other_origin(stream));
            }
            wanted.push(Wanted { stream: stream.id, after: cursor.position()? });
            streams.push(stream.clone());
            began_under.push(cursor.began_under);
        }
        left = absent;
        found.known.extend(there.iter().map(name));
        if !streams.is_empty() {
            found.located.push(Located { store, streams, wanted, began_under });
        }
        if left.is_empty() {
            break;
        }
    }
    found.unknown = left.into_iter().map(Cursor::name).collect();
    Ok(found)
}

/// Finds the store that has all of what cursors name.
///
/// # Errors
/// There is none.
pub async fn locate<'a>(stores: &'a [Store], cursors: &[Cursor]) -> Result<Located<'a>, Refusal> {
    let mut found = find(stores, cursors).await?;
    if let Some(missing) = found.unknown.first() {
        return Err(unknown(missing, &found.known));
    }
    match (found.located.pop(), found.located.is_empty()) {
        (Some(located), true) => Ok(located),
        (Some(_), false) => {
            let what = "what was asked for is in several event stores";
            Err(Refusal::bad(what, "ask for the public schemas of one manifest at a time"))
        }
        (None, _) => Err(Refusal::bad("there are no cursors", "name at least one public schema")),
    }
}

/// Refuses what is not published, `shop/orders@1`.
pub fn unknown(missing: &str, known: &[String]) -> Refusal {
    let hint = match nearest(missing, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {near}?"),
        None if known.is_empty() => "nothing has been published here yet".to_owned(),
        None => "GET /public-schemas tells what is published".to_owned(),
    };
    Refusal::absent(format!("public schema {missing} is not published here"), hint)
}

/// Refuses a cursor of another stream of the same name.
pub fn other_origin(stream: &Stream) -> Refusal {
    let what = format!(
        "the cursor is of another stream than {}, which was published apart from it: their positions don't compare",
        name(stream)
    );
    Refusal::conflict(what, "read this one from its beginning, into an empty table")
}

/// Returns the stores, that of a manifest first.
pub fn in_order<'a>(stores: &'a [Store], manifest: Option<&str>) -> Vec<&'a Store> {
    let mut all: Vec<&Store> = stores.iter().collect();
    all.sort_by_key(|store| manifest.is_none_or(|manifest| store.manifests.iter().all(|slug| slug != manifest)));
    all
}

/// Returns what messages call a stream: `shop/orders@1`.
pub fn name(stream: &Stream) -> String {
    format!("{}/{}@{}", stream.manifest, stream.public_schema, stream.major)
}
