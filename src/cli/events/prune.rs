//! `pelton events prune`: removes what an event store is not to keep.

use std::time::Duration;

use serde_json::json;

use super::super::columns::{self, duration, size};
use super::super::report::Failure;
use super::store::database;
use super::{APPLICATION, Chosen};
use crate::datastore::DataStoreError;
use crate::eventstore::{self, KeptFor, Limits, Pruned, Segment};
use crate::manifest::{age_seconds, size_bytes};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,

    /// What ended longer ago goes, as 30d; units are s, min, h, d, w [default: `retention.maxAge` of the manifest]
    #[arg(long, value_name = "AGE", value_parser = age)]
    max_age: Option<Duration>,

    /// The oldest goes until the rest is that small, as 50GB [default: `retention.maxSize` of the manifest]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    max_size: Option<u64>,

    /// Keep nothing of what goes, not even the newest event of each key
    #[arg(long)]
    remove: bool,

    /// Let go what a consumer has not read, too: it stops, and says so
    #[arg(long)]
    force: bool,

    /// How long to wait for those who are reading, before a segment is dropped
    #[arg(long, value_name = "AGE", value_parser = age, default_value = "5s")]
    wait: Duration,

    /// Only show what there is
    #[arg(long)]
    dry_run: bool,

    /// Print JSON, for scripts
    #[arg(long)]
    json: bool,
}

fn age(text: &str) -> Result<Duration, &'static str> {
    age_seconds(text).map(Duration::from_secs).ok_or("write a number and its unit: s, min, h, d or w")
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    size_bytes(text).ok_or("write a number and its unit: kB, MB, GB or TB")
}

/// Does it.
///
/// # Errors
/// The manifest's problems, an event store that can't be reached, nothing that says what is to be kept.
pub async fn run(args: Args) -> Result<(), Failure> {
    let (database, retention) = database(&args.chosen)?;
    let mut client = database.connect(APPLICATION).await?;
    let failed = |error: DataStoreError| database.failed(&error, error.hint());
    if !eventstore::is_there(&client).await.map_err(failed)? {
        return Err(
            database.refused("there is no event store yet", "`pelton sync` makes it once it publishes something")
        );
    }
    let said = args.max_age.is_some() || args.max_size.is_some();
    let retention = retention.filter(|_| !said);
    let limits = Limits {
        max_age: args.max_age.or(retention.and_then(|kept| kept.max_age)),
        max_bytes: args.max_size.or(retention.and_then(|kept| kept.max_bytes)),
        compact: !args.remove && retention.is_none_or(|kept| kept.compact),
        force: args.force,
        settled: Duration::ZERO,
        patience: args.wait,
    };
    if !args.dry_run && limits.max_age.is_none() && limits.max_bytes.is_none() {
        let hint = "say --max-age or --max-size, or give the event store a `retention`; --dry-run shows what there is";
        return Err(database.refused("nothing says what is to be kept", hint));
    }
    let mut pruned = Pruned::default();
    if !args.dry_run {
        let stop = async {
            let _ = tokio::signal::ctrl_c().await;
        };
        let asked = std::sync::atomic::AtomicBool::new(false);
        let go_on = |so_far: &Pruned| {
            if so_far.events > 0 && so_far.events % 100_000 < 10_000 {
                tracing::info!(events = so_far.events, segments = so_far.dropped.len(), "removing");
            }
            !asked.load(std::sync::atomic::Ordering::Relaxed)
        };
        let pruning = eventstore::prune(&mut client, &limits, go_on);
        tokio::pin!(pruning);
        pruned = tokio::select! {
            pruned = &mut pruning => pruned,
            () = stop => {
                asked.store(true, std::sync::atomic::Ordering::Relaxed);
                pruning.await
            }
        }
        .map_err(failed)?;
    }
    let segments = eventstore::segments(&client).await.map_err(failed)?;
    if args.json {
        println!("{:#}", to_json(&pruned, &segments));
    } else {
        print(&args, &pruned, &segments);
    }
    if pruned.busy {
        let hint = "try again, with a longer --wait; it may be a long `pelton events export`, or a large transaction";
        let what = match &pruned.held_by {
            Some(holder) => format!("an old segment can't be dropped yet: it is waited for {holder}"),
            None => "somebody else removes events, or holds a lock that is needed for it".to_owned(),
        };
        return Err(database.refused(what, hint));
    }
    if let Some((segment, stream)) = pruned.taken_over {
        let what = format!("segment {segment} stays: ReJot's events of `{stream}` are still being taken over");
        let hint =
            "let `pelton sync` run until it has read what the source had when it began to; nothing is forced before";
        return Err(database.refused(what, hint));
    }
    match pruned.kept_for {
        Some((segment, KeptFor { manifest, consumer, cursor })) => {
            let what = format!(
                "segment {segment} stays: consumer `{consumer}` of manifest `{manifest}` has not read behind {cursor}"
            );
            Err(database.refused(
                what,
                format!("let it read on; if it is gone for good, `pelton events forget {manifest} '{consumer}'`; or --force, after which it stops"),
            ))
        }
        None => Ok(()),
    }
}

fn print(args: &Args, pruned: &Pruned, segments: &[Segment]) {
    if !args.dry_run {
        let (gone, events) = (pruned.dropped.len(), pruned.events);
        println!("Segments removed: {gone}; events merged or removed: {events}.");
    }
    let head = ["SEGMENT", "AGE", "ENDED", "SIZE", "EVENTS, ABOUT"].map(str::to_owned);
    let ago = |seconds: i64| duration(u64::try_from(seconds).unwrap_or(0) * 1000);
    let line = |segment: &Segment| {
        [
            segment.id.to_string(),
            ago(segment.age_seconds),
            segment.ended_seconds.map_or_else(|| "-".to_owned(), ago),
            size(segment.bytes),
            segment.events.to_string(),
        ]
    };
    columns::print(std::iter::once(head).chain(segments.iter().map(line)));
}

fn to_json(pruned: &Pruned, segments: &[Segment]) -> serde_json::Value {
    let segment = |segment: &Segment| {
        json!({
            "segment": segment.id,
            "ageSeconds": segment.age_seconds,
            "endedSeconds": segment.ended_seconds,
            "bytes": segment.bytes,
            "eventsEstimate": segment.events,
        })
    };
    let kept_for = pruned.kept_for.as_ref().map(|(segment, kept)| {
        json!({
            "segment": segment, "manifest": kept.manifest, "consumer": kept.consumer, "cursor": kept.cursor.to_string(),
        })
    });
    json!({
        "removedSegments": pruned.dropped,
        "events": pruned.events,
        "keptFor": kept_for,
        "segments": segments.iter().map(segment).collect::<Vec<_>>(),
    })
}
