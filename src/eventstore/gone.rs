//! Whether everything behind the positions of a reader is still there, for readers that nobody here keeps anything for.

use tokio_postgres::Client;
use tokio_postgres::types::PgLsn;

use super::stream::position;
use super::{Position, Wanted, query};
use crate::datastore::DataStoreError;

/// A stream of which events behind a reader's position have been removed or merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    pub stream: i32,
    /// Up to there.
    pub horizon: Position,
    /// All of them were merged: who begins at the start gets every row.
    pub merged: bool,
}

/// Returns the streams of which events behind one of these positions are gone, as the present snapshot shows it.
///
/// # Errors
/// What the server says.
pub async fn gone(client: &Client, wanted: &[Wanted]) -> Result<Vec<Gone>, DataStoreError> {
    let streams: Vec<i32> = wanted.iter().map(|one| one.stream).collect();
    let epochs: Vec<i32> = wanted.iter().map(|one| one.after.epoch).collect();
    let lsns: Vec<PgLsn> = wanted.iter().map(|one| PgLsn::from(one.after.commit_lsn.0)).collect();
    let ordinals: Vec<i64> = wanted.iter().map(|one| one.after.ordinal).collect();
    let sql = "SELECT t.horizon_epoch, t.horizon_lsn, t.horizon_ordinal, t.id, t.merged FROM rejot_events.stream AS t \
               JOIN unnest($1::integer[], $2::integer[], $3::pg_lsn[], $4::bigint[]) AS u (id, epoch, commit_lsn, ordinal) \
               ON u.id = t.id AND (u.epoch, u.commit_lsn, u.ordinal) \
               < (t.horizon_epoch, t.horizon_lsn, t.horizon_ordinal)";
    let rows = client.query(sql, &[&streams, &epochs, &lsns, &ordinals]).await.map_err(query("look what is kept"))?;
    let gone = |row: &tokio_postgres::Row| Gone { stream: row.get(3), horizon: position(row, 0), merged: row.get(4) };
    Ok(rows.iter().map(gone).collect())
}
