//! Which segments go, and that they do.

use std::time::Duration;

use tokio_postgres::Client;

use super::super::stream::position;
use super::super::{Position, query, rejot};
use super::LOCK;
use super::merge::{self, Merge};
use super::segment::{Holder, Segment, close, drop_segment, holder, roll, segments};
use crate::datastore::DataStoreError;

pub use super::merge::KeptFor;

/// A segment ends at this part of what is kept, so that what goes is about that much.
const PARTS: u32 = 8;

/// Readers look into every segment.
const SEGMENTS_MAX: usize = 32;

/// What is to be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of a segment, since it ended.
    pub max_age: Option<Duration>,
    /// Of all segments, with their indexes, but for what was merged.
    pub max_bytes: Option<u64>,
    /// Keep the newest event of each key.
    pub compact: bool,
    /// Remove what a registered consumer has not read, too.
    pub force: bool,
    /// A segment that ended later than that is left: publishers may not have heard of it.
    pub settled: Duration,
    /// How long those who use the log are waited for before a segment is dropped; nobody waits for that meanwhile.
    pub patience: Duration,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Another segment has begun.
    pub begun: Option<i32>,
    /// Segments that are gone.
    pub dropped: Vec<i32>,
    /// Events that were merged, or removed one by one.
    pub events: u64,
    /// Who holds the oldest segment that should go.
    pub kept_for: Option<(i32, KeptFor)>,
    /// A stream of ReJot's whose takeover still needs the oldest segment that should go.
    pub taken_over: Option<(i32, String)>,
    /// Somebody who reads or appends held a lock for too long, or another process prunes.
    pub busy: bool,
    /// Who it is, where it is somebody.
    pub held_by: Option<Holder>,
    /// It was waited for somebody, in vain.
    pub waited: bool,
}

impl Limits {
    fn ends(&self, segment: &Segment) -> bool {
        let old = self.max_age.is_some_and(|max| segment.age_seconds.max(0) as u64 >= max.as_secs() / u64::from(PARTS));
        old || self.max_bytes.is_some_and(|max| segment.bytes > max / u64::from(PARTS))
    }

    /// Returns the segments that should go, the oldest first.
    fn surplus(&self, segments: &[Segment]) -> Vec<i32> {
        let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let mut surplus = Vec::new();
        for segment in segments {
            // The clock may have been set back.
            let Some(ended) = segment.ended_seconds.map(|ended| ended.max(0) as u64) else { break };
            let old = self.max_age.is_some_and(|max| ended >= max.as_secs());
            if ended < self.settled.as_secs() || !old && self.max_bytes.is_none_or(|max| bytes <= max) {
                break;
            }
            bytes -= segment.bytes;
            surplus.push(segment.id);
        }
        surplus
    }
}

/// Removes what is not to be kept. `told` hears how far it is, and says whether to go on.
///
/// # Errors
/// What the server says. What was done until then stays done.
pub async fn prune(
    client: &mut Client,
    limits: &Limits,
    mut told: impl FnMut(&Pruned) -> bool,
) -> Result<Pruned, DataStoreError> {
    let mut pruned = Pruned::default();
    let lock = client.query_one("SELECT pg_catalog.pg_try_advisory_lock($1)", &[&LOCK]).await;
    if !lock.map_err(query("ask for the lock of those who remove events"))?.get::<_, bool>(0) {
        pruned.busy = true;
        return Ok(pruned);
    }
    let ended = all(client, limits, &mut pruned, &mut told).await;
    // The session may be gone with its lock.
    let _ = client.query_one("SELECT pg_catalog.pg_advisory_unlock($1)", &[&LOCK]).await;
    match ended {
        Err(error) if error.is_lock_timeout() => {
            (pruned.busy, pruned.waited) = (true, true);
            pruned.held_by = holder(client).await?;
            Ok(pruned)
        }
        ended => ended.map(|()| pruned),
    }
}

async fn all(
    client: &mut Client,
    limits: &Limits,
    pruned: &mut Pruned,
    told: &mut impl FnMut(&Pruned) -> bool,
) -> Result<(), DataStoreError> {
    let all = segments(client).await?;
    // Where somebody holds the oldest, the newest grows.
    if let Some(newest) = all.last().filter(|_| all.len() < SEGMENTS_MAX)
        && limits.ends(newest)
        && has_events(client, newest.id).await?
    {
        pruned.begun = Some(roll(client).await?);
    }
    for id in limits.surplus(&segments(client).await?) {
        if let Some(stream) = rejot::being_taken_over(client, id).await? {
            pruned.taken_over = Some((id, stream));
            return Ok(());
        }
        for (stream, keyed, upto) in last_of(client, id).await? {
            let mut merge = Merge { stream, upto, keep: limits.compact && keyed, force: limits.force, look: 1_000 };
            loop {
                match merge::step(client, &merge).await? {
                    Ok(None) => break,
                    Ok(Some(step)) => {
                        pruned.events += step.events;
                        merge.adapt(step.events);
                    }
                    // The others wait for it: what is kept of a source has no holes.
                    Err(kept_for) => {
                        pruned.kept_for = Some((id, kept_for));
                        return Ok(());
                    }
                }
                if !told(pruned) {
                    return Ok(());
                }
            }
        }
        if !close(client, id).await? {
            return Ok(());
        }
        drop_segment(client, id, limits.patience).await?;
        pruned.dropped.push(id);
        if !told(pruned) {
            return Ok(());
        }
    }
    Ok(())
}

async fn has_events(client: &Client, segment: i32) -> Result<bool, DataStoreError> {
    let sql = format!("SELECT EXISTS (SELECT FROM rejot_events.event_{segment})");
    client.query_one(&sql, &[]).await.map(|row| row.get(0)).map_err(query("look into a segment"))
}

/// Returns the streams that have events in a segment: whether they can be merged, and the last event.
///
/// What has no key can't, and neither what had another key before, or a column that was jsonb and is not: it is spelt
/// otherwise in an object; and ReJot spelt much of it otherwise.
async fn last_of(client: &Client, segment: i32) -> Result<Vec<(i32, bool, Position)>, DataStoreError> {
    let sql = format!(
        "SELECT l.epoch, l.commit_lsn, l.ordinal, t.id, (SELECT count(DISTINCT k.key) = 1 AND bool_and(k.key IS NOT NULL) \
         FROM (SELECT (SELECT jsonb_agg(c ->> 'name' ORDER BY c ->> 'name') FROM jsonb_array_elements(s.columns) AS c \
         WHERE (c -> 'key')::boolean) AS key FROM rejot_events.shape AS s WHERE s.stream_id = t.id) AS k) \
         AND NOT EXISTS (SELECT FROM rejot_events.shape AS s, jsonb_array_elements(s.columns) AS c \
         WHERE s.stream_id = t.id GROUP BY c ->> 'name' HAVING count(DISTINCT c ->> 'type' = 'jsonb') > 1) \
         AND NOT EXISTS (SELECT FROM rejot_events.shape AS s WHERE s.stream_id = t.id AND s.attrs @> '[[\"rejot\"]]') \
         FROM rejot_events.stream AS t CROSS JOIN LATERAL (SELECT epoch, commit_lsn, ordinal \
         FROM rejot_events.event_{segment} WHERE stream_id = t.id \
         ORDER BY stream_id DESC, epoch DESC, commit_lsn DESC, ordinal DESC LIMIT 1) AS l ORDER BY t.id"
    );
    let rows = client.query(&sql, &[]).await.map_err(query("look into a segment"))?;
    Ok(rows.iter().map(|row| (row.get(3), row.get(4), position(row, 0))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(id: i32, ended_seconds: Option<i64>, bytes: u64) -> Segment {
        Segment { id, age_seconds: ended_seconds.unwrap_or(0) + 100, ended_seconds, bytes, events: 1 }
    }

    #[test]
    fn the_oldest_go_as_far_as_age_or_size_ask() {
        let all =
            [segment(1, Some(300), 10), segment(2, Some(200), 10), segment(3, Some(100), 10), segment(4, None, 10)];
        let surplus = |age: Option<u64>, bytes: Option<u64>| {
            let max_age = age.map(Duration::from_secs);
            Limits { max_age, max_bytes: bytes, ..Limits::default() }.surplus(&all)
        };
        assert_eq!(surplus(None, None), [0; 0]);
        assert_eq!(surplus(Some(200), None), [1, 2]);
        assert_eq!(surplus(Some(301), None), [0; 0]);
        assert_eq!(surplus(None, Some(40)), [0; 0]);
        assert_eq!(surplus(None, Some(39)), [1]);
        assert_eq!(surplus(Some(300), Some(25)), [1, 2]);
        // What is appended to never goes.
        assert_eq!(surplus(Some(0), Some(0)), [1, 2, 3]);
        let settled = Limits { max_age: Some(Duration::ZERO), settled: Duration::from_secs(150), ..Limits::default() };
        assert_eq!(settled.surplus(&all), [1, 2]);
    }

    #[test]
    fn a_segment_ends_at_a_part_of_what_is_kept() {
        let limits = Limits { max_age: Some(Duration::from_secs(800)), max_bytes: Some(800), ..Limits::default() };
        assert!(!limits.ends(&Segment { age_seconds: 99, ..segment(1, None, 100) }));
        assert!(limits.ends(&Segment { age_seconds: 100, ..segment(1, None, 0) }));
        assert!(limits.ends(&Segment { age_seconds: 0, ..segment(1, None, 101) }));
        assert!(!Limits::default().ends(&segment(1, None, u64::MAX)));
    }
}
