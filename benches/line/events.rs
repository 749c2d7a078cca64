//! By way of an event store: publishing beside the direct flow, consuming, several consumers at once, and from commit to
//! visible.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::latency::follow;
use super::report::{Line, Report};
use super::runs::{Sync, drop_slot, until};
use super::site::{Site, Way, connect, database, drop_database, run};
use super::work::{self, MARKER, Through, WIDE};

/// What a run writes to: `direct` has no event store between its source and its destination.
enum Part {
    Direct,
    Publish,
    Consume { consumers: usize },
    Whole,
}

/// Writes a manifest of one part of the line.
fn manifest(slot: &str, part: &Part) -> String {
    let mut text = "slug: bench
manifestVersion: 0
connections:
  - { slug: source, config: { connectionType: postgres, url: \"${SOURCE_URL}\" } }
  - { slug: events, config: { connectionType: postgres, url: \"${EVENTS_URL}\" } }
  - { slug: warehouse, config: { connectionType: postgres, url: \"${WAREHOUSE_URL}\" } }
dataStores:
"
    .to_owned();
    writeln!(
        text,
        "  - connectionSlug: source\n    config: {{ connectionType: postgres, slotName: {slot}, publicationName: p, \
         allTables: true }}\n  - connectionSlug: warehouse"
    )
    .expect("writing to a String");
    if !matches!(part, Part::Direct) {
        text.push_str("eventStores:\n  - connectionSlug: events\n");
    }
    let publishes = !matches!(part, Part::Consume { .. });
    text.push_str(if publishes { "publicSchemas:\n" } else { "publicSchemas: []\n" });
    for table in ["wide", "marker"].iter().filter(|_| publishes) {
        writeln!(
            text,
            "  - name: {table}\n    version: {{ major: 1, minor: 0 }}\n    source: {{ dataStoreSlug: source }}\n    \
             config: {{ publicSchemaType: table, table: public.{table} }}"
        )
        .expect("writing to a String");
    }
    let (consumers, backfill) = match part {
        Part::Publish => (0, false),
        Part::Consume { consumers } => (*consumers, true),
        Part::Direct | Part::Whole => (1, false),
    };
    text.push_str(if consumers == 0 { "consumerSchemas: []\n" } else { "consumerSchemas:\n" });
    for number in 0..consumers {
        for table in ["wide", "marker"] {
            let suffix = if number == 0 { String::new() } else { number.to_string() };
            writeln!(
                text,
                "  - name: {table}{suffix}-there\n    sourceManifestSlug: bench\n    \
                 publicSchema: {{ name: {table}, majorVersion: 1 }}\n    config: {{ consumerSchemaType: table, \
                 destinationDataStoreSlug: warehouse, table: public.{table}{suffix}, createTable: true, backfill: {backfill} }}"
            )
            .expect("writing to a String");
        }
    }
    text
}

/// How a backlog of `rows` goes through an event store, `per` of them in a transaction.
pub async fn measure(site: &Site, report: &mut Report, rows: u64, per: u64, rounds: usize) {
    let work = work::stream(rows, per);
    eprintln!("by way of an event store, {}: {} {}", work.name, work.count, work.unit);
    let name = site.name("src");
    let source = database(&site.source, &name, "template0").await;
    let client = connect(&source).await;
    run(&client, &work.ddl).await;
    run(&client, "CREATE PUBLICATION p FOR ALL TABLES").await;
    let slots: Vec<[String; 2]> = (0..rounds).map(|_| [site.name("slot"), site.name("slot")]).collect();
    for slot in slots.iter().flatten() {
        run(&client, &format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    }
    run(&client, &work.fill).await;
    run(&client, "INSERT INTO public.marker VALUES (1)").await;
    let mut rates: [Vec<f64>; 4] = Default::default();
    let rate = |took: Duration| work.count as f64 / took.as_secs_f64();
    for [direct, published] in &slots {
        let to = Ends::new(site, &source, 1).await;
        rates[0].push(rate(to.time(site, direct, &Part::Direct, "warehouse").await));
        to.drop(site).await;
        drop_slot(&source, direct).await;
        let to = Ends::new(site, &source, 4).await;
        rates[1].push(rate(to.time(site, published, &Part::Publish, "events").await));
        drop_slot(&source, published).await;
        rates[2].push(rate(to.time(site, "none", &Part::Consume { consumers: 1 }, "warehouse").await));
        let again = connect(&to.warehouse).await;
        run(&again, "TRUNCATE public.wide, public.marker; DELETE FROM rejot_data_store.consumer").await;
        rates[3].push(rate(to.time(site, "none", &Part::Consume { consumers: 4 }, "warehouse").await));
        drop(again);
        to.drop(site).await;
    }
    drop(client);
    drop_database(&site.source, &name).await;
    let unit = format!("{}/s", work.unit);
    let line = |what: &str, values: &[f64]| Line::new(&work.name, what, &unit, values.iter().copied());
    let direct = report.add(line("direct", &rates[0]));
    report.add(line("publish", &rates[1]).against(direct, "0.8 × direct".to_owned(), 0.8));
    let consume = line("consume", &rates[2]);
    let consume = if per > 1 { consume.goal("150 k/s".to_owned(), 150_000.0) } else { consume };
    report.add(consume);
    report.add(line("4 consumers, each", &rates[3]));
}

/// From the answer to COMMIT at the source to the row at the destination, through the event store.
pub async fn latency(site: &Site, report: &mut Report, rows: u64) {
    eprintln!("by way of an event store, latency: {rows} transactions");
    let name = site.name("src");
    let source = database(&site.source, &name, "template0").await;
    let client = connect(&source).await;
    run(&client, &format!("{WIDE}; {MARKER}; CREATE PUBLICATION p FOR ALL TABLES")).await;
    run(&client, "SET synchronous_commit = on").await;
    let slot = site.name("slot");
    let to = Ends::new(site, &source, 1).await;
    let mut sync = to.start(site, &slot, &Part::Whole);
    let at = connect(&to.warehouse).await;
    let mut number = 0;
    // Its consumers begin with what is published from then on, so something must come for as long as they begin.
    loop {
        number += 1;
        run(&client, &format!("INSERT INTO public.marker VALUES ({number})")).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        sync.must_run();
        if at.query_one("SELECT EXISTS (SELECT FROM public.marker)", &[]).await.is_ok_and(|row| row.get(0)) {
            break;
        }
    }
    let mut times = follow(&client, &at, rows).await;
    sync.end();
    drop_slot(&source, &slot).await;
    drop(at);
    to.drop(site).await;
    drop(client);
    drop_database(&site.source, &name).await;
    times.sort();
    for (share, goal) in [(50, Some(5.0)), (99, None)] {
        let at = times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
        let what = format!("commit to visible, p{share}");
        let line = Line::new(&what, "event store", "ms", std::iter::once(at)).less_is_better();
        report.add(match goal {
            Some(goal) => line.goal(format!("{goal} ms"), goal),
            None => line,
        });
    }
}

/// The databases of a run.
struct Ends {
    source: String,
    events: String,
    warehouse: String,
    names: [String; 2],
}

impl Ends {
    /// Makes them, with tables for so many consumers.
    async fn new(site: &Site, source: &str, consumers: usize) -> Ends {
        let names = [site.name("events"), site.name("dst")];
        let events = database(&site.destination, &names[0], "template0").await;
        let warehouse = database(&site.destination, &names[1], "template0").await;
        let client = connect(&warehouse).await;
        run(&client, &format!("{WIDE}; {MARKER}")).await;
        for number in 1..consumers {
            let like = "CREATE TABLE public";
            run(&client, &format!("{like}.wide{number} (LIKE public.wide INCLUDING ALL)")).await;
            run(&client, &format!("{like}.marker{number} (LIKE public.marker INCLUDING ALL)")).await;
        }
        Ends { source: source.to_owned(), events, warehouse, names }
    }

    fn start(&self, site: &Site, slot: &str, part: &Part) -> Sync {
        let urls = [("SOURCE_URL", &*self.source), ("EVENTS_URL", &self.events), ("WAREHOUSE_URL", &self.warehouse)];
        let way = Way { through: Through::Table, other: false };
        Sync::with_manifest(site, &site.name(slot), &manifest(slot, part), way, &urls)
    }

    /// Returns how long it takes from the start of the process until the last transaction has arrived everywhere.
    async fn time(&self, site: &Site, slot: &str, part: &Part, at: &str) -> Duration {
        let client = connect(if at == "events" { &self.events } else { &self.warehouse }).await;
        let arrived = match part {
            Part::Publish => "SELECT EXISTS (SELECT FROM rejot_events.events WHERE public_schema_name = 'marker')",
            Part::Consume { consumers: 4 } => {
                "SELECT EXISTS (SELECT FROM public.marker) AND EXISTS (SELECT FROM public.marker1) \
                 AND EXISTS (SELECT FROM public.marker2) AND EXISTS (SELECT FROM public.marker3)"
            }
            _ => "SELECT EXISTS (SELECT FROM public.marker)",
        };
        let begun = Instant::now();
        let mut sync = self.start(site, slot, part);
        let took = until(&client, arrived, || sync.must_run()).await - begun;
        sync.end();
        eprintln!("  {slot:<10} {took:?}");
        took
    }

    async fn drop(self, site: &Site) {
        for name in &self.names {
            drop_database(&site.destination, name).await;
        }
    }
}
