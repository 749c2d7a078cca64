//! Whether a flow can go on from its checkpoint: the slot, the cluster and the timeline are what they were.

use crate::datastore::FlowRow;
use crate::postgres::replication::{Fork, forks};

use super::{EngineError, Source};

impl Source {
    /// Makes sure that the stream has everything behind a flow's checkpoint.
    ///
    /// `START_REPLICATION` forwards a position that is too old in silence, so this is where a slot that was made anew
    /// or moved, and another cluster in the place of the former one, are noticed.
    ///
    /// # Errors
    /// It does not.
    pub fn check_checkpoint(&self, flow: &FlowRow) -> Result<(), EngineError> {
        self.check_cluster(flow)?;
        if self.confirmed > flow.lsn {
            return Err(EngineError::SlotBeyondCheckpoint {
                slug: self.slug.clone(),
                slot: self.slot.clone(),
                confirmed: self.confirmed,
                checkpoint: flow.lsn,
                flow: flow.flow.clone(),
            });
        }
        Ok(())
    }

    /// Makes sure that what a flow has applied is part of this server's log: a standby that was promoted may lack the end
    /// of its former primary's, and so does a server that was restored from a backup. Positions go on as if nothing had
    /// happened, so what is new up to the checkpoint would be skipped in silence.
    ///
    /// # Errors
    /// It is not, or the server does not say.
    pub async fn check_branch(&self, flow: &FlowRow) -> Result<(), EngineError> {
        let beside = |fork: Option<Fork>| EngineError::OtherBranch {
            slug: self.slug.clone(),
            timeline: self.timeline,
            fork,
            checkpoint: flow.lsn,
            flow: flow.flow.clone(),
        };
        if let Some(timeline) = flow.timeline.filter(|timeline| *timeline != self.timeline) {
            let forks = || forks(&self.connection, &self.application_name, self.timeline);
            let forks = self.forks.get_or_try_init(forks).await;
            let forks = forks.map_err(|source| EngineError::Replication { slug: self.slug.clone(), source })?;
            match forks.iter().find(|fork| fork.timeline == timeline) {
                Some(fork) if fork.at >= flow.lsn => {}
                fork => return Err(beside(fork.copied())),
            }
        }
        match self.end {
            Some(end) if flow.lsn > end => Err(EngineError::LogEndsBefore {
                slug: self.slug.clone(),
                end,
                checkpoint: flow.lsn,
                flow: flow.flow.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Makes sure that a flow was fed from this cluster.
    ///
    /// # Errors
    /// It was fed from another one.
    pub fn check_cluster(&self, flow: &FlowRow) -> Result<(), EngineError> {
        if flow.system_identifier != self.system_identifier {
            return Err(EngineError::OtherCluster {
                slug: self.slug.clone(),
                found: self.system_identifier.clone(),
                expected: flow.system_identifier.clone(),
                flow: flow.flow.clone(),
            });
        }
        Ok(())
    }
}
