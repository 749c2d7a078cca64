//! Which cluster a server belongs to.

use std::fmt;

/// Identifies a cluster: an LSN means something only beside the system identifier, and on one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SystemIdentity {
    /// Made by initdb; equal on a primary and its standbys.
    pub system_identifier: u64,
    /// Grows by one with every promotion.
    pub timeline: u32,
}

impl fmt::Display for SystemIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, timeline {}", self.system_identifier, self.timeline)
    }
}
