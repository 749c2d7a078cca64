//! What is resident at most while one huge transaction goes through.

use std::time::Instant;

use super::report::{Line, Report};
use super::runs::{Sync, drop_slot, until};
use super::site::{Site, Way, connect, database, drop_database, run};
use super::work::{MARKER, WIDE, rows_of_wide};

/// Writes so many rows in one transaction, and looks at our process once they have arrived.
pub async fn measure(site: &Site, report: &mut Report, rows: u64, way: Way) {
    eprintln!("memory: one transaction of {rows} rows, {}", way.name());
    let (name, to, slot) = (site.name("src"), site.name("dst"), site.name("slot"));
    let source = database(&site.source, &name, "template0").await;
    let destination = database(&site.destination, &to, "template0").await;
    let (from, at) = (connect(&source).await, connect(&destination).await);
    for client in [&from, &at] {
        run(client, &format!("{WIDE}; {MARKER}")).await;
    }
    run(&from, "CREATE PUBLICATION p FOR ALL TABLES").await;
    run(&from, &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    run(&from, &rows_of_wide(&format!("1, {rows}"))).await;
    let begun = Instant::now();
    let mut sync = Sync::start(site, &slot, &["wide"], way, false, [source.as_str(), destination.as_str()]);
    let arrived = format!("SELECT EXISTS (SELECT FROM public.wide WHERE id = {rows})");
    until(&at, &arrived, || sync.must_run()).await;
    let took = begun.elapsed();
    let resident = sync.used().resident_kib as f64 / 1024.0;
    sync.end();
    eprintln!("  {resident:.0} MiB, {:.0} rows/s", rows as f64 / took.as_secs_f64());
    drop((from, at));
    drop_slot(&source, &slot).await;
    drop_database(&site.source, &name).await;
    drop_database(&site.destination, &to).await;
    let what = format!("resident, 1 × {rows} rows");
    let line = Line::new(&what, &way.name(), "MiB", std::iter::once(resident)).less_is_better();
    report.add(line.goal("150 MiB".to_owned(), 150.0));
}
