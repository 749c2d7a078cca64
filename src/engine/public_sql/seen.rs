//! Whether the source shows what it has logged: a commit is in the log before it is visible.

use std::time::Duration;

use tokio_postgres::{Client, Statement};

use crate::change::{Batch, Phase, Span};
use crate::lsn::Lsn;

use super::super::backfill::{Commit, Sight, Snapshot};

/// How often is looked. A commit that waits for a standby may take long.
const POLL: Duration = Duration::from_millis(2);

/// What says which transactions a statement behind it will see. A standby may be promoted at any time, and says no more how
/// far it has replayed from then on.
const SEEN: &str = "SELECT standby, CASE WHEN standby THEN pg_catalog.pg_last_wal_replay_lsn()::text \
     ELSE pg_catalog.pg_current_snapshot()::text END FROM (SELECT pg_catalog.pg_is_in_recovery() AS standby OFFSET 0) AS s";

/// Asks the source, in the session that runs the statements.
pub(super) struct Seen(Statement);

/// Why it can't be said.
pub(super) enum Unseen {
    Query(tokio_postgres::Error),
    /// The answer is none.
    Answer,
}

impl Seen {
    pub(super) async fn prepare(client: &Client) -> Result<Seen, tokio_postgres::Error> {
        client.prepare(SEEN).await.map(Seen)
    }

    /// Waits until the source shows every transaction of the batch.
    pub(super) async fn wait(&self, client: &Client, source: &str, batch: &Batch) -> Result<(), Unseen> {
        let live = |span: &&Span| span.phase == Phase::Live && span.xid != 0 && span.count > 0;
        let commits: Vec<Commit> = batch.spans.iter().filter(live).map(Commit::from).collect();
        if commits.is_empty() {
            return Ok(());
        }
        let mut waited = Duration::ZERO;
        loop {
            let row = client.query_one(&self.0, &[]).await.map_err(Unseen::Query)?;
            let text: Option<String> = row.get(1);
            if shows(row.get(0), &text.unwrap_or_default(), &commits).ok_or(Unseen::Answer)? {
                return Ok(());
            }
            if waited.as_secs() == 0 && (waited + POLL).as_secs() == 1 {
                tracing::info!(source, "waiting until the source shows a transaction that it has logged");
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
    }
}

/// Tells whether all of these commits can be seen: by how far a standby has replayed, by the snapshot of any other server.
/// `None` where the text is neither.
fn shows(standby: bool, text: &str, commits: &[Commit]) -> Option<bool> {
    if standby {
        let replayed: Lsn = text.parse().ok()?;
        return Some(commits.iter().all(|commit| replayed >= commit.end_lsn));
    }
    let snapshot: Snapshot = text.parse().ok()?;
    Some(commits.iter().all(|commit| snapshot.sees(commit) == Sight::Seen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_as_what_it_is_now() {
        let commits = [Commit::from((10, 0x100, 0x130)), Commit::from((12, 0x200, 0x230))];
        for (standby, text, expected) in [
            (true, "0/230", Some(true)),
            (true, "0/22F", Some(false)),
            // It was promoted: where it stopped replaying says nothing of what was committed since.
            (false, "13:13:", Some(true)),
            (false, "12:13:12", Some(false)),
            (false, "10:10:", Some(false)),
            (true, "", None),
            (false, "0/230", None),
        ] {
            assert_eq!(shows(standby, text, &commits), expected, "{standby} {text}");
        }
    }
}
