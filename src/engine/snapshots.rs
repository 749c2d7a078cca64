//! Snapshots under which tables are copied whole, each exported by a temporary slot, made one at a time beside the
//! stream.
//!
//! Making a slot waits for every transaction that is running at the source, which may be hours; the flows go on
//! meanwhile. In that time the stream may pass the slot's consistent point with a change of the table, before it is
//! known that there is a slot: then the snapshot is too old to copy under, and another one is made. A table that is
//! written to all the time would lose that race again and again, so the second try holds up the stream.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::manifest::PostgresConnection;
use crate::postgres::replication::{ExportedSnapshot, ReplicationError, SnapshotSlot, create_slot_with_snapshot};
use crate::postgres::{Backoff, slot};

use super::failure::Chain;

/// When making a slot takes so long, it is said what it waits for.
const SLOW: Duration = Duration::from_secs(5);

/// Snapshots that are being made, and those that are still needed.
pub struct Snapshots {
    source: PostgresConnection,
    standby: bool,
    application_name: String,
    /// The table that the next one is for.
    making: Option<(usize, JoinHandle<Result<ExportedSnapshot, ReplicationError>>)>,
    /// Until the first piece of their table has come.
    exported: HashMap<usize, ExportedSnapshot>,
    /// A snapshot was too old.
    missed: bool,
}

impl Snapshots {
    /// Makes slots at `source`, in sessions of this name.
    pub fn new(source: PostgresConnection, standby: bool, application_name: String) -> Snapshots {
        Snapshots { source, standby, application_name, making: None, exported: HashMap::new(), missed: false }
    }

    /// Returns true while another one may be made.
    pub fn is_free(&self) -> bool {
        self.making.is_none() && self.exported.is_empty()
    }

    /// Begins to make one. Returns true if the stream must wait for it.
    pub fn begin(&mut self, table: usize) -> bool {
        let making = tokio::spawn(make(self.source.clone(), self.standby, self.application_name.clone()));
        self.making = Some((table, making));
        self.missed
    }

    /// Waits for the one that is being made; for ever if there is none. Cancel safe.
    ///
    /// # Errors
    /// The source refuses in a way that does not pass.
    pub async fn made(&mut self) -> Result<(usize, ExportedSnapshot), ReplicationError> {
        let Some((table, making)) = &mut self.making else { return std::future::pending().await };
        let table = *table;
        let made = making.await.expect("making a slot neither panics nor is given up while it is waited for");
        self.making = None;
        made.map(|snapshot| (table, snapshot))
    }

    /// Keeps one until [`Snapshots::release`].
    pub fn keep(&mut self, table: usize, snapshot: ExportedSnapshot) {
        self.missed = false;
        self.exported.insert(table, snapshot);
    }

    /// Says that one was too old.
    pub fn miss(&mut self) {
        self.missed = true;
    }

    /// Lets a table's go.
    pub fn release(&mut self, table: usize) {
        self.exported.remove(&table);
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        if let Some((_, making)) = &self.making {
            making.abort();
        }
    }
}

/// Makes a slot, and tries again while all slots or sessions are taken.
async fn make(
    source: PostgresConnection,
    standby: bool,
    application_name: String,
) -> Result<ExportedSnapshot, ReplicationError> {
    let mut backoff = Backoff::default();
    loop {
        // The name is taken only while the session lives.
        let slot =
            SnapshotSlot { name: format!("pelton_copy_{:016x}", fastrand::u64(..)), temporary: true, failover: false };
        let making = create_slot_with_snapshot(&source, &application_name, &slot);
        let mut making = std::pin::pin!(making);
        let made = match tokio::time::timeout(SLOW, &mut making).await {
            Ok(made) => made,
            Err(_) if standby => {
                slot::say_what_a_standby_waits_for();
                making.await
            }
            Err(_) => {
                tracing::info!("a copy waits for the transactions that are running at the source");
                making.await
            }
        };
        match made {
            // Others of our copies hold slots for a while.
            Err(error) if error.is_transient() || matches!(error, ReplicationError::NoFreeSlot { .. }) => {
                let wait = backoff.next_wait().max(Duration::from_secs(1));
                let (hint, seconds) = (error.hint(), wait.as_secs_f64());
                let hint = hint.as_deref().unwrap_or("-");
                tracing::warn!(hint, "no snapshot to copy under: {}; trying again in {seconds:.1} s", Chain(&error));
                tokio::time::sleep(wait).await;
            }
            made => return made,
        }
    }
}
