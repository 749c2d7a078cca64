//! What consumers read: an event store, or, over HTTP, the service of another manifest. Both have the same streams, with the
//! same positions, so a consumer may go from one to the other.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_postgres::Client;

use super::failure::EngineError;
use crate::change::Position;
use crate::datastore::DataStoreError;
use crate::eventstore::{self, Deployment, Registered, Shape, Stream, Wanted};
use crate::manifest::{PostgresConnection, SyncService};
use crate::postgres;
use crate::service::{Behind, Service, ServiceError};

/// Where it is.
#[derive(Clone, Debug)]
pub enum UpstreamPlan {
    Store(PostgresConnection),
    Service(SyncService),
}

/// It is open, and can be asked.
pub enum Upstream {
    /// An event store's name, and a session there.
    Store { slug: String, client: Client },
    /// The slug of the manifest whose service it is.
    Service { manifest: String, service: Service },
}

impl UpstreamPlan {
    /// Returns how messages call it: ``event store `events` ``.
    pub fn place(&self, name: &str) -> String {
        match self {
            UpstreamPlan::Store(_) => format!("event store `{name}`"),
            UpstreamPlan::Service(service) => format!("the service of `{}` ({})", service.manifest, service.url),
        }
    }

    /// Opens it. `name` is the event store's slug.
    ///
    /// # Errors
    /// It can't be reached; whether a service can be is seen when it is asked.
    pub async fn open(&self, name: &str, application: &str) -> Result<Upstream, EngineError> {
        match self {
            UpstreamPlan::Store(connection) => {
                let (client, _) = listening(connection, name, application).await?;
                Ok(Upstream::Store { slug: name.to_owned(), client })
            }
            UpstreamPlan::Service(service) => {
                let manifest = service.manifest.clone();
                Ok(Upstream::Service { manifest, service: Service::new(service.clone()) })
            }
        }
    }
}

/// Opens a session at an event store, and what tells of its notifications.
pub(super) async fn listening(
    connection: &PostgresConnection,
    slug: &str,
    application: &str,
) -> Result<(Client, Arc<Notify>), EngineError> {
    let session = postgres::Session::destination(application);
    let connected = postgres::connect_and_hear(connection, &session).await;
    connected.map_err(|source| EngineError::Connect { role: "event store", slug: slug.to_owned(), source })
}

impl Upstream {
    fn at_store(&self, source: DataStoreError) -> EngineError {
        EngineError::EventStore { slug: self.name().to_owned(), source }
    }

    fn at_service(&self, source: ServiceError) -> EngineError {
        EngineError::Service { manifest: self.name().to_owned(), source }
    }

    fn name(&self) -> &str {
        match self {
            Upstream::Store { slug, .. } => slug,
            Upstream::Service { manifest, .. } => manifest,
        }
    }

    /// Returns what is published there, with the shapes of each, the newest first. Of a service it is what its manifest
    /// publishes.
    ///
    /// # Errors
    /// It can't be asked.
    pub async fn streams(&self) -> Result<(Vec<Stream>, Vec<Shape>), EngineError> {
        match self {
            Upstream::Service { service, .. } => service.streams().await.map_err(|error| self.at_service(error)),
            Upstream::Store { client, .. } => {
                let asked = async {
                    let streams = eventstore::streams(client).await?;
                    let ids: Vec<i32> = streams.iter().map(|stream| stream.id).collect();
                    let shapes = eventstore::shapes(client, &ids, 0).await?;
                    Ok((streams, shapes))
                };
                asked.await.map_err(|error| self.at_store(error))
            }
        }
    }

    /// Counts the events of a stream behind a position, up to a limit.
    ///
    /// # Errors
    /// It can't be asked.
    pub async fn count(&self, stream: &Stream, after: Position, limit: i64) -> Result<i64, EngineError> {
        match self {
            Upstream::Service { service, .. } => {
                let behind = Behind { stream: stream.clone(), after };
                service.count(&behind, limit).await.map_err(|error| self.at_service(error))
            }
            Upstream::Store { client, .. } => {
                let wanted = Wanted { stream: stream.id, after };
                eventstore::count(client, wanted, limit).await.map_err(|error| self.at_store(error))
            }
        }
    }

    /// Returns the position in front of the first event that was committed at a time or later.
    ///
    /// # Errors
    /// It is no time, or it can't be asked.
    pub async fn before(&self, stream: &Stream, time: &str) -> Result<Option<Position>, EngineError> {
        match self {
            Upstream::Service { service, .. } => {
                service.before(stream, time).await.map_err(|error| self.at_service(error))
            }
            Upstream::Store { client, .. } => {
                eventstore::before(client, stream.id, time).await.map_err(|error| self.at_store(error))
            }
        }
    }

    /// Tells it how far consumers are. Returns those that it knows the stream of, each with whether events behind its cursor are
    /// gone already, or why it alone is refused.
    ///
    /// # Errors
    /// It can't be told, or not by this role.
    pub async fn register(
        &self,
        of: Deployment<'_>,
        consumers: &[Registered<'_>],
    ) -> Result<Vec<(String, Result<bool, EngineError>)>, EngineError> {
        match self {
            Upstream::Service { service, .. } => {
                let heard = service.register(of, consumers).await.map_err(|error| self.at_service(error))?;
                let one = |(name, heard): (String, Result<bool, ServiceError>)| {
                    (name, heard.map_err(|error| self.at_service(error)))
                };
                Ok(heard.into_iter().map(one).collect())
            }
            Upstream::Store { client, .. } => {
                let registered = eventstore::register_consumers(client, of, consumers).await;
                let registered = registered.map_err(|error| self.at_store(error))?;
                Ok(registered.into_iter().map(|(name, missed)| (name, Ok(missed))).collect())
            }
        }
    }

    /// Has it forget a consumer. Returns false when there is no such consumer.
    ///
    /// # Errors
    /// It can't be told, or not by this role.
    pub async fn forget(&self, of: Deployment<'_>, consumer: &str) -> Result<bool, EngineError> {
        match self {
            Upstream::Service { service, .. } => {
                service.forget(of, consumer).await.map_err(|error| self.at_service(error))
            }
            Upstream::Store { client, .. } => {
                let forgotten = eventstore::forget_consumer(client, of, consumer).await;
                forgotten.map_err(|error| self.at_store(error))
            }
        }
    }
}
