//! Which buckets of a table differ, and how those are split until they hold little else than the rows that do.
//!
//! The first pass sorts the whole table into some ten thousand buckets. Where differing ones still hold many rows, both
//! ends sort those rows alone again, by more bits of the same digest, and so on. A pass costs each end a digest of every
//! row's key, and the wire a line a bucket; it saves the keys of the rows around the differing ones. So it ends when
//! there are about as many rows as buckets, or few, or when a pass has left most of them: then it is the rows that differ.
//!
//! Sums come in order from both ends and are compared as they come: what is kept in memory is the numbers of the buckets
//! that differ, and there are no more of those than a pass has buckets.

use std::cmp::Ordering;

use futures_util::{Stream, StreamExt, pin_mut};

use super::compare::{Buckets, DIGEST_BITS, Side, Sum};

/// How finely tables are compared, and what is too much. The defaults are right; tests set others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Into how many buckets the first pass sorts a table at most.
    pub buckets_max: u64,
    /// Into how many a later pass sorts what differs at most; 0: there is none.
    pub splits_max: u64,
    /// So many rows are fetched rather than split once more.
    pub rows_few: u64,
    /// More keys than this are not fetched of a table: then it is copied anew.
    pub keys_max: u64,
    /// More bytes of rows that differ are not fetched of all tables of a destination.
    pub bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { buckets_max: 1 << 16, splits_max: 1 << 20, rows_few: 10_000, keys_max: 500_000, bytes_max: 64 << 20 }
    }
}

/// Rows of a bucket that the first pass aims at.
const ROWS_PER_BUCKET: u64 = 16;
const BUCKETS_MIN: u64 = 64;
/// Into how many a bucket is split in one pass at most, as bits.
const SPLIT_BITS_MAX: u32 = 4;
/// Enough for more rows than a table can have.
const PASSES_MAX: u32 = 10;

/// The buckets that differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    pub buckets: Buckets,
    /// How many rows they have at both ends.
    pub rows: u64,
}

/// An end's server refused.
#[derive(Debug)]
pub enum Refused<E> {
    Source(E),
    Destination(E),
}

/// Finds the buckets that differ in a table of so many rows.
///
/// # Errors
/// What the servers say.
pub async fn narrow(
    source: &Side<'_>,
    destination: &Side<'_>,
    rows: u64,
    limits: &Limits,
) -> Result<Differing, Refused<tokio_postgres::Error>> {
    let mut found = pass(source, destination, first_bits(rows, limits), None).await?;
    for _ in 1..PASSES_MAX {
        let Some(bits) = split(&found, limits) else { break };
        let finer = pass(source, destination, bits, Some(&found.buckets)).await?;
        tracing::debug!(bits, buckets = finer.buckets.of.len(), rows = finer.rows, "split the buckets that differ");
        let most_are_left = finer.rows > found.rows / 4 * 3;
        found = finer;
        if most_are_left {
            break;
        }
    }
    Ok(found)
}

/// Sorts rows into buckets at both ends, at the same time.
async fn pass(
    source: &Side<'_>,
    destination: &Side<'_>,
    bits: u32,
    within: Option<&Buckets>,
) -> Result<Differing, Refused<tokio_postgres::Error>> {
    let (there, here) = tokio::join!(source.sums(bits, within), destination.sums(bits, within));
    differing(bits, there.map_err(Refused::Source)?, here.map_err(Refused::Destination)?).await
}

/// Returns how many bits of the digest the first pass takes.
fn first_bits(rows: u64, limits: &Limits) -> u32 {
    let most = limits.buckets_max.max(BUCKETS_MIN);
    (rows / ROWS_PER_BUCKET).clamp(BUCKETS_MIN, most).next_power_of_two().ilog2()
}

/// Returns by how many bits what differs is to be sorted once more; `None`: it is worth no pass, or would be too many.
fn split(found: &Differing, limits: &Limits) -> Option<u32> {
    let Differing { buckets, rows } = found;
    let count = buckets.of.len() as u64;
    // Two rows of each end: the one that differs, and hardly a neighbour.
    if *rows <= limits.rows_few || *rows <= count.saturating_mul(4) {
        return None;
    }
    let room = limits.splits_max.checked_div(count)?.checked_ilog2()?;
    let wanted = (rows / 2 / count).next_power_of_two().ilog2();
    let bits = wanted.min(room).min(SPLIT_BITS_MAX).min(DIGEST_BITS - buckets.bits);
    (bits > 0).then_some(buckets.bits + bits)
}

/// Returns the buckets whose sums differ, or that one end lacks.
async fn differing<E>(
    bits: u32,
    source: impl Stream<Item = Result<Sum, E>>,
    destination: impl Stream<Item = Result<Sum, E>>,
) -> Result<Differing, Refused<E>> {
    pin_mut!(source, destination);
    let mut found = Differing { buckets: Buckets { bits, of: Vec::new() }, rows: 0 };
    let mut there = source.next().await.transpose().map_err(Refused::Source)?;
    let mut here = destination.next().await.transpose().map_err(Refused::Destination)?;
    loop {
        let order = match (&there, &here) {
            (None, None) => return Ok(found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(there), Some(here)) => there.bucket.cmp(&here.bucket),
        };
        let at_source = there.filter(|_| order != Ordering::Greater);
        let at_destination = here.filter(|_| order != Ordering::Less);
        if at_source != at_destination {
            found.buckets.of.extend(at_source.or(at_destination).map(|sum| sum.bucket));
            found.rows += [at_source, at_destination].iter().flatten().map(|sum| sum.rows).sum::<u64>();
        }
        if at_source.is_some() {
            there = source.next().await.transpose().map_err(Refused::Source)?;
        }
        if at_destination.is_some() {
            here = destination.next().await.transpose().map_err(Refused::Destination)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    fn sums(of: &[(u64, u64, i128)]) -> impl Stream<Item = Result<Sum, Infallible>> {
        let sum = |&(bucket, rows, sum)| Ok(Sum { bucket, rows, halves: [sum, 2 * sum] });
        stream::iter(of.iter().map(sum).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn buckets_differ_by_what_they_hold_or_lack() {
        let source = [(1, 3, 7), (2, 2, 5), (4, 1, 1), (6, 1, 1)];
        let destination = [(1, 3, 7), (2, 2, 6), (3, 9, 0), (6, 1, 1), (8, 4, 1)];
        let found = differing(6, sums(&source), sums(&destination)).await.expect("both ends answer");
        assert_eq!(found, Differing { buckets: Buckets { bits: 6, of: vec![2, 3, 4, 8] }, rows: 2 + 2 + 9 + 1 + 4 });
        for of in [&source[..], &[]] {
            let found = differing(6, sums(of), sums(of)).await.expect("both ends answer");
            assert_eq!(found.rows, 0);
        }
        let found = differing(6, sums(&source), sums(&[])).await.expect("both ends answer");
        assert_eq!(found.buckets.of, [1, 2, 4, 6]);
    }

    #[test]
    fn the_first_pass_has_buckets_of_some_rows_up_to_a_bound() {
        let limits = Limits::default();
        assert_eq!([0, 1_000_000, u64::MAX].map(|rows| first_bits(rows, &limits)), [6, 16, 16]);
    }

    #[test]
    fn what_differs_is_split_until_there_are_about_as_many_rows_as_buckets() {
        let check = |bits: u32, buckets: usize, rows: u64, expected: Option<u32>| {
            let found = Differing { buckets: Buckets { bits, of: vec![0; buckets] }, rows };
            assert_eq!(split(&found, &Limits::default()), expected, "{buckets} buckets with {rows} rows");
        };
        check(16, 0, 0, None);
        check(16, 100, 9_000, None);
        check(16, 17_000, 2_600_000, Some(20));
        check(20, 19_000, 190_000, Some(23));
        check(23, 20_000, 60_000, None);
        // As far as there is room for the sums, and bits are left.
        check(16, 1 << 19, 1 << 25, Some(17));
        check(16, 1 << 20, 1 << 25, None);
        check(59, 100, 1_000_000, Some(60));
        check(60, 100, 1_000_000, None);
    }
}
