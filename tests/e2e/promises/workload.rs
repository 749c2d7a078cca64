//! Random transactions over tables of every replica identity, from a seed.
//!
//! Three sessions take turns, statement by statement, so their transactions interleave as the seed says. A statement
//! that would wait for another session gives up at once and takes its transaction, or what it did since a savepoint,
//! back: that is where many of the rollbacks come from.

use fastrand::Rng;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::pair::{Flow, Pair};

/// The tables, and the rows that are there before the first start.
pub const TABLES: &str = "
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer_id bigint NOT NULL, customer_name text NOT NULL, email text NOT NULL,
    amount numeric(12,2) NOT NULL, currency text NOT NULL, note text, is_test boolean NOT NULL DEFAULT false,
    placed_at timestamptz NOT NULL DEFAULT now()
);
-- A composite key, and a value that is stored apart: an update that leaves it alone does not send it.
CREATE TABLE parcels (depot int, code text, weight numeric(10,3), label text, note text, PRIMARY KEY (depot, code));
CREATE TABLE tags (id int PRIMARY KEY, name text, body text);
ALTER TABLE tags REPLICA IDENTITY FULL;
CREATE TABLE badges (id int PRIMARY KEY, code text NOT NULL, holder text, photo text);
CREATE UNIQUE INDEX badges_code ON badges (code);
ALTER TABLE badges REPLICA IDENTITY USING INDEX badges_code;
-- No key at all: what is lost or comes twice shows as a row too few or too many.
CREATE TABLE visits (at int, who text, what text);
ALTER TABLE visits REPLICA IDENTITY FULL;
ALTER TABLE orders ALTER note SET STORAGE EXTERNAL;
ALTER TABLE parcels ALTER label SET STORAGE EXTERNAL;
ALTER TABLE tags ALTER body SET STORAGE EXTERNAL;
ALTER TABLE badges ALTER photo SET STORAGE EXTERNAL;
INSERT INTO orders SELECT i, i % 97, 'Customer ' || i % 97, 'c' || i || '@example.com', (i * 37 % 50000) / 100.0, 'EUR',
    CASE WHEN i % 9 = 0 THEN repeat(md5(i::text), 90) END, i % 20 = 0, timestamptz '2026-01-01' + i * interval '7 min'
    FROM generate_series(1, 6000) AS i;
INSERT INTO parcels SELECT i % 7, 'P' || i, i / 8.0, CASE WHEN i % 3 = 0 THEN repeat(md5(i::text), 90) ELSE 'small' END, NULL
    FROM generate_series(1, 600) AS i;
INSERT INTO tags SELECT i, 'tag ' || i, CASE WHEN i % 2 = 0 THEN repeat(md5(i::text), 90) END FROM generate_series(1, 400) AS i;
INSERT INTO badges SELECT i, 'B' || i, 'holder ' || i, CASE WHEN i % 2 = 0 THEN repeat(md5(i::text), 90) END
    FROM generate_series(1, 400) AS i;
INSERT INTO visits SELECT i % 50, 'visitor ' || i % 5, CASE WHEN i % 4 > 0 THEN 'tea' END FROM generate_series(1, 500) AS i;
";

/// What the tables become.
pub const FLOWS: &[Flow] = &[
    Flow {
        name: "orders",
        config: "publicSchemaType: wasm, component: orders.wasm",
        columns: "id, customer_id, contact, price, note, ordered_at, label",
        expected: "SELECT id, customer_id, left(email, 1) || '***@' || split_part(email, '@', 2), amount || ' ' || currency, \
                   note, placed_at, customer_name || ' #' || id FROM public.orders WHERE NOT is_test",
    },
    Flow {
        name: "customer_totals",
        config: "publicSchemaType: wasm, component: orders.wasm",
        columns: "customer_id, orders, spent",
        expected: "SELECT customer_id, count(*), sum(amount) FROM public.orders WHERE NOT is_test GROUP BY 1",
    },
    Flow {
        name: "parcels",
        config: "publicSchemaType: table, table: public.parcels, columns: [depot, code, { kilos: weight }, label, note]",
        columns: "depot, code, kilos, label, note",
        expected: "SELECT depot, code, weight, label, note FROM public.parcels",
    },
    Flow {
        name: "tags",
        config: "publicSchemaType: table, table: public.tags",
        columns: "id, name, body",
        expected: "SELECT id, name, body FROM public.tags",
    },
    Flow {
        name: "badges",
        config: "publicSchemaType: table, table: public.badges",
        columns: "id, code, holder, photo",
        expected: "SELECT id, code, holder, photo FROM public.badges",
    },
    Flow {
        name: "visits",
        config: "publicSchemaType: table, table: public.visits",
        columns: "at, who, what",
        expected: "SELECT at, who, what FROM public.visits",
    },
];

struct Session {
    client: Client,
    /// Statements until the open transaction ends; `None` while none is open.
    left: Option<u32>,
    savepoints: u32,
}

/// Transactions that are going on.
pub struct Workload {
    rng: Rng,
    sessions: Vec<Session>,
}

impl Workload {
    /// Begins; the tables are there.
    pub async fn begin(pair: &Pair, seed: u64) -> Workload {
        let mut sessions = Vec::new();
        for _ in 0..3 {
            let client = pair.source.connect().await;
            // Nobody else moves while one of them waits, so it would wait in vain.
            client.batch_execute("SET lock_timeout = '2ms'").await.expect("a setting");
            sessions.push(Session { client, left: None, savepoints: 0 });
        }
        Workload { rng: Rng::with_seed(seed), sessions }
    }

    /// Runs one statement in one session.
    pub async fn step(&mut self) {
        let rng = &mut self.rng;
        let session = rng.choice(&mut self.sessions).expect("there are sessions");
        let sql = match session.left {
            None => match rng.u32(0..4) {
                0 => statement(rng),
                length => {
                    // Mostly short ones, and some that stay open while many others come and go.
                    session.left = Some(if length == 3 { rng.u32(10..60) } else { rng.u32(1..8) });
                    session.savepoints = 0;
                    "BEGIN".to_owned()
                }
            },
            Some(0) => {
                session.left = None;
                if rng.u32(0..6) == 0 { "ROLLBACK".to_owned() } else { "COMMIT".to_owned() }
            }
            Some(left) => {
                session.left = Some(left - 1);
                match rng.u32(0..12) {
                    0 => {
                        session.savepoints += 1;
                        format!("SAVEPOINT s{}", session.savepoints)
                    }
                    1 if session.savepoints > 0 => {
                        let to = rng.u32(1..=session.savepoints);
                        session.savepoints = to;
                        format!("ROLLBACK TO s{to}")
                    }
                    2 if session.savepoints > 0 => {
                        session.savepoints -= 1;
                        format!("RELEASE s{}", session.savepoints + 1)
                    }
                    _ => statement(rng),
                }
            }
        };
        session.run(&sql).await;
    }

    /// Ends what is open.
    pub async fn finish(&mut self) {
        for session in &mut self.sessions {
            if session.left.take().is_some() {
                session.run("COMMIT").await;
            }
        }
    }
}

impl Session {
    async fn run(&mut self, sql: &str) {
        let Err(error) = self.client.batch_execute(sql).await else { return };
        let code = error.code().cloned();
        let expected = [SqlState::LOCK_NOT_AVAILABLE, SqlState::UNIQUE_VIOLATION, SqlState::T_R_DEADLOCK_DETECTED];
        assert!(code.as_ref().is_some_and(|code| expected.contains(code)), "{error:?}\n{sql}");
        if self.left.is_none() {
            return;
        }
        let back = match self.savepoints {
            0 => {
                self.left = None;
                "ROLLBACK".to_owned()
            }
            savepoint => format!("ROLLBACK TO s{savepoint}"),
        };
        self.client.batch_execute(&back).await.expect("a rollback");
    }
}

/// Returns a statement that changes rows.
fn statement(rng: &mut Rng) -> String {
    match rng.u32(0..100) {
        0 => truncate(rng),
        1..=39 => order(rng),
        40..=59 => parcel(rng),
        60..=72 => tag(rng),
        73..=85 => badge(rng),
        _ => visit(rng),
    }
}

fn truncate(rng: &mut Rng) -> String {
    let tables = ["visits", "tags", "badges, tags", "parcels", "orders", "orders, visits"];
    format!("TRUNCATE {}", tables[rng.usize(..tables.len())])
}

/// Returns a long text, which is stored apart, or a short one.
fn text(rng: &mut Rng) -> String {
    match rng.u32(0..6) {
        0 => "NULL".to_owned(),
        1 => "''".to_owned(),
        2 => format!("E'two\\nlines\\t{}\\\\N'", rng.u32(..)),
        3 => format!("'naïve ☕ {}'", rng.u32(..)),
        _ => format!("repeat(md5('{}'), {})", rng.u32(..), rng.u32(70..130)),
    }
}

fn order(rng: &mut Rng) -> String {
    let r = rng.u32(..1_000_000);
    let id = rng.u32(1..7000);
    let end = id + rng.u32(0..30);
    match rng.u32(0..10) {
        0..=2 => format!(
            "INSERT INTO orders SELECT i, (i + {r}) % 97, 'C' || {r}, 'c{r}@example.com', ((i * {r}::bigint) % 90000) / 100.0, \
             'EUR', {}, (i + {r}) % 11 = 0, timestamptz '2026-01-01' + i * interval '1 min' \
             FROM generate_series({id}, {end}) AS i ON CONFLICT DO NOTHING",
            text(rng)
        ),
        3 => format!("UPDATE orders SET amount = amount + 0.01 * (id % 7) WHERE id BETWEEN {id} AND {end}"),
        4 => format!("UPDATE orders SET customer_id = {r} % 97, note = {} WHERE id = {id}", text(rng)),
        // A row that becomes public must come with all that is published of it: under this replica identity the
        // transform could not know a note that is stored apart and left alone.
        5 => format!("UPDATE orders SET is_test = NOT is_test, note = note || '.' WHERE id BETWEEN {id} AND {end}"),
        6 => {
            let to = rng.u32(1..9000);
            format!("UPDATE orders SET id = {to} WHERE id = {id} AND NOT EXISTS (SELECT FROM orders WHERE id = {to})")
        }
        // May meet a key that is taken; then the statement is undone, and what was sent of it is never seen.
        7 => format!("UPDATE orders SET id = id + 3 WHERE id BETWEEN {id} AND {id} + 2"),
        _ => format!("DELETE FROM orders WHERE id BETWEEN {id} AND {end}"),
    }
}

fn parcel(rng: &mut Rng) -> String {
    let r = rng.u32(..1_000_000);
    let n = rng.u32(1..800);
    match rng.u32(0..8) {
        0..=1 => format!(
            "INSERT INTO parcels SELECT i % 7, 'P' || i, {r} / 1000.0, {}, NULL FROM generate_series({n}, {n} + 9) AS i \
             ON CONFLICT (depot, code) DO UPDATE SET weight = excluded.weight",
            text(rng)
        ),
        2 => format!("UPDATE parcels SET note = {} WHERE code = 'P{n}'", text(rng)),
        3 => format!("UPDATE parcels SET label = {} WHERE code = 'P{n}'", text(rng)),
        // The key changes and the long value stays where it is.
        4 => format!("UPDATE parcels SET depot = (depot + {r}) % 9 WHERE code BETWEEN 'P{n}' AND 'P{n}9'"),
        5 => format!("UPDATE parcels SET code = 'Q' || code, weight = -1 WHERE code = 'P{n}'"),
        6 => format!("UPDATE parcels SET code = substr(code, 2) WHERE code LIKE 'QP{n}%'"),
        _ => format!("DELETE FROM parcels WHERE code BETWEEN 'P{n}' AND 'P{n}9'"),
    }
}

fn tag(rng: &mut Rng) -> String {
    let id = rng.u32(1..500);
    match rng.u32(0..7) {
        0..=1 => format!("INSERT INTO tags VALUES ({id}, 'new', {}) ON CONFLICT DO NOTHING", text(rng)),
        2 => format!("UPDATE tags SET name = name || '!' WHERE id BETWEEN {id} AND {id} + 5"),
        3 => format!("UPDATE tags SET body = {} WHERE id = {id}", text(rng)),
        4 => format!("UPDATE tags SET id = {} WHERE id = {id}", rng.u32(500..5000)),
        5 => format!("UPDATE tags SET id = -id WHERE id BETWEEN {id} AND {id} + 3"),
        _ => format!("DELETE FROM tags WHERE id IN ({id}, {}, -{id})", rng.u32(1..5000)),
    }
}

fn badge(rng: &mut Rng) -> String {
    let id = rng.u32(1..500);
    match rng.u32(0..7) {
        0..=1 => format!(
            "INSERT INTO badges VALUES ({id}, 'B{}', 'new', {}) ON CONFLICT DO NOTHING",
            rng.u32(1..800),
            text(rng)
        ),
        // The primary key is no key here, the code is.
        2 => format!("UPDATE badges SET id = {} WHERE id = {id}", rng.u32(500..5000)),
        3 => format!("UPDATE badges SET code = 'C' || code WHERE id = {id}"),
        4 => format!("UPDATE badges SET photo = {} WHERE id = {id}", text(rng)),
        5 => format!("UPDATE badges SET holder = holder || '+' WHERE id BETWEEN {id} AND {id} + 8"),
        _ => format!("DELETE FROM badges WHERE id BETWEEN {id} AND {id} + 1"),
    }
}

fn visit(rng: &mut Rng) -> String {
    let (at, who) = (rng.u32(0..50), rng.u32(0..5));
    match rng.u32(0..6) {
        0..=2 => {
            format!("INSERT INTO visits SELECT {at}, 'visitor {who}', NULL FROM generate_series(1, {})", rng.u32(1..6))
        }
        3 => format!("UPDATE visits SET what = 'cake' WHERE at = {at} AND who = 'visitor {who}'"),
        // One of several equal rows.
        4 => format!("DELETE FROM visits WHERE ctid = (SELECT ctid FROM visits WHERE at = {at} LIMIT 1)"),
        _ => format!("DELETE FROM visits WHERE at = {at} AND who = 'visitor {who}'"),
    }
}
