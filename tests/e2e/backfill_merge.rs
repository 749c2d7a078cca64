//! Stream and backfill merged, against a PostgreSQL that is being written to.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pelton::change::{Batch, Change, Old, Op, Phase, Relation, Span, Tuple, Value};
use pelton::engine::backfill::{Backfill, Event, Fence, Position, Readers};
use pelton::lsn::Lsn;
use pelton::pgoutput::{Decoder, Message};
use pelton::postgres::replication::{SnapshotSlot, create_slot_with_snapshot};
use pelton::postgres::{Session, connect};
use tokio_postgres::Client;

use super::backfill_reader::{connection, plans};
use crate::support::{self, Database, PATIENCE};

type Row = Vec<Option<String>>;

/// A destination that refuses what a destination refuses.
#[derive(Default)]
struct Store {
    tables: BTreeMap<String, BTreeMap<Vec<String>, Row>>,
}

fn row(tuple: &Tuple, former: Option<&Row>) -> Row {
    let read = |(i, value): (usize, Value<'_>)| match value {
        Value::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
        Value::Null => None,
        Value::Unchanged => former.expect("an insert is whole")[i].clone(),
        Value::Binary(_) => panic!("the stream is text"),
    };
    tuple.columns().enumerate().map(read).collect()
}

/// The key columns of every table of these tests stand first.
fn key(tuple: &Tuple, columns: usize) -> Vec<String> {
    let text = |value| match value {
        Value::Text(text) => String::from_utf8(<[u8]>::to_vec(text)).unwrap(),
        value => panic!("{value:?} in a key"),
    };
    tuple.columns().take(columns).map(text).collect()
}

impl Store {
    fn apply(&mut self, batch: &Batch, key_columns: &BTreeMap<String, usize>) {
        for change in &batch.changes {
            let name = &*batch.relations[change.relation as usize].name;
            let columns = key_columns[name];
            let table = self.tables.entry(name.to_owned()).or_default();
            let new_key = change.new.as_ref().map(|new| key(new, columns));
            let old_key = change.old.as_ref().map(|(Old::Key(old) | Old::Full(old))| key(old, columns));
            match change.op {
                Op::Insert => {
                    let new = row(change.new.as_ref().unwrap(), None);
                    assert!(table.insert(new_key.unwrap(), new).is_none(), "{name}: an insert came twice");
                }
                Op::Update => {
                    let new_key = new_key.unwrap();
                    let former = table.remove(old_key.as_ref().unwrap_or(&new_key));
                    let former = former.unwrap_or_else(|| panic!("{name}: a change came before its insert"));
                    let new = row(change.new.as_ref().unwrap(), Some(&former));
                    assert!(table.insert(new_key, new).is_none(), "{name}: an update hit another row");
                }
                Op::Delete => {
                    assert!(table.remove(&old_key.unwrap()).is_some(), "{name}: a delete came before its insert");
                }
                Op::Truncate => table.clear(),
            }
        }
    }
}

/// The stream, by the SQL functions, and what the engine does with it.
struct Line {
    client: Client,
    slot: String,
    decoder: Decoder,
    backfill: Backfill,
    readers: Readers,
    store: Store,
    key_columns: BTreeMap<String, usize>,
    transactions: usize,
}

impl Line {
    /// Makes the slot and starts the backfill of what the publication `p` publishes.
    async fn start(database: &Database) -> Line {
        let to = connection(database);
        let client = connect(&to, &Session::source("test")).await.unwrap();
        let slot = format!("s_{}", database.name());
        let sql =
            "SELECT lsn::text, pg_current_snapshot()::text FROM pg_create_logical_replication_slot($1, 'pgoutput')";
        let start: String = client.query_one(sql, &[&slot]).await.unwrap().get(0);
        let start: Lsn = start.parse().unwrap();
        let now: String = client.query_one("SELECT pg_current_snapshot()::text", &[]).await.unwrap().get(0);
        let fence = Fence::Finished(now.parse().unwrap());
        let plans = plans(database).await;
        let columns = |plan: &pelton::engine::backfill::TablePlan| {
            (plan.relation.name.to_string(), plan.key.as_ref().map_or(0, |key| key.columns.len()))
        };
        let key_columns = plans.iter().map(columns).collect();
        let position = Position { epoch: 1, commit_lsn: start, end_lsn: start, commit_time: 0 };
        let backfill = Backfill::new(plans, position, Some(fence), &BTreeMap::new()).unwrap();
        let readers = Readers::new(to, 2);
        let (decoder, store) = (Decoder::new(), Store::default());
        Line { client, slot, decoder, backfill, readers, store, key_columns, transactions: 0 }
    }

    async fn deliver(&mut self) {
        let flushed: String =
            self.client.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await.unwrap().get(0);
        let sql = "SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, \
                   'proto_version', '1', 'publication_names', 'p')";
        let mut batch = Batch::default();
        let mut open: Option<Span> = None;
        for data in self.client.query(sql, &[&self.slot]).await.unwrap() {
            let message = self.decoder.decode(Bytes::copy_from_slice(data.get(0))).unwrap();
            let change =
                |op, relation: pelton::pgoutput::RelationIndex, new, old| Change { op, relation: relation.0, new, old };
            match message {
                Message::Begin(begin) => {
                    open = Some(Span {
                        xid: begin.xid,
                        epoch: 1,
                        commit_lsn: begin.final_lsn,
                        end_lsn: Lsn::ZERO,
                        commit_time: begin.commit_time,
                        phase: Phase::Live,
                        first: batch.changes.len() as u32,
                        count: 0,
                        first_in_transaction: 0,
                        complete: true,
                    });
                }
                Message::Commit(commit) => {
                    let mut span = open.take().unwrap();
                    span.end_lsn = commit.end_lsn;
                    span.count = batch.changes.len() as u32 - span.first;
                    batch.spans.push(span);
                    self.transactions += 1;
                }
                Message::Insert { relation, new } => batch.changes.push(change(Op::Insert, relation, Some(new), None)),
                Message::Update { relation, old, new } => {
                    batch.changes.push(change(Op::Update, relation, Some(new), old));
                }
                Message::Delete { relation, old } => batch.changes.push(change(Op::Delete, relation, None, Some(old))),
                Message::Truncate(truncate) => {
                    batch.changes.extend(truncate.relations.iter().map(|&r| change(Op::Truncate, r, None, None)));
                }
                _ => {}
            }
        }
        assert!(open.is_none());
        let relation = |i| self.decoder.relation(pelton::pgoutput::RelationIndex(i)).clone();
        batch.relations = (0..self.decoder.relation_count()).map(relation).collect::<Vec<Arc<Relation>>>();
        for question in self.backfill.questions(&batch).unwrap() {
            let answer = self.readers.answer(&question).await.unwrap();
            self.backfill.learn(question, answer);
        }
        let merged = self.backfill.merge(batch).unwrap();
        self.store.apply(&merged, &self.key_columns);
        self.backfill.passed(flushed.parse().unwrap());
    }

    async fn enter(&mut self) {
        loop {
            for question in self.backfill.questions_to_enter() {
                let answer = self.readers.answer(&question).await.unwrap();
                self.backfill.learn(question, answer);
            }
            let Some(batch) = self.backfill.enter().unwrap() else { break };
            self.store.apply(&batch, &self.key_columns);
        }
    }

    /// One round of the engine's loop.
    async fn turn(&mut self) {
        while let Some(job) = self.backfill.next_read() {
            self.readers.start(job);
        }
        while let Ok(event) = tokio::time::timeout(Duration::from_millis(2), self.readers.event()).await {
            match event {
                Event::Opened(opened) => self.backfill.opened(opened),
                Event::Arrived(arrived) => self.backfill.arrived(arrived),
                event => panic!("{event:?}"),
            }
        }
        self.deliver().await;
        self.enter().await;
    }

    async fn until_done(&mut self) {
        let begun = Instant::now();
        while !self.backfill.is_done() {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.backfill.status(Instant::now()));
            self.turn().await;
        }
    }

    async fn assert_same(&mut self, database: &Database) {
        self.deliver().await;
        for (name, columns) in &self.key_columns {
            let source = database.rows(&format!("SET timezone = 'UTC'; SELECT * FROM \"{name}\"")).await;
            let source: BTreeMap<Vec<String>, Row> = source
                .into_iter()
                .map(|row| (row[..*columns].iter().map(|v| v.clone().unwrap()).collect(), row))
                .collect();
            let store = self.store.tables.remove(name).unwrap_or_default();
            let differ: HashSet<_> =
                source.keys().chain(store.keys()).filter(|k| source.get(*k) != store.get(*k)).collect();
            assert!(differ.is_empty(), "{name}: {} of {} rows differ", differ.len(), source.len());
        }
    }
}

/// Random changes of a table (key expression over `n`, columns after the key: `v int, big text`), with savepoints,
/// key changes, rollbacks and, for one table, truncates.
fn workload(table: &str, key: &str, columns: &str, truncate: bool) -> String {
    let truncate = if truncate { format!("IF random() < 0.002 THEN TRUNCATE {table}; END IF;") } else { String::new() };
    format!(
        "DO $$ DECLARE n int; m int; i int; BEGIN \
           FOR i IN 1..1 + (random() * 6)::int LOOP \
             n := (random() * 3000)::int; m := (random() * 3000)::int; \
             BEGIN \
               CASE (random() * 5)::int \
                 WHEN 0 THEN DELETE FROM {table} WHERE ({columns}) = ({key}); \
                 WHEN 1 THEN UPDATE {table} SET ({columns}) = ROW({moved}), v = v + 1 WHERE ({columns}) = ({key}); \
                 WHEN 2 THEN UPDATE {table} SET v = v + 1 WHERE ({columns}) = ({key}); \
                 WHEN 3 THEN UPDATE {table} SET big = (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 90)) WHERE ({columns}) = ({key}); \
                 ELSE INSERT INTO {table} SELECT {key}, n, repeat(md5(n::text), 90) ON CONFLICT DO NOTHING; \
               END CASE; \
             EXCEPTION WHEN unique_violation THEN NULL; END; \
           END LOOP; {truncate} \
           IF random() < 0.1 THEN RAISE EXCEPTION 'rollback'; END IF; \
         END $$",
        moved = key.replace('n', "m")
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_written_to_is_copied_exactly() {
    let database = support::database().await;
    // (table, definition of the key, its columns, the key's expression)
    let tables = [
        ("a", "id bigint PRIMARY KEY", "id", "n"),
        ("b", "id text COLLATE \"und-x-icu\" PRIMARY KEY", "id", "chr(97 + n % 26) || n"),
        ("c", "g uuid, id numeric, PRIMARY KEY (g, id)", "g, id", "md5((n % 7)::text)::uuid, n / 4.0"),
        ("d", "id int PRIMARY KEY", "id", "n"),
    ];
    for (table, definition, _, key) in tables {
        let (columns, constraint) = definition
            .split_once(", PRIMARY")
            .map_or((definition, String::new()), |(c, rest)| (c, format!(", PRIMARY{rest}")));
        database
            .execute(&format!(
                "CREATE TABLE {table} ({columns}, v int, big text{constraint}); ALTER TABLE {table} ALTER big SET STORAGE EXTERNAL; \
                 INSERT INTO {table} SELECT {key}, n, repeat(md5(n::text), 90) FROM generate_series(0, 2999) n"
            ))
            .await;
    }
    database.execute("ALTER TABLE d REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR TABLE a, b, c, d").await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for (table, _, columns, key) in tables {
        let (client, stop) = (database.connect().await, stop.clone());
        let statement = workload(table, key, columns, table == "a");
        writers.push(tokio::spawn(async move {
            let mut done = 0;
            while !stop.load(Ordering::Relaxed) {
                done += usize::from(client.batch_execute(&statement).await.is_ok());
                tokio::time::sleep(Duration::from_micros(300)).await;
            }
            done
        }));
    }
    let mut line = Line::start(&database).await;
    line.until_done().await;
    let during = line.transactions;
    stop.store(true, Ordering::Relaxed);
    let mut done = 0;
    for writer in writers {
        done += writer.await.unwrap();
    }
    assert!(done > 20, "the workload hardly worked: {done}");
    assert!(during > 10, "hardly anything happened while it was copied: {during}");
    line.assert_same(&database).await;
}

/// A commit that waits for a synchronous standby is in the stream long before any snapshot sees it.
#[tokio::test]
async fn a_commit_that_is_delivered_before_it_is_visible_is_not_lost() {
    let server = support::server().await;
    let database = support::database_on(&server).await;
    database
        .execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10); CREATE PUBLICATION p FOR TABLE t")
        .await;
    let mut line = Line::start(&database).await;
    database.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    database.execute("SELECT pg_reload_conf()").await;
    database.wait_until("current_setting('synchronous_standby_names') = 'nobody'").await;
    let writer = database.connect().await;
    let pid: i32 = writer.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let commit = tokio::spawn(async move { writer.batch_execute("INSERT INTO t VALUES (11)").await });
    database
        .wait_until(&format!("EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'SyncRep')"))
        .await;
    assert_eq!(database.value("SELECT count(*) FROM t").await, "10");
    line.deliver().await;
    assert_eq!(line.transactions, 1);
    for _ in 0..20 {
        line.turn().await;
    }
    assert!(!line.backfill.is_done(), "a chunk entered that misses a delivered transaction");
    database.execute(&format!("SELECT pg_cancel_backend({pid})")).await;
    commit.await.unwrap().unwrap();
    line.until_done().await;
    assert_eq!(line.store.tables["t"].len(), 11);
    line.assert_same(&database).await;
    // The database is dropped behind the test, which would wait for the standby too.
    database.execute("ALTER SYSTEM RESET synchronous_standby_names").await;
    database.execute("SELECT pg_reload_conf()").await;
}

/// A table without a key is copied under a slot's snapshot; what came later waits behind the copy, and a copy that broke
/// off begins on an emptied table.
#[tokio::test]
async fn a_table_without_a_key_is_copied_whole() {
    let database = support::database().await;
    database
        .execute(
            "CREATE TABLE t (v text); ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR TABLE t; \
             INSERT INTO t SELECT 'row ' || g % 50 FROM generate_series(1, 100) g",
        )
        .await;
    let mut line = Line::start(&database).await;
    database.execute("INSERT INTO t VALUES ('before the snapshot')").await;
    let [(table, plan)] = &line.backfill.tables_to_copy_whole()[..] else { panic!("one table has no key") };
    let (table, plan) = (*table, plan.clone());
    assert!(plan.key.is_none());
    let mut changes = 0;
    for broken in [true, false] {
        let slot = SnapshotSlot { name: format!("c_{}_{broken}", database.name()), temporary: true, failover: false };
        let exported = create_slot_with_snapshot(&connection(&database), "test", &slot).await.unwrap();
        assert!(line.backfill.begin_whole(table, exported.consistent_point));
        database.execute("INSERT INTO t VALUES ('behind the snapshot')").await;
        line.readers.start_whole(table, plan.clone(), exported.name.clone());
        let Event::Piece { relation, mut rows, last, .. } = line.readers.event().await else { panic!("no piece") };
        assert!(last);
        assert_eq!(rows.len(), if broken { 101 } else { 102 });
        if broken {
            rows.truncate(10);
        }
        let batch = line.backfill.enter_piece(table, relation, rows, !broken).unwrap();
        assert_eq!(batch.changes[0].op == Op::Truncate, !broken);
        changes += batch.changes.len();
        // The process dies, and what it saved with that piece is all that is left.
        let saved = line.backfill.take_progress().into_iter().collect();
        line.backfill = Backfill::new(vec![(*plan).clone()], Position::default(), None, &saved).unwrap();
        // Even a whole copy is ahead of the stream, which brings again what is in it.
        assert!(!line.backfill.is_done());
        if !broken {
            assert_eq!(line.backfill.waits_for(), Some(exported.consistent_point));
            line.backfill.passed(exported.consistent_point);
        }
    }
    assert_eq!(changes, 10 + 1 + 102);
    assert!(line.backfill.is_done());
}
