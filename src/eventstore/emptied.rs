//! What a truncate takes away, for readers that know deletes alone.

use tokio_postgres::Client;
use tokio_postgres::types::{PgLsn, ToSql};

use super::{Position, query};
use crate::datastore::DataStoreError;

/// Returns the keys, as JSON, of up to so many rows that a stream has in front of a position, as its events tell: those whose
/// last event since the truncate before is no delete, and that no update has given another key.
///
/// # Errors
/// What the server says.
pub async fn emptied(client: &Client, stream: i32, at: Position, most: i64) -> Result<Vec<String>, DataStoreError> {
    let sql = "WITH before AS MATERIALIZED (SELECT epoch, commit_lsn, ordinal, operation, key::jsonb AS key, \
               attributes::jsonb -> 'oldKey' AS old_key \
               FROM rejot_events.event WHERE stream_id = $1 AND (epoch, commit_lsn, ordinal) < ($2, $3, $4)), \
               since AS (SELECT epoch, commit_lsn, ordinal FROM before WHERE operation = 'truncate' \
               ORDER BY epoch DESC, commit_lsn DESC, ordinal DESC LIMIT 1), \
               told AS (SELECT * FROM before AS b WHERE NOT EXISTS (SELECT FROM since AS s \
               WHERE (b.epoch, b.commit_lsn, b.ordinal) <= (s.epoch, s.commit_lsn, s.ordinal))), \
               last AS (SELECT DISTINCT ON (key) * FROM (SELECT key, operation <> 'delete' AS is_there, epoch, commit_lsn, \
               ordinal FROM told WHERE key IS NOT NULL UNION ALL SELECT old_key, false, epoch, commit_lsn, ordinal FROM told \
               WHERE old_key IS NOT NULL) AS e ORDER BY key, epoch DESC, commit_lsn DESC, ordinal DESC) \
               SELECT key::text FROM last WHERE is_there ORDER BY epoch, commit_lsn, ordinal LIMIT $5";
    let lsn = PgLsn::from(at.commit_lsn.0);
    let parameters: [&(dyn ToSql + Sync); 5] = [&stream, &at.epoch, &lsn, &at.ordinal, &most];
    let rows = client.query(sql, &parameters).await.map_err(query("look for what was truncated"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
