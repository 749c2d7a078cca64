//! By way of an event store: publishing beside the direct flow, consuming, several consumers at once, mirroring, and from
//! commit to visible.

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
    Mirror,
    Whole,
}

const WAY: Way = Way { through: Through::Table, other: false };

/// Writes a manifest of one part of the line.
fn manifest(slot: &str, part: &Part) -> String {
    let publishes = !matches!(part, Part::Consume { .. } | Part::Mirror);
    let mut text = format!("slug: {}\n", if publishes { "bench" } else { "elsewhere" });
    text.push_str(
        "manifestVersion: 0
connections:
  - { slug: source, config: { connectionType: postgres, url: \"${SOURCE_URL}\" } }
  - { slug: events, config: { connectionType: postgres, url: \"${EVENTS_URL}\" } }
  - { slug: warehouse, config: { connectionType: postgres, url: \"${WAREHOUSE_URL}\" } }
  - { slug: mirror, config: { connectionType: postgres, url: \"${MIRROR_URL}\" } }
dataStores:
",
    );
    writeln!(
        text,
        "  - connectionSlug: source\n    config: {{ connectionType: postgres, slotName: {slot}, publicationName: p, \
         allTables: true }}\n  - connectionSlug: warehouse"
    )
    .expect("writing to a String");
    if !matches!(part, Part::Direct) {
        text.push_str("eventStores:\n  - connectionSlug: events\n");
    }
    if matches!(part, Part::Mirror) {
        text.push_str("  - { connectionSlug: mirror, mirrorOf: events }\n");
    }
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
        Part::Publish | Part::Mirror => (0, false),
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
    let mut stores = Vec::new();
    for [direct, published] in &slots {
        run(&client, &format!("SELECT pg_create_logical_replication_slot('{direct}', 'pgoutput')")).await;
        // It publishes empty tables, so that nothing but the backlog is left.
        let to = Ends::new(site, &source, 4).await;
        Sync::once(site, &site.name(published), &manifest(published, &Part::Publish), WAY, &to.urls());
        stores.push(to);
    }
    run(&client, &work.fill).await;
    run(&client, "INSERT INTO public.marker VALUES (1)").await;
    let mut rates: [Vec<f64>; 5] = Default::default();
    let rate = |took: Duration| work.count as f64 / took.as_secs_f64();
    for ([direct, published], store) in slots.iter().zip(stores) {
        let to = Ends::new(site, &source, 1).await;
        rates[0].push(rate(to.time(site, direct, &Part::Direct, "warehouse", work.count).await));
        to.drop(site).await;
        drop_slot(&source, direct).await;
        let to = store;
        rates[1].push(rate(to.time(site, published, &Part::Publish, "events", work.count).await));
        drop_slot(&source, published).await;
        rates[2].push(rate(to.time(site, "none", &Part::Consume { consumers: 1 }, "warehouse", work.count).await));
        let again = connect(&to.warehouse).await;
        run(&again, "TRUNCATE public.wide, public.marker; DELETE FROM rejot_data_store.consumer").await;
        rates[3].push(rate(to.time(site, "none", &Part::Consume { consumers: 4 }, "warehouse", work.count).await));
        drop(again);
        rates[4].push(rate(to.time(site, "none", &Part::Mirror, "mirror", work.count).await));
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
    report.add(line("mirror", &rates[4]));
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
    mirror: String,
    names: [String; 3],
}

impl Ends {
    /// Makes them, with tables for so many consumers.
    async fn new(site: &Site, source: &str, consumers: usize) -> Ends {
        let names = [site.name("events"), site.name("dst"), site.name("mirror")];
        let events = database(&site.destination, &names[0], "template0").await;
        let warehouse = database(&site.destination, &names[1], "template0").await;
        let mirror = database(&site.destination, &names[2], "template0").await;
        let client = connect(&warehouse).await;
        run(&client, &format!("{WIDE}; {MARKER}")).await;
        for number in 1..consumers {
            let like = "CREATE TABLE public";
            run(&client, &format!("{like}.wide{number} (LIKE public.wide INCLUDING ALL)")).await;
            run(&client, &format!("{like}.marker{number} (LIKE public.marker INCLUDING ALL)")).await;
        }
        Ends { source: source.to_owned(), events, warehouse, mirror, names }
    }

    fn urls(&self) -> [(&str, &str); 4] {
        [
            ("SOURCE_URL", &*self.source),
            ("EVENTS_URL", &self.events),
            ("WAREHOUSE_URL", &self.warehouse),
            ("MIRROR_URL", &self.mirror),
        ]
    }

    fn start(&self, site: &Site, slot: &str, part: &Part) -> Sync {
        Sync::with_manifest(site, &site.name(slot), &manifest(slot, part), WAY, &self.urls())
    }

    /// Returns how long it takes from the start of the process until the last transaction has arrived everywhere.
    async fn time(&self, site: &Site, slot: &str, part: &Part, at: &str, rows: u64) -> Duration {
        let client = connect(match at {
            "events" => &self.events,
            "mirror" => &self.mirror,
            _ => &self.warehouse,
        })
        .await;
        // Of an event store the marker is last; consumers of several tables need not go side by side.
        let (arrived, counts) = match part {
            Part::Publish | Part::Mirror => {
                let of = |table| {
                    format!("FROM rejot_events.events WHERE public_schema_name = '{table}' AND operation = 'insert'")
                };
                (format!("SELECT EXISTS (SELECT {})", of("marker")), vec![format!("SELECT count(*) {}", of("wide"))])
            }
            Part::Direct | Part::Whole | Part::Consume { .. } => {
                let consumers = if let Part::Consume { consumers } = part { *consumers } else { 1 };
                let tables = (0..consumers).map(|number| match number {
                    0 => "public.wide".to_owned(),
                    number => format!("public.wide{number}"),
                });
                let last: Vec<String> =
                    tables.clone().map(|table| format!("EXISTS (SELECT FROM {table} WHERE id = {rows})")).collect();
                (
                    format!("SELECT {}", last.join(" AND ")),
                    tables.map(|table| format!("SELECT count(*) FROM {table}")).collect(),
                )
            }
        };
        let begun = Instant::now();
        let mut sync = self.start(site, slot, part);
        let took = until(&client, &arrived, || sync.must_run()).await - begun;
        for count in counts {
            let row = client.query_one(&*count, &[]).await.expect("rows can be counted");
            assert_eq!(row.get::<_, i64>(0), rows as i64, "{count}");
        }
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
