//! Chunks as PostgreSQL gives them: order, text, and what only Postgres can compare.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use pelton::change::{Tuple, Value};
use pelton::engine::backfill::{
    Arrived, ChunkReader, Event, Key, MustSee, Opened, Order, ReadId, ReadJob, TablePlan, What, plan_tables,
};
use pelton::manifest::{PostgresConnection, Secret, SslMode};
use pelton::pgoutput::{Decoder, Message};
use pelton::postgres::{Session, connect, publication};
use tokio::sync::mpsc;
use url::Url;

use crate::support::{self, Database};

/// Returns how Pelton reaches a test's database.
pub fn connection(database: &Database) -> PostgresConnection {
    let url = Url::parse(&database.url()).unwrap();
    PostgresConnection {
        host: url.host_str().unwrap().to_owned(),
        port: url.port().unwrap(),
        user: url.username().to_owned(),
        password: url.password().map(Secret::new),
        database: database.name().to_owned(),
        sslmode: SslMode::Disable,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
    }
}

/// Plans all tables of the publication `p`.
pub async fn plans(database: &Database) -> Vec<TablePlan> {
    let client = connect(&connection(database), &Session::source("test")).await.unwrap();
    let publication = publication::look_up(&client, "p").await.unwrap().unwrap();
    plan_tables(&client, &publication, &publication.tables).await.unwrap()
}

async fn reader(database: &Database) -> ChunkReader {
    ChunkReader::new(connect(&connection(database), &Session::source("test")).await.unwrap()).await.unwrap()
}

async fn read(reader: &mut ChunkReader, plan: &Arc<TablePlan>, what: What, bytes_max: usize) -> (Opened, Arrived) {
    let (sender, mut events) = mpsc::channel(4);
    let job = ReadJob { read: ReadId(1), plan: plan.clone(), what, must_see: MustSee::default(), bytes_max };
    let arrived = reader.read(&job, &sender).await.unwrap();
    match events.recv().await.unwrap() {
        Event::Opened(opened) => (opened, arrived),
        event => panic!("{event:?}"),
    }
}

fn texts(tuple: &Tuple) -> Vec<Option<String>> {
    let text = |value| match value {
        Value::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
        Value::Null => None,
        Value::Unchanged | Value::Binary(_) => panic!("{value:?}"),
    };
    tuple.columns().map(text).collect()
}

fn key_of(plan: &TablePlan, row: &Tuple) -> Key {
    let row = texts(row);
    let columns = &plan.key.as_ref().unwrap().columns;
    Key::of_texts(columns.iter().map(|c| row[plan.relation.column(&c.name).unwrap()].as_deref().unwrap()))
}

/// Reads a table in chunks of `rows_max` rows.
async fn read_all(reader: &mut ChunkReader, plan: &Arc<TablePlan>, rows_max: u32) -> Vec<Tuple> {
    let mut rows = Vec::new();
    loop {
        let after = rows.last().map(|row| key_of(plan, row));
        let (_, arrived) = read(reader, plan, What::Range { after, rows_max }, usize::MAX).await;
        rows.extend(arrived.rows);
        if arrived.exhausted {
            return rows;
        }
    }
}

const TABLES: &str = "\
    CREATE DOMAIN small AS int CHECK (VALUE < 1000000); \
    CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
    CREATE TABLE k_int8 (v text, id bigint PRIMARY KEY); \
      INSERT INTO k_int8 SELECT 'row ' || g, (g - 50) * 92233720368547758 FROM generate_series(0, 99) g; \
    CREATE TABLE k_int2 (id smallint PRIMARY KEY, v text); \
      INSERT INTO k_int2 SELECT g, null FROM generate_series(-40, 40) g; \
    CREATE TABLE k_domain (id small PRIMARY KEY); INSERT INTO k_domain SELECT g FROM generate_series(-9, 120) g; \
    CREATE TABLE k_uuid (id uuid PRIMARY KEY); INSERT INTO k_uuid SELECT gen_random_uuid() FROM generate_series(1, 90); \
    CREATE TABLE k_bytea (id bytea PRIMARY KEY); \
      INSERT INTO k_bytea SELECT substr(decode(md5(g::text), 'hex'), 1, g % 17) FROM generate_series(1, 90) g ON CONFLICT DO NOTHING; \
    CREATE TABLE k_bool (id bool PRIMARY KEY); INSERT INTO k_bool VALUES (true), (false); \
    CREATE TABLE k_date (id date PRIMARY KEY); \
      INSERT INTO k_date SELECT '0001-01-01 BC'::date + g * 40000 FROM generate_series(-20, 60) g; \
      INSERT INTO k_date VALUES ('infinity'), ('-infinity'), ('4713-01-01 BC'), ('0001-12-31 BC'), ('0001-01-01'); \
    CREATE TABLE k_time (id time PRIMARY KEY); \
      INSERT INTO k_time SELECT '00:00:00'::time + g * '17 minutes 3.000501 seconds'::interval FROM generate_series(0, 80) g; \
      INSERT INTO k_time VALUES ('24:00:00') ON CONFLICT DO NOTHING; \
    CREATE TABLE k_stamp (id timestamp PRIMARY KEY); \
      INSERT INTO k_stamp SELECT '0001-01-01 BC'::timestamp + g * '4001 days 0.25 seconds'::interval FROM generate_series(-40, 300) g; \
      INSERT INTO k_stamp VALUES ('infinity'), ('-infinity'), ('294276-12-31 23:59:59.999999'), ('4713-01-01 00:00:00 BC'); \
    CREATE TABLE k_stamptz (id timestamptz PRIMARY KEY); \
      INSERT INTO k_stamptz SELECT '0001-01-01 BC'::timestamptz + g * '4001 days 0.25 seconds'::interval FROM generate_series(-40, 300) g; \
      INSERT INTO k_stamptz VALUES ('infinity'), ('-infinity'); \
    CREATE TABLE k_c (id text COLLATE \"C\" PRIMARY KEY); \
    CREATE TABLE k_icu (id text COLLATE \"und-x-icu\" PRIMARY KEY, v jsonb); \
    CREATE TABLE k_loose (id text COLLATE loose PRIMARY KEY); \
      INSERT INTO k_c SELECT unnest(string_to_array($$a|B|b|é|ß|Z|z|zz|\\|\\\\|'|\"|	|x\ny|√|😀| | a|A|_|-|0|10|9|$$, '|')); \
      INSERT INTO k_icu SELECT id FROM k_c; \
      INSERT INTO k_loose SELECT id FROM k_c ON CONFLICT DO NOTHING; \
    CREATE TABLE k_varchar (id varchar(20) PRIMARY KEY); INSERT INTO k_varchar SELECT id FROM k_c; \
    CREATE TABLE k_char (id char(4) PRIMARY KEY); INSERT INTO k_char SELECT id FROM k_c ON CONFLICT DO NOTHING; \
    CREATE TABLE k_name (id name PRIMARY KEY); INSERT INTO k_name SELECT id FROM k_c; \
    CREATE TABLE k_enum (id mood PRIMARY KEY, v int); INSERT INTO k_enum SELECT unnest(enum_range(null::mood)), 1; \
    CREATE TABLE k_numeric (id numeric PRIMARY KEY); \
      INSERT INTO k_numeric SELECT (g - 20) * 1e15 / 7 FROM generate_series(1, 40) g; \
      INSERT INTO k_numeric VALUES ('NaN'), ('Infinity'), ('-Infinity'), (0.10), (1e-30); \
    CREATE TABLE k_float (id float8 PRIMARY KEY); \
      INSERT INTO k_float VALUES ('NaN'), ('Infinity'), ('-Infinity'), (0), (1e-300), (0.1), (1e22), (-5); \
    CREATE TABLE k_array (id int[] PRIMARY KEY); INSERT INTO k_array SELECT ARRAY[g % 5, g] FROM generate_series(1, 30) g; \
    CREATE TABLE k_interval (id interval PRIMARY KEY); \
      INSERT INTO k_interval SELECT g * '13 days 5 hours'::interval FROM generate_series(-20, 20) g; \
    CREATE TABLE k_inet (id inet PRIMARY KEY); INSERT INTO k_inet VALUES ('10.0.0.1'), ('9.0.0.0/8'), ('::1'), ('10.0.0.0/24'); \
    CREATE TABLE k_range (id int4range PRIMARY KEY); INSERT INTO k_range VALUES ('[1,3)'), ('empty'), ('(,5)'), ('[1,)'); \
    CREATE TABLE \"k mixed\" (\"b b\" text COLLATE \"und-x-icu\", \"A\" int, c timestamptz, v float4, PRIMARY KEY (\"A\", \"b b\", c)); \
      INSERT INTO \"k mixed\" SELECT i.id, g, '2000-01-01'::timestamptz + g * '1 us'::interval, 0.1 FROM k_icu i, generate_series(1, 6) g; \
    CREATE TABLE k_index (v int, a int NOT NULL, b text COLLATE \"C\" NOT NULL); \
      CREATE UNIQUE INDEX k_index_i ON k_index (b, a DESC); ALTER TABLE k_index REPLICA IDENTITY USING INDEX k_index_i; \
      INSERT INTO k_index SELECT 1, g, 'x' || g % 7 FROM generate_series(1, 80) g; \
    CREATE TABLE k_full (v text, id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED); \
      ALTER TABLE k_full REPLICA IDENTITY FULL; INSERT INTO k_full SELECT 'v', g FROM generate_series(1, 30) g; ";

/// Every key type, in chunks: all rows once, in Postgres's order, as the stream prints them; host order is its order.
#[tokio::test]
async fn chunks_of_every_key_type_are_ordered_whole_and_as_the_stream_prints_them() {
    let database = support::database().await;
    database.execute("CREATE PUBLICATION p FOR ALL TABLES").await;
    let slot = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", database.name());
    database.execute(&slot).await;
    // A label in between, whose number is not in order.
    database.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')").await;
    database.execute("ALTER TYPE mood ADD VALUE 'better' BEFORE 'happy'").await;
    database.execute(TABLES).await;
    let plans = plans(&database).await;
    assert_eq!(plans.len(), 26);
    // The stream's rows, by table.
    let client = connect(&connection(&database), &Session::source("test")).await.unwrap();
    let sql = "SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL, \
               'proto_version', '1', 'publication_names', 'p')";
    let mut decoder = Decoder::new();
    let mut streamed: std::collections::HashMap<u32, BTreeSet<Vec<Option<String>>>> = Default::default();
    for row in client.query(sql, &[&database.name()]).await.unwrap() {
        let message = decoder.decode(Bytes::copy_from_slice(row.get(0))).unwrap();
        if let Message::Insert { relation, new } = message {
            streamed.entry(decoder.relation(relation).oid).or_default().insert(texts(&new));
        }
    }
    let mut reader = reader(&database).await;
    for plan in plans {
        let (name, plan) = (plan.name(), Arc::new(plan));
        let key = plan.key.as_ref().unwrap();
        let mut whole = read_all(&mut reader, &plan, 1_000_000).await;
        for rows_max in [1, 7] {
            let rows = read_all(&mut reader, &plan, rows_max).await;
            assert!(rows == whole, "{name} in chunks of {rows_max}");
        }
        let set: BTreeSet<_> = whole.iter().map(texts).collect();
        assert_eq!(set.len(), whole.len(), "{name}");
        assert_eq!(Some(&set), streamed.get(&plan.relation.oid), "{name}");
        // Host and Postgres agree about every pair, wherever the host has an opinion.
        let keys: Vec<Key> = whole.iter().map(|row| key_of(&plan, row)).collect();
        let asks = key.columns.iter().any(|column| column.order == Order::Postgres);
        for (i, bound) in keys.iter().enumerate() {
            if !asks {
                let [column] = &key.columns[..] else { continue };
                for (j, other) in keys.iter().enumerate() {
                    let (a, b) = (other.texts().next().unwrap(), bound.texts().next().unwrap());
                    let order = column.order.compare(a.as_bytes(), b.as_bytes());
                    assert_eq!(order, Some(j.cmp(&i)), "{name}: {a} and {b}");
                }
            }
            if i % 5 == 0 {
                let question = pelton::engine::backfill::Question::new(plan.clone(), bound.clone(), keys.clone());
                let greater = reader.answer(&question).await.unwrap();
                let expected: Vec<bool> = (0..keys.len()).map(|j| j > i).collect();
                assert_eq!(greater, expected, "{name}");
            }
        }
        // Reads by key.
        let some: Vec<Key> = keys.iter().step_by(3).cloned().collect();
        let (_, arrived) = read(&mut reader, &plan, What::Keys(some.clone()), usize::MAX).await;
        assert_eq!(arrived.rows.len(), some.len(), "{name}");
        // A chunk that is too large ends early.
        let cut = read(&mut reader, &plan, What::Range { after: None, rows_max: 1_000 }, 1).await;
        assert!(cut.1.rows.len() == 1 && !cut.1.exhausted && reader.is_spent(), "{name}");
        whole.clear();
        reader = self::reader(&database).await;
    }
    let host: Vec<&str> = ["k_int8", "k_uuid", "k_bytea", "k_date", "k_time", "k_stamp", "k_stamptz", "k_c"].to_vec();
    for plan in self::plans(&database).await {
        let by_host = plan.key.as_ref().unwrap().host_ordered();
        assert!(by_host || !host.contains(&&*plan.relation.name), "{} is ordered by the host", plan.name());
    }
}

#[tokio::test]
async fn column_lists_filters_partitions_and_inheritance_are_as_in_the_stream() {
    let database = support::database().await;
    database
        .execute(
            "CREATE TABLE t (id int PRIMARY KEY, a text, hidden text); CREATE TABLE heir () INHERITS (t); \
             INSERT INTO t SELECT g, 'a' || g, 'secret' FROM generate_series(1, 20) g; INSERT INTO heir VALUES (99, 'x', 'y'); \
             CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); \
             CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10); \
             CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (100); \
             INSERT INTO part SELECT g, 'v' FROM generate_series(1, 30) g; \
             CREATE TABLE nokey (v text); INSERT INTO nokey VALUES ('a'), ('a')",
        )
        .await;
    // Column lists and row filters came with PostgreSQL 15.
    let (columns, rows, some) = match database.major().await {
        14 => (3, 20, ""),
        _ => (2, 14, "(id, a) WHERE (id > 5 AND a <> 'a7')"),
    };
    database
        .execute(&format!(
            "CREATE PUBLICATION p FOR TABLE ONLY t {some}, part, nokey WITH (publish_via_partition_root = true)"
        ))
        .await;
    let mut reader = reader(&database).await;
    let by_name = |plans: Vec<TablePlan>, name: &str| {
        Arc::new(plans.into_iter().find(|plan| &*plan.relation.name == name).unwrap())
    };
    let t = by_name(plans(&database).await, "t");
    assert_eq!(t.relation.columns.len(), columns);
    assert_eq!(read_all(&mut reader, &t, 4).await.len(), rows);
    let part = by_name(plans(&database).await, "part");
    assert!(part.partitioned && part.rows_estimate > 0);
    assert_eq!(read_all(&mut reader, &part, 4).await.len(), 30);
    let nokey = by_name(plans(&database).await, "nokey");
    assert!(nokey.key.is_none());
    // Columns that come later are read too, and a retyped key is an error with its mend.
    database.execute("ALTER PUBLICATION p SET TABLE t, part; ALTER TABLE t ADD more int DEFAULT 5").await;
    let (opened, arrived) = read(&mut reader, &t, What::Range { after: None, rows_max: 3 }, usize::MAX).await;
    assert_eq!(opened.relation.columns.len(), 4);
    assert_eq!(texts(&arrived.rows[0])[3].as_deref(), Some("5"));
    database.execute("ALTER TABLE t ALTER id TYPE bigint").await;
    let (sender, _events) = mpsc::channel(4);
    let what = What::Range { after: None, rows_max: 1 };
    let job = ReadJob { read: ReadId(1), plan: t.clone(), what, must_see: MustSee::default(), bytes_max: 1000 };
    let error = reader.read(&job, &sender).await.unwrap_err();
    assert!(error.to_string().contains("key column id of public.t") && error.hint().is_some(), "{error}");
    database.execute("ALTER PUBLICATION p SET TABLE part").await;
    let error = reader.read(&job, &sender).await.unwrap_err();
    assert!(error.to_string().contains("no longer in the publication"), "{error}");
    database.execute("DROP TABLE t CASCADE").await;
    let error = reader.read(&job, &sender).await.unwrap_err();
    assert!(error.hint().is_some(), "{error}");
    database.execute("ALTER PUBLICATION p SET (publish_via_partition_root = false)").await;
    let leaves = plans(&database).await;
    assert_eq!(leaves.iter().map(|plan| &*plan.relation.name).collect::<Vec<_>>(), ["part_1", "part_2"]);
    assert_eq!(read_all(&mut reader, &Arc::new(leaves[1].clone()), 7).await.len(), 21);
}
