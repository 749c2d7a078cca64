//! Rows that exist already: our backfill beside COPY piped into COPY.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, TryStreamExt};

use super::report::{Line, Report};
use super::runs::{Sync, drop_slot, until};
use super::site::{Site, Way, connect, database, drop_database, run};
use super::work::{MARKER, Through, WIDE, rows_of_wide};

/// Copies one table by each way, in turn.
pub async fn measure(site: &Site, report: &mut Report, rows: u64, rounds: usize) {
    eprintln!("backfill: {rows} rows");
    let name = site.name("src");
    let source = database(&site.source, &name, "template0").await;
    let client = connect(&source).await;
    let template = site.name("empty");
    let empty = connect(&database(&site.destination, &template, "template0").await).await;
    for client in [&client, &empty] {
        run(client, &format!("{WIDE}; {MARKER}")).await;
    }
    drop(empty);
    run(&client, "CREATE PUBLICATION p FOR ALL TABLES").await;
    run(&client, &rows_of_wide(&format!("1, {rows}"))).await;
    run(&client, "VACUUM ANALYZE public.wide").await;
    let ours = site.ways(&[Through::Table, Through::Rust]);
    let ways: Vec<Option<Way>> = std::iter::once(None).chain(ours.into_iter().map(Some)).collect();
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (way, rates) in ways.iter().zip(&mut rates) {
            let to = site.name("dst");
            let destination = database(&site.destination, &to, &template).await;
            let took = match way {
                None => pipe(&source, &destination).await,
                Some(way) => backfill(site, &source, &destination, *way).await,
            };
            let at = connect(&destination).await;
            let count: i64 = at.query_one("SELECT count(*) FROM public.wide", &[]).await.expect("a count").get(0);
            assert_eq!(count as u64, rows, "the rows that have come");
            drop(at);
            let rate = rows as f64 / took.as_secs_f64();
            eprintln!("  {:<22} {rate:>10.0} rows/s", way.map_or("COPY into COPY".to_owned(), Way::name));
            rates.push(rate);
            drop_database(&site.destination, &to).await;
        }
    }
    drop(client);
    drop_database(&site.source, &name).await;
    drop_database(&site.destination, &template).await;

    let copy = report.add(Line::new("backfill", "COPY into COPY", "rows/s", rates[0].iter().copied()));
    for (way, rates) in ways.iter().zip(&rates).skip(1) {
        let line = Line::new("backfill", &way.expect("ours").name(), "rows/s", rates.iter().copied());
        report.add(line.against(copy, "0.9 × COPY".to_owned(), 0.9));
    }
}

/// What `psql` piped into `psql` does, without the pipe.
async fn pipe(source: &str, destination: &str) -> Duration {
    let (from, to) = (connect(source).await, connect(destination).await);
    let begun = Instant::now();
    let rows = from.copy_out("COPY public.wide TO STDOUT").await.expect("COPY out begins");
    let into = to.copy_in("COPY public.wide FROM STDIN").await.expect("COPY in begins");
    let (mut rows, mut into) = (std::pin::pin!(rows), std::pin::pin!(into));
    // A message a row; psql's buffers make pieces of them, and so do these.
    let mut piece = bytes::BytesMut::new();
    while let Some(row) = rows.try_next().await.expect("COPY out goes on") {
        piece.extend_from_slice(&row);
        if piece.len() >= 64 << 10 {
            into.send(piece.split().freeze()).await.expect("COPY in goes on");
        }
    }
    into.send(piece.freeze()).await.expect("COPY in goes on");
    into.finish().await.expect("COPY in ends");
    begun.elapsed()
}

async fn backfill(site: &Site, source: &str, destination: &str, way: Way) -> Duration {
    let slot = site.name("slot");
    let client = connect(destination).await;
    let begun = Instant::now();
    let mut sync = Sync::start(site, &slot, &["wide"], way, true, [source, destination]);
    // The table comes into being with the first rows; the query fails before.
    let done = "SELECT count(*) > 0 AND bool_and(backfill IS NULL) FROM rejot_data_store.flow";
    let took = until(&client, done, || sync.must_run()).await - begun;
    sync.end();
    drop_slot(source, &slot).await;
    took
}
