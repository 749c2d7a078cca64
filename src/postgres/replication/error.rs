//! Why a stream could not start or went on no longer.

use std::io;
use std::time::Duration;

use crate::lsn::BadLsn;
use crate::postgres::connect_error::is_loss;
use crate::postgres::quote::quote_literal;
use crate::postgres::{ConnectError, ServerError};

/// What ends a replication stream, or keeps it from starting.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationError {
    #[error("cannot open the replication stream")]
    Connect(#[from] ConnectError),
    #[error("replication slot \"{slot}\" is in use{}", pid.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    SlotInUse { slot: String, pid: Option<u32>, source: ServerError },
    #[error("replication slot \"{slot}\" does not exist")]
    SlotMissing { slot: String, source: ServerError },
    /// The server has thrown away write-ahead log that the slot needs: what it held is gone for good.
    #[error("replication slot \"{slot}\" is lost: the server has removed write-ahead log that it needs")]
    SlotLost { slot: String, source: ServerError },
    /// A physical slot, one of another database, of another output plugin.
    #[error("replication slot \"{slot}\" can't be read from here")]
    WrongSlot { slot: String, source: ServerError },
    #[error("a replication slot \"{slot}\" exists already")]
    SlotExists { slot: String, source: ServerError },
    #[error("\"{slot}\" is no name for a replication slot")]
    BadSlotName { slot: String, source: ServerError },
    #[error("the server has no replication slot to spare")]
    NoFreeSlot { source: ServerError },
    #[error("the server's wal_level does not allow logical replication")]
    WalLevel { source: ServerError },
    #[error(
        "one of the publications {publications:?} does not exist, or did not exist yet at the position of the stream"
    )]
    PublicationMissing { publications: Vec<String>, source: ServerError },
    #[error("the server has no WAL sender to spare")]
    NoFreeSender { source: ServerError },
    #[error("the role may not replicate")]
    NotPermitted { source: ServerError },
    #[error("the server ended the stream: it is shutting down")]
    Shutdown { source: ServerError },
    #[error("the server ended the stream with an error")]
    Refused { source: ServerError },
    #[error("the server ended the stream without an error, as it does when it is shutting down")]
    Ended,
    #[error("the replication connection was lost")]
    Lost { source: io::Error },
    #[error("the server is silent: nothing has come from it for {} s, though it was asked", after.as_secs_f32())]
    Silent { after: Duration },
    #[error("the server sent what is no replication message: {what}")]
    BadMessage { what: String },
    #[error("a message of {bytes} bytes, more than Postgres can make")]
    TooLarge { bytes: u64 },
    #[error("the server did not take the last status within {} s", after.as_secs_f32())]
    CloseTimedOut { after: Duration },
    #[error("cannot start the thread that reads the stream")]
    Thread { source: io::Error },
}

impl From<BadLsn> for ReplicationError {
    fn from(bad: BadLsn) -> ReplicationError {
        ReplicationError::BadMessage { what: bad.to_string() }
    }
}

/// When an error arrived; the same SQLSTATE means another thing before and within the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Creating,
    Starting,
    Streaming,
}

impl ReplicationError {
    /// Sorts an error of the server's. By SQLSTATE, since the texts may be in any language; texts only refine.
    pub(super) fn of_server(
        moment: Moment,
        slot: &str,
        publications: &[String],
        source: ServerError,
    ) -> ReplicationError {
        let slot = slot.to_owned();
        let says =
            |part: &str| source.message.contains(part) || source.detail.as_deref().is_some_and(|d| d.contains(part));
        match &*source.code {
            "55006" => ReplicationError::SlotInUse { pid: pid_in(&source.message), slot, source },
            "42704" if moment == Moment::Streaming => {
                ReplicationError::PublicationMissing { publications: publications.to_vec(), source }
            }
            "42704" => ReplicationError::SlotMissing { slot, source },
            "42710" => ReplicationError::SlotExists { slot, source },
            "42602" | "42622" => ReplicationError::BadSlotName { slot, source },
            "55000" if says("wal_level") || moment == Moment::Creating => ReplicationError::WalLevel { source },
            "55000" if ["no longer", "invalidated", "never previously reserved"].iter().any(|part| says(part)) => {
                ReplicationError::SlotLost { slot, source }
            }
            "58P01" => ReplicationError::SlotLost { slot, source },
            "55000" | "0A000" if moment == Moment::Starting => ReplicationError::WrongSlot { slot, source },
            // An output plugin that does not know pgoutput's options.
            "22023" if moment == Moment::Starting => ReplicationError::WrongSlot { slot, source },
            "53400" => ReplicationError::NoFreeSlot { source },
            "53300" => ReplicationError::NoFreeSender { source },
            "42501" => ReplicationError::NotPermitted { source },
            "57P01" | "57P02" | "57P03" => ReplicationError::Shutdown { source },
            _ => ReplicationError::Refused { source },
        }
    }

    /// Returns true when connecting again, after a wait, may go on from where the stream ended.
    pub fn is_transient(&self) -> bool {
        match self {
            ReplicationError::Connect(ConnectError::TooManyConnections { .. }) => true,
            ReplicationError::Connect(error) => error.is_transient(),
            // Right after a disconnect the server may still hold the slot for the old connection.
            ReplicationError::SlotInUse { .. }
            | ReplicationError::NoFreeSender { .. }
            | ReplicationError::Shutdown { .. }
            | ReplicationError::Ended
            | ReplicationError::Silent { .. }
            | ReplicationError::CloseTimedOut { .. }
            | ReplicationError::Thread { .. } => true,
            ReplicationError::Lost { source } => is_loss(source) || source.kind() != io::ErrorKind::InvalidData,
            ReplicationError::Refused { source } => source.is_transient(),
            _ => false,
        }
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            ReplicationError::Connect(error) => return error.hint(),
            ReplicationError::SlotInUse { pid: Some(pid), .. } => format!(
                "another process reads from this slot; find it with SELECT * FROM pg_stat_activity WHERE pid = {pid}, \
                 stop it, or end its session with SELECT pg_terminate_backend({pid})"
            ),
            ReplicationError::SlotInUse { .. } => "stop the other process that reads from this slot".to_owned(),
            ReplicationError::SlotMissing { .. } => {
                "somebody dropped it, or it is on another server; a new slot needs a new backfill".to_owned()
            }
            ReplicationError::SlotLost { slot, .. } => format!(
                "changes are lost for good: SELECT pg_drop_replication_slot({}), start again with a backfill, and give \
                 max_slot_wal_keep_size more room",
                quote_literal(slot)
            ),
            ReplicationError::WrongSlot { .. } => {
                "name a logical slot of this database that was made with pgoutput, or a name that is free".to_owned()
            }
            ReplicationError::SlotExists { .. } => "take another name, or drop the slot".to_owned(),
            ReplicationError::BadSlotName { .. } => {
                "use lower case letters, digits and underscores, 63 at most".to_owned()
            }
            ReplicationError::NoFreeSlot { .. } => {
                "drop a slot that nobody uses (SELECT slot_name, active FROM pg_replication_slots), or raise \
                 max_replication_slots and restart the server"
                    .to_owned()
            }
            ReplicationError::WalLevel { .. } => {
                "ALTER SYSTEM SET wal_level = logical, then restart the server".to_owned()
            }
            ReplicationError::PublicationMissing { .. } => {
                "make the publication before the slot: a slot does not see publications that were made after its \
                 position; drop the slot and start again with a backfill"
                    .to_owned()
            }
            ReplicationError::NoFreeSender { .. } => "raise max_wal_senders and restart the server".to_owned(),
            ReplicationError::NotPermitted { .. } => "ALTER ROLE … REPLICATION".to_owned(),
            ReplicationError::Shutdown { .. } | ReplicationError::Ended | ReplicationError::Lost { .. } => {
                "the server's log tells why; the stream goes on from where it was once the server is back".to_owned()
            }
            ReplicationError::Refused { source } => return source.hint.as_deref().map(str::to_owned),
            ReplicationError::Silent { .. } => "check the server and the network in between".to_owned(),
            ReplicationError::BadMessage { .. } | ReplicationError::TooLarge { .. } => {
                "check that the connection leads to Postgres itself, without a proxy that changes the stream".to_owned()
            }
            ReplicationError::CloseTimedOut { .. } => {
                "nothing is lost: what was not confirmed comes again at the next start".to_owned()
            }
            ReplicationError::Thread { .. } => "raise the limit of processes and threads (ulimit -u)".to_owned(),
        };
        Some(text)
    }
}

/// Finds the number in `replication slot "x" is active for PID 123`, in whatever language.
fn pid_in(message: &str) -> Option<u32> {
    // The slot's name may hold digits; it stands in quotes of some kind, the number stands alone.
    message.rsplit(|c: char| c.is_whitespace()).find_map(|word| word.trim_end_matches(['.', '。']).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(moment: Moment, code: &str, message: &str) -> ReplicationError {
        let publications = ["p".to_owned()];
        ReplicationError::of_server(moment, "s", &publications, ServerError::new(code, message, None, None))
    }

    #[test]
    fn the_moment_decides_what_an_undefined_object_is() {
        use Moment::*;
        assert!(matches!(sorted(Starting, "42704", ""), ReplicationError::SlotMissing { .. }));
        assert!(matches!(sorted(Streaming, "42704", ""), ReplicationError::PublicationMissing { .. }));
    }

    #[test]
    fn a_slot_in_use_is_transient_and_names_its_process() {
        let error = sorted(Moment::Starting, "55006", "replication slot \"s7\" is active for PID 4711");
        assert_eq!(error.to_string(), "replication slot \"s\" is in use by process 4711");
        assert!(error.is_transient());
        assert!(error.hint().unwrap().contains("pg_terminate_backend(4711)"));
    }

    #[test]
    fn a_lost_slot_is_told_from_a_wrong_one() {
        use Moment::*;
        let lost = "can no longer get changes from replication slot \"s\"";
        assert!(matches!(sorted(Starting, "55000", lost), ReplicationError::SlotLost { .. }));
        assert!(matches!(sorted(Streaming, "58P01", "gone"), ReplicationError::SlotLost { .. }));
        assert!(matches!(sorted(Starting, "0A000", "other database"), ReplicationError::WrongSlot { .. }));
        assert!(!sorted(Starting, "55000", lost).is_transient());
    }
}
