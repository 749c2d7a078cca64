//! A backlog in the source's log: how long each takes until its last transaction is visible.

use std::time::{Duration, Instant};

use super::report::{Line, Report};
use super::runs::{Sync, drop_slot, subscribe, unsubscribe, until};
use super::site::{Site, Way, connect, database, drop_database, run};
use super::work::Work;

/// A run: native where there is nothing to go through.
struct Run {
    way: Option<Way>,
    slot: String,
    took: Duration,
    cpu: Duration,
}

/// Writes the backlog once, with a slot for each run, and replays it.
pub async fn measure(site: &Site, report: &mut Report, work: &Work, rounds: usize) {
    eprintln!("{}: {} {}", work.name, work.count, work.unit);
    let name = site.name("src");
    let source = database(&site.source, &name, "template0").await;
    let client = connect(&source).await;
    let template = site.name("empty");
    let made = database(&site.destination, &template, "template0").await;
    let empty = connect(&made).await;
    for client in [&client, &empty] {
        run(client, &work.ddl).await;
        run(client, &work.before).await;
    }
    drop(empty);
    run(&client, "CREATE PUBLICATION p FOR ALL TABLES").await;
    let mut runs = Vec::new();
    for _ in 0..rounds {
        for way in std::iter::once(None).chain(site.ways(work.through).into_iter().map(Some)) {
            let slot = site.name("slot");
            run(&client, &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
            runs.push(Run { way, slot, took: Duration::ZERO, cpu: Duration::ZERO });
        }
    }
    run(&client, &work.fill).await;
    run(&client, "INSERT INTO public.marker VALUES (1)").await;
    let expected: String = client.query_one(work.sum, &[]).await.expect("the sum").get(0);
    for one in &mut runs {
        replay(site, work, &source, &name, &template, one, &expected).await;
        drop_slot(&source, &one.slot).await;
    }
    drop(client);
    drop_database(&site.source, &name).await;
    drop_database(&site.destination, &template).await;

    let of = |way: Option<Way>| runs.iter().filter(move |run| run.way == way);
    let rate = |run: &Run| work.count as f64 / run.took.as_secs_f64();
    let unit = format!("{}/s", work.unit);
    let native = report.add(Line::new(&work.name, "native subscription", &unit, of(None).map(rate)));
    for way in site.ways(work.through) {
        let line = Line::new(&work.name, &way.name(), &unit, of(Some(way)).map(rate));
        // What the design asks for holds for guests; without one it must be reached all the more.
        let line = line.against(native, format!("{} × native", work.goal), work.goal);
        report.add(line.cpu(of(Some(way)).map(|run| run.cpu.as_secs_f64() * 1e6 / work.count as f64)));
    }
}

async fn replay(site: &Site, work: &Work, source: &str, name: &str, template: &str, one: &mut Run, expected: &str) {
    let database_name = site.name("dst");
    let destination = database(&site.destination, &database_name, template).await;
    let client = connect(&destination).await;
    let arrived = "SELECT EXISTS (SELECT FROM public.marker WHERE n = 1)";
    let begun = Instant::now();
    match one.way {
        None => {
            subscribe(site, &one.slot, name, &destination).await;
            one.took = until(&client, arrived, || {}).await - begun;
            unsubscribe(&destination).await;
        }
        Some(way) => {
            let mut sync = Sync::start(site, &one.slot, work.tables, way, false, [source, destination.as_str()]);
            one.took = until(&client, arrived, || sync.must_run()).await - begun;
            one.cpu = sync.used().cpu;
            sync.end();
        }
    }
    let sum: String = client.query_one(work.sum, &[]).await.expect("the sum").get(0);
    assert_eq!(sum, expected, "{} through {:?}: the tables differ", work.name, one.way);
    let by = one.way.map_or("native".to_owned(), Way::name);
    eprintln!("  {by:<22} {:>10.0} {}/s", work.count as f64 / one.took.as_secs_f64(), work.unit);
    drop(client);
    drop_database(&site.destination, &database_name).await;
}
