//! From the answer to COMMIT at the source to the row at the destination, one row a transaction, at a low rate.

use std::time::{Duration, Instant};

use super::report::{Line, Report};
use super::runs::{Sync, drop_slot, subscribe, unsubscribe, until};
use super::site::{Site, Way, connect, database, drop_database, run};
use super::work::{MARKER, Through, WIDE, rows_of_wide};

/// Between two rows; an odd number, so that no timer of a server keeps step with it.
const PAUSE: Duration = Duration::from_millis(23);

/// Writes rows at a low rate while a subscription, or we, follow.
pub async fn measure(site: &Site, report: &mut Report, rows: u64, rounds: usize) {
    eprintln!("latency: {rows} transactions");
    let name = site.name("src");
    let source = database(&site.source, &name, "template0").await;
    let client = connect(&source).await;
    run(&client, &format!("{WIDE}; {MARKER}; CREATE PUBLICATION p FOR ALL TABLES")).await;
    // What is not flushed is not sent, and an asynchronous commit is flushed when it suits the server.
    run(&client, "SET synchronous_commit = on").await;
    let ours = site.ways(&[Through::Table, Through::Rust]);
    let ways: Vec<Option<Way>> = std::iter::once(None).chain(ours.into_iter().map(Some)).collect();
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); ways.len()];
    for _ in 0..rounds {
        for (way, times) in ways.iter().zip(&mut times) {
            run(&client, "TRUNCATE public.wide, public.marker").await;
            let slot = site.name("slot");
            run(&client, &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
            let to = site.name("dst");
            let destination = database(&site.destination, &to, "template0").await;
            let at = connect(&destination).await;
            run(&at, &format!("{WIDE}; {MARKER}")).await;
            let mut sync = None;
            match way {
                None => subscribe(site, &slot, &name, &destination).await,
                Some(way) => {
                    let urls = [source.as_str(), destination.as_str()];
                    sync = Some(Sync::start(site, &slot, &["wide", "marker"], *way, false, urls));
                }
            }
            run(&client, "INSERT INTO public.marker VALUES (1)").await;
            until(&at, "SELECT EXISTS (SELECT FROM public.marker)", || {
                sync.iter_mut().for_each(Sync::must_run);
            })
            .await;
            times.extend(follow(&client, &at, rows).await);
            match sync {
                None => unsubscribe(&destination).await,
                Some(sync) => sync.end(),
            }
            drop_slot(&source, &slot).await;
            drop(at);
            drop_database(&site.destination, &to).await;
        }
    }
    drop(client);
    drop_database(&site.source, &name).await;
    for (share, goal_ms) in [(50, 1.0), (99, 5.0)] {
        let mut native = None;
        for (way, times) in ways.iter().zip(&mut times) {
            times.sort();
            let at = times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
            let what = format!("commit to visible, p{share}");
            let by = way.map_or("native subscription".to_owned(), Way::name);
            let line = Line::new(&what, &by, "ms", std::iter::once(at)).less_is_better();
            match native {
                None => native = Some(report.add(line)),
                Some(native) => _ = report.add(line.against_fixed(native, format!("{goal_ms} ms"), goal_ms)),
            }
        }
    }
}

/// Writes rows one by one, and returns how long each took to arrive.
pub async fn follow(source: &tokio_postgres::Client, destination: &tokio_postgres::Client, rows: u64) -> Vec<Duration> {
    let insert = source.prepare(&rows_of_wide("$1::bigint, $1::bigint")).await.expect("the insert");
    let look = "SELECT FROM public.wide WHERE id = $1";
    let look = destination.prepare(look).await.expect("the look-up");
    let mut times = Vec::new();
    for id in 1..=rows as i64 {
        source.execute(&insert, &[&id]).await.expect("a row is written");
        let begun = Instant::now();
        while destination.query_opt(&look, &[&id]).await.expect("a look").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "row {id} does not come");
        }
        times.push(begun.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    // The first ones find plans and caches cold.
    times.split_off(times.len() / 10)
}
