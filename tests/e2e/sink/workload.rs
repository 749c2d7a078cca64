//! Random rows, folded and batched by the sink, against the same rows applied one by one in plain SQL.
//!
//! The oracle's tables have the destination's constraints, and a row that they refuse is left out of the workload: so
//! what is left is what a source with these constraints could have done.

use std::fmt::Write as _;

use fastrand::Rng;
use pelton::change::{Op, Row};
use pelton::sink::{TableTarget, WriteStats};
use tokio_postgres::Client;

use super::model::{Cell, Writing, row, target};
use crate::support::{Database, assert_same, database};

/// A table of the workload: `{s}` stands for the schema in its DDL.
struct Table {
    name: &'static str,
    /// As [`super::model::public`] reads them.
    columns: &'static str,
    ddl: &'static str,
    /// For each column the texts that it may hold.
    pools: Vec<Vec<String>>,
    weight: usize,
    whole_rows: bool,
}

impl Table {
    fn key(&self) -> Vec<usize> {
        self.columns.split(", ").enumerate().filter(|(_, c)| c.ends_with(" key")).map(|(i, _)| i).collect()
    }

    fn names(&self) -> Vec<&'static str> {
        self.columns.split(", ").map(|c| c.split(' ').next().unwrap()).collect()
    }

    fn target(&self) -> TableTarget {
        let mut target = target("d", self.name, self.columns);
        if self.whole_rows {
            target.public.attrs.push(("identity".into(), "full".into()));
        }
        target
    }
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

fn pool(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn tables() -> Vec<Table> {
    let words = || pool(&["", "a", "b\tc", "d\ne", "\\", "\\N", "\\.", "é\r\n", "'\"", "{}", &"long ".repeat(900)]);
    let mut tables = Vec::new();
    let mut add = |name, columns, ddl, pools, weight| {
        tables.push(Table { name, columns, ddl, pools, weight, whole_rows: false });
    };
    add(
        "plain",
        "id int8 key, a text, b numeric, c jsonb, big text",
        "id int8 PRIMARY KEY, a text, b numeric, c jsonb, big text",
        vec![
            numbers(0..300),
            words(),
            pool(&["1", "1.0", "1.00", "NaN", "-Infinity", "12345678901234567890.5"]),
            pool(&["{}", "{\"a\": [1, \"\\\\x\"]}", "null", "\"\\t\""]),
            words(),
        ],
        12,
    );
    add(
        "composite",
        "b text, k2 text key, k1 int4 key, xs int4[], raw bytea, at timestamptz",
        "at timestamptz, k1 int4, k2 text, b text, xs int4[], raw bytea, UNIQUE (k1, k2)",
        vec![
            words(),
            pool(&["x", "y\\", "", "z z"]),
            numbers(0..8),
            pool(&["{}", "{1,2}", "{{1,2},{3,NULL}}", "[0:1]={7,8}"]),
            pool(&["\\x", "\\x00ff5c"]),
            pool(&["infinity", "0044-03-15 10:00:00+00 BC", "2024-02-29 23:59:59.999999+00"]),
        ],
        8,
    );
    for (name, columns, ddl, pool_of_keys) in KEY_TYPES {
        add(name, columns, ddl, vec![pool(pool_of_keys), words(), numbers(0..50)], 2);
    }
    add("parent", "id int8 key, v text", "id int8 PRIMARY KEY, v text", vec![numbers(0..40), words()], 4);
    add(
        "child",
        "id int8 key, parent_id int8, v text",
        "id int8 PRIMARY KEY, parent_id int8 REFERENCES {s}.parent, v text",
        vec![numbers(0..60), numbers(0..40), words()],
        6,
    );
    add("owner", "id int8 key, v text", "id int8 PRIMARY KEY, v text", vec![numbers(0..20), words()], 3);
    add(
        "owned",
        "id int8 key, owner_id int8, v text",
        "id int8 PRIMARY KEY, owner_id int8 REFERENCES {s}.owner ON DELETE CASCADE ON UPDATE CASCADE, v text",
        vec![numbers(0..60), numbers(0..20), words()],
        5,
    );
    add(
        "tree",
        "id int8 key, up int8",
        "id int8 PRIMARY KEY, up int8 REFERENCES {s}.tree",
        vec![numbers(0..30), numbers(0..30)],
        4,
    );
    add(
        "taken",
        "id int8 key, u int8, v text",
        "id int8 PRIMARY KEY, u int8 UNIQUE, v text",
        vec![numbers(0..30), numbers(0..30), words()],
        5,
    );
    add(
        "derived",
        "id int8 key, v text, w text",
        "id int8 PRIMARY KEY, v text, w text, derived text",
        vec![numbers(0..30), words(), words()],
        3,
    );
    add(
        "own",
        "id int8 key, v text",
        "id int8 PRIMARY KEY, v text, remark int8 NOT NULL DEFAULT 0, twice int8 GENERATED ALWAYS AS (id * 2) STORED",
        vec![numbers(0..30), words()],
        3,
    );
    add(
        "parts",
        "id int8 key, v text, w text",
        "id int8 PRIMARY KEY, v text, w text",
        vec![numbers(0..60), words(), words()],
        3,
    );
    add("log", "v text, n numeric", "v text, n numeric", vec![words(), pool(&["1", "1.0"])], 3);
    tables.push(Table {
        name: "heap",
        columns: "n numeric, j json, v text, i int4",
        ddl: "n numeric, j json, v text, i int4",
        pools: vec![pool(&["1", "1.0", "2"]), pool(&["{}", "{ }"]), pool(&["a", "b"]), numbers(0..2)],
        weight: 4,
        whole_rows: true,
    });
    tables
}

/// (table, columns, DDL, keys): pools hold keys that are equal though their bytes are not, as transforms and types
/// may have them.
#[rustfmt::skip]
const KEY_TYPES: &[(&str, &str, &str, &[&str])] = &[
    ("k_numeric", "k numeric key, v text, n int4", "k numeric PRIMARY KEY, v text, n int4", &["1", "1.0", "1.00", "-0.5", "-0.50", "NaN", "100", "1e2"]),
    ("k_float", "k float8 key, v text, n int4", "k float8 PRIMARY KEY, v text, n int4", &["0", "-0", "1.5", "15e-1", "NaN", "Infinity"]),
    ("k_uuid", "k uuid key, v text, n int4", "k uuid PRIMARY KEY, v text, n int4", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11", "00000000-0000-0000-0000-000000000000"]),
    ("k_tstz", "k timestamptz key, v text, n int4", "k timestamptz PRIMARY KEY, v text, n int4", &["2024-01-01 00:00:00+00", "2024-01-01T01:00:00+01", "infinity", "2024-01-01 00:00:00.5+00", "2024-01-01 00:00:00.50+00"]),
    ("k_date", "k date key, v text, n int4", "k date PRIMARY KEY, v text, n int4", &["2024-01-01", "20240101", "0044-03-15 BC", "-infinity"]),
    ("k_time", "k time key, v text, n int4", "k time PRIMARY KEY, v text, n int4", &["24:00:00", "00:00:00", "00:00", "12:34:56.7"]),
    ("k_bool", "k bool key, v text, n int4", "k bool PRIMARY KEY, v text, n int4", &["t", "f", "true", "no"]),
    ("k_bytea", "k bytea key, v text, n int4", "k bytea PRIMARY KEY, v text, n int4", &["\\x00", "\\xFF", "\\xff", "a"]),
    ("k_char", "k char(4) key, v text, n int4", "k char(4) PRIMARY KEY, v text, n int4", &["ab", "ab  ", "abcd", ""]),
    ("k_varchar", "k varchar(5) key, v text, n int4", "k varchar(5) PRIMARY KEY, v text, n int4", &["ab", "abcde", "éééé"]),
    ("k_interval", "k interval key, v text, n int4", "k interval PRIMARY KEY, v text, n int4", &["1 mon", "30 days", "1 day", "24:00:00"]),
    ("k_jsonb", "k jsonb key, v text, n int4", "k jsonb PRIMARY KEY, v text, n int4", &["{\"a\": 1}", "{\"a\":1.0}", "[]"]),
    ("k_array", "k int4[] key, v text, n int4", "k int4[] PRIMARY KEY, v text, n int4", &["{1,2}", "{1, 2}", "{}", "{{1},{2}}"]),
    ("k_range", "k int4range key, v text, n int4", "k int4range PRIMARY KEY, v text, n int4", &["[1,3)", "[1,2]", "empty"]),
    ("k_inet", "k inet key, v text, n int4", "k inet PRIMARY KEY, v text, n int4", &["10.0.0.1", "10.0.0.1/32", "::1"]),
    ("k_enum", "k d.mood key, v text, n int4", "k d.mood PRIMARY KEY, v text, n int4", &["sad", "It's \"ok\"", "happy"]),
    ("k_domain", "k d.posint key, v text, n int4", "k d.posint PRIMARY KEY, v text, n int4", &["1", "01", "2", "3"]),
    ("k_pair", "k d.pair key, v text, n int4", "k d.pair PRIMARY KEY, v text, n int4", &["(1,a)", "(01,a)", "(2,\"b c\")"]),
];

const TYPES: &str = "
    CREATE SCHEMA d; CREATE SCHEMA o;
    CREATE TYPE d.mood AS ENUM ('sad', 'It''s \"ok\"', 'happy');
    CREATE DOMAIN d.posint AS int4 CHECK (VALUE > 0);
    CREATE TYPE d.pair AS (n int4, t text);
    CREATE FUNCTION d.derive() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.derived := NEW.v || '/' || NEW.w; RETURN NEW; END $$;";

async fn create(database: &Database, tables: &[Table]) {
    database.execute(TYPES).await;
    for schema in ["d", "o"] {
        for table in tables {
            let partitions = if table.name == "parts" { " PARTITION BY HASH (id)" } else { "" };
            let ddl = table.ddl.replace("{s}", schema);
            database.execute(&format!("CREATE TABLE {schema}.{} ({ddl}){partitions}", table.name)).await;
        }
        let more = format!(
            "CREATE TABLE {schema}.parts0 PARTITION OF {schema}.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE {schema}.parts1 PARTITION OF {schema}.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             CREATE TRIGGER derive BEFORE INSERT OR UPDATE ON {schema}.derived FOR EACH ROW EXECUTE FUNCTION d.derive()"
        );
        database.execute(&more).await;
    }
}

/// One random change of one table.
fn change(rng: &mut Rng, table: &Table) -> Row {
    let width = table.pools.len();
    let key = table.key();
    let text = |rng: &mut Rng, i: usize| Cell::Text(rng.choice(&table.pools[i]).unwrap().clone());
    let whole = |rng: &mut Rng| -> Vec<Cell> {
        let one = |i: usize| match !key.contains(&i) && rng.u8(..8) == 0 {
            true => Cell::Null,
            false => text(rng, i),
        };
        (0..width).map(one).collect()
    };
    let roll = rng.u32(..1000);
    if key.is_empty() {
        return match roll {
            0..=4 => row(Op::Truncate, &[], None),
            5..=699 => row(Op::Insert, &whole(rng), None),
            _ if !table.whole_rows => row(Op::Insert, &whole(rng), None),
            700..=849 => row(Op::Update, &whole(rng), Some(&whole(rng))),
            _ => row(Op::Delete, &whole(rng), None),
        };
    }
    let mut values = whole(rng);
    let partial = |rng: &mut Rng, values: &mut Vec<Cell>| {
        for (i, value) in values.iter_mut().enumerate() {
            if !key.contains(&i) && rng.bool() {
                *value = Cell::Unchanged;
            }
        }
    };
    match roll {
        0..=4 => row(Op::Truncate, &[], None),
        5..=399 => row(Op::Insert, &values, None),
        400..=549 => row(Op::Update, &values, None),
        550..=699 => {
            partial(rng, &mut values);
            row(Op::Update, &values, None)
        }
        700..=779 => {
            if rng.bool() {
                partial(rng, &mut values);
            }
            let old: Vec<Cell> = key.iter().map(|&k| text(rng, k)).collect();
            if key.len() > 1 && rng.bool() {
                // A key column that is TOASTed and did not change.
                values[key[0]] = Cell::Unchanged;
            }
            row(Op::Update, &values, Some(&old))
        }
        _ => {
            for (i, value) in values.iter_mut().enumerate() {
                if !key.contains(&i) {
                    *value = Cell::Unchanged;
                }
            }
            row(Op::Delete, &values, None)
        }
    }
}

/// Applies one row in plain SQL. Returns false if the constraints refused it.
async fn naive(client: &Client, table: &Table, row: &Row) -> bool {
    let sql = naive_sql(table, row);
    client.batch_execute("SAVEPOINT one").await.unwrap();
    match client.batch_execute(&sql).await {
        Ok(()) => {
            client.batch_execute("RELEASE SAVEPOINT one").await.unwrap();
            true
        }
        Err(error) => {
            let code = error.as_db_error().expect("the server refused").code().code();
            assert!(code.starts_with("23"), "{error}: {sql}");
            client.batch_execute("ROLLBACK TO SAVEPOINT one; RELEASE SAVEPOINT one").await.unwrap();
            false
        }
    }
}

fn naive_sql(table: &Table, row: &Row) -> String {
    use pelton::change::{Tuple, Value};
    let (names, key) = (table.names(), table.key());
    let name = format!("o.{}", table.name);
    let literal = |value: Value<'_>| match value {
        Value::Text(text) => format!("'{}'", std::str::from_utf8(text).unwrap().replace('\'', "''")),
        _ => "NULL".to_owned(),
    };
    // The texts are read by the columns' types.
    let types: Vec<&str> = table.columns.split(", ").map(|c| c.split(' ').nth(1).unwrap()).collect();
    let equal = |i: usize, value: Value<'_>| format!("{} = {}::{}", names[i], literal(value), types[i]);
    if row.op == Op::Truncate {
        return format!("DELETE FROM {name}");
    }
    if key.is_empty() {
        let one = |old: &Tuple| {
            let mut on = String::from("true");
            for (i, value) in old.columns().enumerate() {
                let value = format!("{}::{}::text", literal(value), types[i]);
                write!(on, " AND {}::text IS NOT DISTINCT FROM {value}", names[i]).unwrap();
            }
            format!("ctid = (SELECT ctid FROM {name} WHERE {on} LIMIT 1)")
        };
        let values: Vec<String> = row.values.columns().map(literal).collect();
        return match (row.op, &row.old_key) {
            (Op::Update, Some(old)) => {
                let set: Vec<String> = values.iter().enumerate().map(|(i, v)| format!("{} = {v}", names[i])).collect();
                format!("UPDATE {name} SET {} WHERE {}", set.join(", "), one(old))
            }
            (Op::Delete, _) => format!("DELETE FROM {name} WHERE {}", one(&row.values)),
            _ => format!("INSERT INTO {name} ({}) VALUES ({})", names.join(", "), values.join(", ")),
        };
    }
    let mut values: Vec<Value<'_>> = row.values.columns().collect();
    for (position, &k) in key.iter().enumerate() {
        if values[k] == Value::Unchanged {
            values[k] = row.old_key.as_ref().unwrap().get(position).unwrap();
        }
    }
    let on_new: Vec<String> = key.iter().map(|&k| equal(k, values[k])).collect();
    let on_new = on_new.join(" AND ");
    let on_old = match &row.old_key {
        Some(old) => key.iter().zip(old.columns()).map(|(&k, v)| equal(k, v)).collect::<Vec<_>>().join(" AND "),
        None => on_new.clone(),
    };
    let set: Vec<String> = (0..values.len())
        .filter(|&i| values[i] != Value::Unchanged)
        .map(|i| format!("{} = {}", names[i], literal(values[i])))
        .collect();
    let set = set.join(", ");
    let whole = !values.contains(&Value::Unchanged);
    let insert = format!(
        "INSERT INTO {name} ({}) VALUES ({});",
        names.join(", "),
        values.iter().map(|v| literal(*v)).collect::<Vec<_>>().join(", ")
    );
    match row.op {
        Op::Delete => format!("DELETE FROM {name} WHERE {on_new}"),
        _ => {
            let insert = if whole { format!("IF NOT FOUND THEN {insert} END IF;") } else { String::new() };
            let moved = format!("(EXISTS (SELECT FROM {name} WHERE {on_old}) OR {whole})");
            format!(
                "DO $do$ BEGIN
                   IF {moved} THEN DELETE FROM {name} WHERE {on_new} AND NOT ({on_old}); END IF;
                   UPDATE {name} SET {set} WHERE {on_old}; {insert}
                 END $do$"
            )
        }
    }
}

async fn run(seed: u64, rounds: usize) -> WriteStats {
    eprintln!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let tables = tables();
    let database = database().await;
    create(&database, &tables).await;
    let oracle = database.connect().await;
    let mut writing = Writing::to(&database, tables.iter().map(Table::target).collect()).await;
    let lottery: Vec<usize> = (0..tables.len()).flat_map(|i| std::iter::repeat_n(i, tables[i].weight)).collect();
    let constrained: Vec<usize> =
        (0..tables.len()).filter(|&i| ["child", "owned", "tree", "taken", "own"].contains(&tables[i].name)).collect();
    let mut total = WriteStats::default();
    for round in 0..rounds {
        // What a source did in some transactions, as far as its constraints let it.
        let mut rows: Vec<(usize, Row)> = Vec::new();
        oracle.batch_execute("BEGIN").await.unwrap();
        // Some batches touch few tables, so that the others' constraints do not send all of them the slow way.
        let one =
            |rng: &mut Rng| if rng.bool() { *rng.choice(&constrained).unwrap() } else { rng.usize(..tables.len()) };
        let few: Vec<usize> = (0..rng.usize(1..=2)).map(|_| one(&mut rng)).collect();
        let lottery = if rng.u8(..4) > 0 { &few } else { &lottery };
        let size = if rng.bool() { rng.usize(1..60) } else { rng.usize(60..400) };
        let burst = rng.u8(..6) == 0;
        while rows.len() < size {
            let table = *rng.choice(lottery).unwrap();
            let row = change(&mut rng, &tables[table]);
            if naive(&oracle, &tables[table], &row).await {
                rows.push((table, row));
            } else if rng.u16(..500) == 0 {
                break;
            }
        }
        if burst {
            // New rows enough for a COPY, of which some exist in spite of what the source says.
            let first = rng.u32(0..100_000) * 10;
            for id in (first..first + 300).chain(0..rng.u32(..2)) {
                let values = ["a\\b\tc", "1.10", "{}", ""].map(|text| Cell::Text(text.to_owned()));
                let row = row(Op::Insert, &[&[Cell::Text(id.to_string())][..], &values].concat(), None);
                naive(&oracle, &tables[0], &row).await;
                rows.push((0, row));
            }
        }
        oracle.batch_execute("COMMIT").await.unwrap();
        // The same in randomly cut batches of randomly cut transactions.
        let mut rest = &rows[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(if rng.bool() { rest.len() } else { rng.usize(1..=rest.len()) });
            rest = later;
            match writing.rows(now).await {
                Ok(stats) => total += stats,
                Err(error) => {
                    panic!(
                        "seed {seed}, round {round}: {error}: {:?} of {} rows",
                        std::error::Error::source(&error),
                        now.len()
                    );
                }
            }
        }
        for table in &tables {
            let (d, o) =
                (format!("SELECT t::text FROM d.{} t", table.name), format!("SELECT t::text FROM o.{} t", table.name));
            if database.value(&format!("SELECT NOT EXISTS (({d} EXCEPT ALL {o}) UNION ALL ({o} EXCEPT ALL {d}))")).await
                != "t"
            {
                eprintln!("seed {seed}, round {round}, table {}", table.name);
                assert_same(&database, &d, &database, &o).await;
            }
        }
        database.execute("UPDATE d.own SET remark = remark + 1; UPDATE o.own SET remark = remark + 1").await;
    }
    eprintln!("{total:?}");
    total
}

#[tokio::test]
async fn folded_batches_leave_what_single_rows_leave() {
    let mut total = WriteStats::default();
    for seed in 1..=3 {
        total += run(seed, 60).await;
    }
    let did = [total.copied, total.inserted, total.upserted, total.updated, total.deleted, total.truncated];
    assert!(did.iter().all(|&count| count > 0), "a path was not taken: {total:?}");
    assert!(total.folded > 0 && total.folded < total.rows, "a path was not taken: {total:?}");
    assert!(total.fallbacks > 0, "no constraint ever refused the folded rows: {total:?}");
}

/// `PELTON_TEST_SEED` repeats a failure.
#[tokio::test]
async fn folded_batches_leave_what_single_rows_leave_with_any_seed() {
    let seed = std::env::var("PELTON_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    run(seed.unwrap_or_else(|| fastrand::u64(..)), 60).await;
}
