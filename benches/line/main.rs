//! The whole line beside what Postgres itself does of the same work, on the same servers, in one run:
//! `make bench`, or `cargo bench --bench line -- --quick`.
//!
//! Every figure of ours is a `pelton sync` in a process of its own, timed from its start to the moment at which the last
//! transaction of the backlog is visible at the destination; a native subscription is timed in the same way, from
//! `CREATE SUBSCRIPTION` on. Runs are interleaved (native, ours, native, ours, …), medians are printed, and a ratio is
//! that of medians of one run, for the machines that this runs on are noisy.

mod backlog;
mod events;
// Guests by hand, one for each encoding.
#[allow(dead_code)]
#[path = "../../src/wasm/tests/guest.rs"]
mod guest;
mod guests;
mod languages;
mod latency;
mod memory;
mod pipe;
mod report;
mod runs;
mod site;
mod work;

use std::path::PathBuf;

use clap::Parser;

use report::Report;
use site::Site;
use work::Through;

/// Measures the line beside a native subscription and COPY.
#[derive(Parser)]
struct Args {
    /// A tenth of the work and one round: shows that it runs, and roughly how
    #[arg(long)]
    quick: bool,
    /// Rows of a backlog [default: 500000, quick 100000]
    #[arg(long)]
    rows: Option<u64>,
    /// Rows of the one transaction whose memory is measured [default: 1000000, quick 200000]; the goal is stated for
    /// 5000000
    #[arg(long)]
    transaction_rows: Option<u64>,
    /// How often each measurement is repeated; medians are printed [default: 3, quick 1]
    #[arg(long)]
    rounds: Option<usize>,
    /// What to measure [default: all]
    #[arg(long, value_delimiter = ',', value_parser = ["stream", "single", "pgbench", "backfill", "latency", "memory", "guests", "languages", "events"])]
    only: Vec<String>,
    /// Measures this `pelton` too, in the same run: the one from before a change
    #[arg(long, value_name = "PROGRAM")]
    other: Option<PathBuf>,
    /// Where the JSON goes [default: target/bench.json]
    #[arg(long)]
    json: Option<PathBuf>,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let rows = args.rows.unwrap_or(if args.quick { 100_000 } else { 500_000 });
    let transaction_rows = args.transaction_rows.unwrap_or(if args.quick { 200_000 } else { 1_000_000 });
    let rounds = args.rounds.unwrap_or(if args.quick { 1 } else { 3 }).max(1);
    let wanted = |name: &str| args.only.is_empty() || args.only.iter().any(|only| only == name);

    let site = Site::start(args.other.clone()).await;
    let mut report = Report::new(&site, rows, transaction_rows, rounds);
    if wanted("stream") {
        backlog::measure(&site, &mut report, &work::stream(rows, 1_000), rounds).await;
    }
    if wanted("single") {
        backlog::measure(&site, &mut report, &work::stream(rows * 2 / 5, 1), rounds).await;
    }
    if wanted("pgbench") {
        backlog::measure(&site, &mut report, &work::pgbench(rows / 10), rounds).await;
    }
    if wanted("backfill") {
        pipe::measure(&site, &mut report, rows, rounds).await;
    }
    if wanted("latency") {
        latency::measure(&site, &mut report, if args.quick { 200 } else { 500 }, rounds).await;
    }
    if wanted("memory") {
        for way in site.ways(&[Through::Table, Through::Rust]) {
            memory::measure(&site, &mut report, transaction_rows, way).await;
        }
    }
    if wanted("events") {
        events::measure(&site, &mut report, rows, 1_000, rounds).await;
        events::measure(&site, &mut report, rows / 5, 1, rounds).await;
        events::latency(&site, &mut report, if args.quick { 200 } else { 500 }).await;
    }
    if wanted("languages") {
        languages::measure(&site, &mut report, rounds).await;
    }
    if wanted("guests") {
        guests::measure(&site, &mut report, rounds).await;
    }
    report.write(args.json.as_deref());
}
