//! Live transactions, recorded: what passes by from now on, for fixtures and for whoever tries a transform.
//!
//! ```text
//! temporary slot → replication stream → pgoutput → assemble → fixture::Transaction
//! ```
//!
//! # What it leaves behind
//! Nothing. The slot is temporary: it goes with its connection, and no flow's slot is touched. The publication, where none
//! is named, is made for the recording and dropped when it is [closed](Recorder::close). A process that was killed can't
//! drop it; the next recording at that database does, for it finds that nobody holds the publication's lock any more
//! (`publication`). While it lasts it names only tables whose updates and deletes go on working, those of partitions that are
//! made meanwhile included; whoever drops a primary key meanwhile finds out that it was needed.
//!
//! A process that is killed while it waits for running transactions leaves its slot until they have ended: the server does
//! not look whether anybody listens before that. One that is cancelled ends that session.
//!
//! # What it holds up
//! What was handed over is confirmed at once, so the source keeps no write-ahead log for a recording; a recording that is
//! not asked for its next transaction does hold it, like any slot. A transaction larger than
//! [`Options::transaction_bytes_max`] is counted and left out, so memory is bounded.

mod assemble;
mod error;
mod publication;

use std::collections::VecDeque;

use tokio_postgres::Client;

use crate::change::ReplicaIdentity;
pub use crate::fixture::write::Recorded as Table;
use crate::lsn::Lsn;
use crate::manifest::PostgresConnection;
use crate::pgoutput::RelationIndex;
use crate::postgres::catalog::{self, Which};
pub use crate::postgres::publication::Wanted;
use crate::postgres::replication::{ReplicationStream, StreamOptions, WalMessage};
use crate::postgres::{self, Session};
use assemble::{Assembler, Taken};
pub use assemble::{Messages, Recorded};
pub use error::RecordError;

/// What to record.
#[derive(Clone, Debug)]
pub struct Options {
    pub tables: Wanted,
    pub messages: Messages,
    /// An existing publication; one is made for the recording where none is named.
    pub publication: Option<String>,
    /// A transaction whose changes take more memory is left out.
    pub transaction_bytes_max: usize,
    pub application_name: String,
}

/// A recording that goes on.
pub struct Recorder {
    stream: ReplicationStream,
    /// Looks tables up, and holds the lock of a publication of our own.
    client: Client,
    /// The publication that goes with the recording.
    made: Option<String>,
    assembler: Assembler,
    waiting: VecDeque<WalMessage>,
    /// Described by the stream, and not looked up yet.
    describing: Option<RelationIndex>,
    /// Wanted and not fit to be published, where all tables are wanted.
    left_out: Vec<String>,
    connection: PostgresConnection,
    application_name: String,
}

impl Recorder {
    /// Makes a temporary slot and begins behind every transaction that is running right now: it waits for their end, or
    /// until it is `cancelled`. It must not be dropped while it waits: a publication would stay until the next recording.
    ///
    /// # Errors
    /// [`RecordError`]; nothing is left behind then.
    pub async fn start(
        to: &PostgresConnection,
        options: &Options,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Recorder, RecordError> {
        let client = postgres::connect(to, &Session::source(&options.application_name)).await?;
        let name = publication::name();
        let (publication, left_out) = match &options.publication {
            Some(existing) => {
                publication::check(&client, existing, &options.tables).await?;
                (existing.clone(), Vec::new())
            }
            None => (name.clone(), publication::make(&client, &name, &options.tables).await?),
        };
        let made = options.publication.is_none().then(|| publication.clone());
        let stream = StreamOptions {
            temporary: true,
            application_name: options.application_name.clone(),
            ..StreamOptions::new(name.clone(), publication, Lsn(0))
        };
        let started = tokio::select! {
            started = ReplicationStream::start(to, stream) => started.map_err(RecordError::from),
            () = cancelled => {
                publication::end_slot(&client, &name).await;
                Err(RecordError::Cancelled)
            }
        };
        let stream = match started {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(made) = &made {
                    publication::unmake(&client, made).await;
                }
                return Err(error);
            }
        };
        let assembler = Assembler::new(&options.tables, options.messages.clone(), options.transaction_bytes_max);
        let (waiting, describing) = (VecDeque::new(), None);
        let (connection, application_name) = (to.clone(), options.application_name.clone());
        Ok(Recorder { stream, client, made, assembler, waiting, describing, left_out, connection, application_name })
    }

    /// Returns the tables so far. A change's relation is an index into them; they only grow.
    pub fn tables(&self) -> &[Table] {
        self.assembler.tables()
    }

    /// Returns why tables are not recorded: to publish them would break their updates, or nothing of them is in the
    /// write-ahead log.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// Waits for the next transaction with changes that are wanted. May be dropped while it waits without losing anything.
    ///
    /// # Errors
    /// [`RecordError`]; the recording is over then.
    pub async fn next(&mut self) -> Result<Recorded, RecordError> {
        loop {
            // Without its lock the publication may be dropped by the next recording.
            if self.client.is_closed() {
                return Err(RecordError::SessionLost);
            }
            if let Some(index) = self.describing {
                let altered = self.describe(index).await?;
                self.describing = None;
                if let Some(table) = altered {
                    return Ok(Recorded::Altered { table });
                }
            }
            match self.waiting.pop_front() {
                None => self.waiting.extend(self.stream.next().await?.messages),
                Some(WalMessage::Keepalive { wal_end, .. }) => {
                    if !self.assembler.is_inside() {
                        self.stream.confirm(wal_end);
                    }
                }
                Some(WalMessage::Data { data, .. }) => match self.assembler.take(data)? {
                    Taken::Nothing => {}
                    Taken::Described(index) => self.describing = Some(index),
                    Taken::Ended { end, recorded } => {
                        self.stream.confirm(end);
                        if let Some(recorded) = recorded {
                            return Ok(recorded);
                        }
                    }
                },
            }
        }
    }

    /// Adds what only the catalog knows to a table that the stream described. Returns its name if it is another version
    /// of a table that was recorded.
    async fn describe(&mut self, index: RelationIndex) -> Result<Option<String>, RecordError> {
        let relation = self.assembler.relation(index);
        if !self.assembler.wants(relation) {
            return Ok(None);
        }
        let mut relation = (**relation).clone();
        let oids = [relation.oid];
        let today = catalog::load(&self.client, Which::Oids(&oids)).await?.pop();
        if let Some(today) = &today {
            today.enrich(&mut relation);
        }
        let key: Vec<usize> = match relation.identity {
            ReplicaIdentity::Full => {
                let primary = today.as_ref().and_then(catalog::Table::primary_key);
                let names = primary.iter().flat_map(|key| &key.columns).filter_map(|column| {
                    today.as_ref().and_then(|today| today.columns.get(column.column)).map(|column| &*column.name)
                });
                names.filter_map(|name| relation.column(name)).collect()
            }
            _ => (0..relation.columns.len()).filter(|&i| relation.columns[i].key).collect(),
        };
        let name = relation.display_name();
        Ok(self.assembler.describe(index, Table { relation: relation.into(), key }).then_some(name))
    }

    /// Ends the recording: the slot goes, and so does the publication that was made for it.
    pub async fn close(self) {
        // The slot goes with the connection, whatever the server answers.
        if let Err(error) = self.stream.close().await {
            tracing::debug!(%error, "the stream of a recording did not end in order");
        }
        let Some(made) = &self.made else { return };
        if !self.client.is_closed() {
            return publication::unmake(&self.client, made).await;
        }
        match postgres::connect(&self.connection, &Session::source(&self.application_name)).await {
            Ok(client) => publication::unmake(&client, made).await,
            Err(error) => tracing::warn!(%error, "a recording leaves its publication behind: DROP PUBLICATION {made}"),
        }
    }
}
