//! Making a slot together with the snapshot of what was there before it.
//!
//! Only the replication protocol can do this: the server exports a snapshot that sees exactly the transactions that
//! committed before the slot's consistent point. It lives as long as the session that made it stays idle, so the
//! session is held ([`SnapshotKeeper`]) until the copy is done.

use tokio::sync::oneshot;

use super::error::{Moment, ReplicationError};
use super::handshake;
use super::wire::{TextRow, Wire};
use crate::lsn::Lsn;
use crate::manifest::PostgresConnection;
use crate::postgres::connect::Session;
use crate::postgres::quote::quote_ident;

/// Which slot to make.
#[derive(Clone, Debug)]
pub struct SnapshotSlot {
    pub name: String,
    /// A temporary slot is dropped when its session ends, here with the keeper.
    pub temporary: bool,
    /// Standbys that synchronise slots have it too; PostgreSQL 17 and later, not on a standby.
    pub failover: bool,
}

/// A slot's snapshot: `SET TRANSACTION SNAPSHOT` takes [`name`](ExportedSnapshot::name) in another session.
#[derive(Debug)]
pub struct ExportedSnapshot {
    pub name: String,
    /// The slot delivers what committed behind this position; the snapshot sees what committed before it.
    pub consistent_point: Lsn,
    pub keeper: SnapshotKeeper,
}

/// Holds the session of an exported snapshot open, and ends it when dropped.
#[derive(Debug)]
pub struct SnapshotKeeper {
    _release: oneshot::Sender<()>,
    lost: oneshot::Receiver<ReplicationError>,
}

impl SnapshotKeeper {
    /// Waits until the session is lost, which is the end of the snapshot (and of a temporary slot). A transaction that
    /// has taken the snapshot keeps it.
    pub async fn lost(&mut self) -> ReplicationError {
        match (&mut self.lost).await {
            Ok(error) => error,
            Err(_) => ReplicationError::Ended,
        }
    }
}

/// Makes a pgoutput slot and exports its snapshot.
///
/// It waits until every transaction that is running right now has ended.
///
/// # Errors
/// [`ReplicationError`]: `SlotExists`, `NoFreeSlot`, `WalLevel`, `NotPermitted`, `BadSlotName` and those of connecting.
pub async fn create_slot_with_snapshot(
    to: &PostgresConnection,
    application_name: &str,
    slot: &SnapshotSlot,
) -> Result<ExportedSnapshot, ReplicationError> {
    let mut wire = handshake::open(to, &Session::source(application_name)).await?;
    let temporary = if slot.temporary { " TEMPORARY" } else { "" };
    // The first form is understood by all versions from 10 on; from 15 on it stands for `(SNAPSHOT 'export')`.
    let options = if slot.failover { "(SNAPSHOT 'export', FAILOVER true)" } else { "EXPORT_SNAPSHOT" };
    let statement =
        format!("CREATE_REPLICATION_SLOT {}{temporary} LOGICAL pgoutput {options}", quote_ident(&slot.name));
    let refused = |error| ReplicationError::of_server(Moment::Creating, &slot.name, &[], error);
    let rows = wire.query(&statement).await.map_err(|e| e.sorted(refused))?;
    let (consistent_point, name) = answer(&rows)?;
    let (release, released) = oneshot::channel();
    let (report, lost) = oneshot::channel();
    tokio::spawn(keep(wire, released, report));
    Ok(ExportedSnapshot { name, consistent_point, keeper: SnapshotKeeper { _release: release, lost } })
}

/// Reads slot name, consistent point, snapshot and plugin.
fn answer(rows: &[TextRow]) -> Result<(Lsn, String), ReplicationError> {
    let cell = |at: usize| rows.first()?.get(at)?.clone();
    match (cell(1), cell(2)) {
        (Some(point), Some(name)) => Ok((point.parse()?, name)),
        _ => Err(ReplicationError::BadMessage { what: "a new slot without consistent point or snapshot".to_owned() }),
    }
}

/// Holds the session and says nothing, since any command would end the snapshot.
async fn keep(mut wire: Wire, released: oneshot::Receiver<()>, report: oneshot::Sender<ReplicationError>) {
    let error = tokio::select! {
        _ = released => return,
        frame = wire.frame() => match frame {
            Ok((b'E', payload)) => ReplicationError::of_server(
                Moment::Streaming, "", &[], crate::postgres::ServerError::parse(&payload),
            ),
            Ok(_) => ReplicationError::BadMessage { what: "a frame that nobody asked for".to_owned() },
            Err(error) => error.sorted(|source| ReplicationError::Refused { source }),
        },
    };
    let _ = report.send(error);
}
