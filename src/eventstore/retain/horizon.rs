//! What a reader has to know to read on: that nothing was removed in front of it.
//!
//! Whoever is registered is waited for, but not by force, and whoever may not register is not waited for at all. So each
//! snapshot is asked whether the horizon of a stream has moved since the last one; where it has, beyond where the reader is,
//! something is missing there. As every snapshot is asked, what a reader has read up to a cursor is all that there was.

use tokio_postgres::types::{PgLsn, ToSql};
use tokio_postgres::{Client, Statement};

use super::super::stream::position;
use super::super::{Position, Stream, Wanted, query};
use crate::datastore::DataStoreError;

/// A stream's horizon, as it was seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    pub stream: i32,
    pub at: Position,
}

impl Horizon {
    /// Returns the horizon of a stream.
    pub fn of(stream: &Stream) -> Horizon {
        Horizon { stream: stream.id, at: stream.horizon }
    }

    /// Takes note of where the horizon is now, in the snapshot that is read from. Returns false when a reader at `after` has
    /// missed something by that; who begins at the start gets what was `merged`.
    pub fn moved(&mut self, to: Position, after: Position, merged: bool) -> bool {
        if to <= self.at {
            return true;
        }
        self.at = to;
        if after == Position::START { merged } else { after >= to }
    }
}

/// The horizons of the streams that somebody reads.
pub struct Horizons {
    moved: Statement,
    known: Vec<Horizon>,
}

impl Horizons {
    /// Prepares to look. `known` are the horizons from before whoever reads has registered.
    ///
    /// # Errors
    /// What the server says.
    pub async fn prepare(client: &Client, known: Vec<Horizon>) -> Result<Horizons, DataStoreError> {
        let sql = "SELECT t.horizon_epoch, t.horizon_lsn, t.horizon_ordinal, t.id, t.merged FROM rejot_events.stream AS t \
                   JOIN unnest($1::integer[], $2::integer[], $3::pg_lsn[], $4::bigint[]) AS u (id, epoch, lsn, ordinal) \
                   ON u.id = t.id WHERE (t.horizon_epoch, t.horizon_lsn, t.horizon_ordinal) > (u.epoch, u.lsn, u.ordinal)";
        let moved = client.prepare(sql).await.map_err(query("look what is kept"))?;
        Ok(Horizons { moved, known })
    }

    /// Looks in the snapshot that is open whether all that is behind these positions is still there.
    ///
    /// # Errors
    /// What the server says.
    pub async fn hold(&mut self, client: &Client, wanted: &[Wanted]) -> Result<bool, DataStoreError> {
        let streams: Vec<i32> = self.known.iter().map(|one| one.stream).collect();
        let epochs: Vec<i32> = self.known.iter().map(|one| one.at.epoch).collect();
        let lsns: Vec<PgLsn> = self.known.iter().map(|one| PgLsn::from(one.at.commit_lsn.0)).collect();
        let ordinals: Vec<i64> = self.known.iter().map(|one| one.at.ordinal).collect();
        let parameters: [&(dyn ToSql + Sync); 4] = [&streams, &epochs, &lsns, &ordinals];
        let rows = client.query(&self.moved, &parameters).await.map_err(query("look what is kept"))?;
        let mut all = true;
        for row in rows {
            let (stream, merged): (i32, bool) = (row.get(3), row.get(4));
            let known = self.known.iter_mut().find(|one| one.stream == stream);
            let read = wanted.iter().find(|one| one.stream == stream);
            if let Some((known, read)) = known.zip(read) {
                all &= known.moved(position(&row, 0), read.after, merged);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn who_is_behind_a_horizon_that_moves_has_missed_something() {
        let at = |lsn: u64| Position { epoch: 1, commit_lsn: Lsn(lsn), ordinal: 0 };
        let mut horizon = Horizon { stream: 1, at: at(10) };
        // Inside of what was merged before it came.
        assert!(horizon.moved(at(10), at(5), true));
        assert!(horizon.moved(at(20), at(20), true));
        assert!(!horizon.moved(at(30), at(29), true));
        // It was told, and begins anew.
        assert!(horizon.moved(at(30), at(29), true));
        assert!(horizon.moved(at(40), Position::START, true));
        assert!(!horizon.moved(at(50), Position::START, false));
    }
}
