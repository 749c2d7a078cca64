//! How fast rows go into a table, path by path: `cargo bench --bench sink [ROWS]`.
//!
//! Prints a line a path: rows per second in batches of 10,000 in one transaction each, and the time of one row in a
//! transaction of its own.

use std::time::{Duration, Instant};

use pelton::change::{Column, Kind, Op, PublicSchema, Row, TupleWriter};
use pelton::postgres::throwaway::Server;
use pelton::sink::{Addressed, Destination, TableTarget, TableWriter};
use tokio_postgres::Client;

const BATCH_ROWS: usize = 10_000;

fn public() -> PublicSchema {
    let column = |(name, kind, key): (&str, Kind, bool)| Column {
        name: name.into(),
        kind,
        type_oid: 0,
        type_modifier: -1,
        nullable: !key,
        key,
        attrs: Vec::new(),
    };
    let columns = [
        ("id", Kind::Int64, true),
        ("name", Kind::Text, false),
        ("note", Kind::Text, false),
        ("price", Kind::Numeric, false),
        ("paid", Kind::Bool, false),
        ("at", Kind::Timestamptz, false),
        ("attrs", Kind::Jsonb, false),
        ("token", Kind::Uuid, false),
    ];
    let columns = columns.into_iter().map(column).collect();
    PublicSchema { name: "bench".into(), major: 1, minor: 0, columns, attrs: Vec::new() }
}

/// Makes rows with these ids; `partial` leaves the long text and the json alone.
fn rows(op: Op, ids: impl Iterator<Item = u64>, partial: bool) -> Vec<Row> {
    let mut writer = TupleWriter::default();
    let mut count = 0;
    for id in ids {
        writer.begin();
        writer.text(id.to_string().as_bytes());
        if op == Op::Delete {
            (0..7).for_each(|_| writer.unchanged());
        } else {
            writer.text(format!("customer {}", id % 1_000).as_bytes());
            match partial {
                true => writer.unchanged(),
                false => writer.text(b"a note of some forty characters, as people write"),
            }
            writer.text(format!("{}.{:02}", id % 10_000, id % 100).as_bytes());
            writer.text(if id % 2 == 0 { b"t" } else { b"f" });
            writer.text(b"2024-02-29 12:34:56.789012+00");
            match partial {
                true => writer.unchanged(),
                false => writer.text(br#"{"channel": "web", "items": 3}"#),
            }
            writer.text(format!("a0eebc99-9c0b-4ef8-bb6d-{id:012x}").as_bytes());
        }
        writer.end();
        count += 1;
    }
    let row = |values| Row { public_schema: 0, op, source: 0, values, old_key: None };
    let rows: Vec<Row> = writer.finish().into_iter().map(row).collect();
    assert_eq!(rows.len(), count);
    rows
}

struct Bench {
    client: Client,
    destination: Destination,
}

impl Bench {
    async fn commit(&mut self, rows: &[Row]) {
        let rows: Vec<_> = rows.iter().map(|row| Addressed { table: 0, row }).collect();
        self.client.batch_execute("BEGIN").await.expect("a transaction begins");
        self.destination.write(&self.client, &rows).await.expect("the rows are written");
        self.client.batch_execute("COMMIT").await.expect("a transaction ends");
    }

    async fn path(&mut self, name: &str, rows: &[Row]) {
        let begun = Instant::now();
        for batch in rows.chunks(BATCH_ROWS) {
            self.commit(batch).await;
        }
        let taken = begun.elapsed();
        println!("{name:<44} {:>9.0} rows/s", rows.len() as f64 / taken.as_secs_f64());
    }

    async fn batches_of(&mut self, size: usize, name: &str, rows: &[Row]) {
        let begun = Instant::now();
        let batches = rows.chunks(size).take(2_000_usize.div_ceil(size)).collect::<Vec<_>>();
        for batch in &batches {
            self.commit(batch).await;
        }
        let taken = begun.elapsed();
        let label = format!("{name}, {size} rows a transaction");
        println!("{label:<44} {:>9.0} µs each", taken.as_secs_f64() * 1e6 / batches.len() as f64);
    }

    async fn latency(&mut self, name: &str, rows: &[Row]) {
        let mut times: Vec<Duration> = Vec::new();
        for row in rows {
            let addressed = [Addressed { table: 0, row }];
            self.client.batch_execute("BEGIN").await.expect("a transaction begins");
            let begun = Instant::now();
            self.destination.write(&self.client, &addressed).await.expect("the row is written");
            times.push(begun.elapsed());
            self.client.batch_execute("COMMIT").await.expect("a transaction ends");
        }
        times.sort();
        let at = |share: usize| times[times.len() * share / 100];
        println!("{name:<44} p50 {:?}, p99 {:?}", at(50), at(99));
    }
}

#[tokio::main]
async fn main() {
    let count = std::env::args().find_map(|argument| argument.parse::<u64>().ok()).unwrap_or(200_000);
    let server = Server::builder().start().await.expect("a throwaway server starts (PELTON_PG_BIN chooses it)");
    let client = server.connect("postgres").await.expect("it takes connections");
    client.batch_execute("SET search_path = pg_catalog; SET synchronous_commit = off").await.expect("settings");
    let target = TableTarget {
        schema: "public".into(),
        table: "bench".into(),
        create_table: true,
        public: public(),
        exact: true,
    };
    let table = TableWriter::prepare(&client, target).await.expect("the table is made");
    let mut bench = Bench { client, destination: Destination::new(vec![table]) };

    let inserts = rows(Op::Insert, 0..count, false);
    bench.path("new rows (COPY)", &inserts).await;
    bench.path("rows that exist (COPY fails, then upsert)", &inserts).await;
    bench.path("rows that exist (upsert)", &rows(Op::Update, 0..count, false)).await;
    bench.path("updates of some columns", &rows(Op::Update, 0..count, true)).await;
    let hot: Vec<Row> = rows(Op::Update, (0..count).map(|n| n * 7_919 % 500), false);
    bench.path("updates of 500 hot rows (folded)", &hot).await;
    bench.path("deletes", &rows(Op::Delete, 0..count, false)).await;
    bench.path("new rows by update (upsert)", &rows(Op::Update, 0..count, false)).await;
    for size in [5, 10, 20, 50, 51, 100, 200, 400] {
        bench.batches_of(size, "upserts", &rows(Op::Update, 0..count, false)).await;
    }
    for size in [51, 100, 200, 400, 1_000] {
        bench.batches_of(size, "new rows", &rows(Op::Insert, count..2 * count, false)).await;
        bench.path("(deletes)", &rows(Op::Delete, count..count + 5_000, false)).await;
    }
    bench.latency("one row, new", &rows(Op::Insert, 2 * count..2 * count + 2_000, false)).await;
    bench.latency("one row, update", &rows(Op::Update, 0..2_000, false)).await;
    bench.latency("one row, delete", &rows(Op::Delete, 0..2_000, false)).await;
}
