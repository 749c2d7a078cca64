//! The shop: its tables, what is in them at first, and the traffic that keeps changing them.
//!
//! The traffic comes from a seeded generator, so that every run is alike but for how far it gets. It is what makes
//! replication hard in small: transactions over several tables, bulk updates, deletes, key changes, rows that stop and
//! start to be published, and transactions that are rolled back.

use std::fmt::{self, Write};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::show::grouped;
use super::{DemoError, Result};

const SCHEMA: &str = "
CREATE TABLE customers (
    id bigint PRIMARY KEY, name text NOT NULL, email text NOT NULL, city text,
    tags text[] NOT NULL DEFAULT '{}', profile jsonb NOT NULL DEFAULT '{}', visits bigint NOT NULL DEFAULT 0, since date NOT NULL
);
CREATE TABLE orders (
    id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, customer_name text NOT NULL, email text NOT NULL,
    amount numeric(12,2) NOT NULL, currency text NOT NULL, note text, is_test boolean NOT NULL DEFAULT false,
    placed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE order_lines (
    order_id bigint NOT NULL REFERENCES orders ON UPDATE CASCADE, line_no int NOT NULL, product text NOT NULL, qty int NOT NULL,
    price numeric(10,2) NOT NULL, PRIMARY KEY (order_id, line_no)
);";

/// What is there before Pelton comes, and must be copied while the traffic goes on.
const SEED: &str = "
INSERT INTO customers (id, name, email, city, tags, profile, visits, since)
SELECT i, 'Customer ' || i, 'customer' || i || '@example.com', (ARRAY['Lyon', 'Porto', 'Kraków', 'Århus', NULL])[i % 5 + 1],
       CASE WHEN i % 7 = 0 THEN '{vip,newsletter}' ELSE '{}' END::text[], jsonb_build_object('points', i % 100), i % 20,
       date '2020-01-01' + i % 2000
FROM generate_series(1, 1000) AS i;
INSERT INTO orders (id, customer_id, customer_name, email, amount, currency, note, is_test, placed_at)
SELECT i, i % 1000 + 1, 'Customer ' || (i % 1000 + 1), 'customer' || (i % 1000 + 1) || '@example.com', (i * 37 % 50000) / 100.0,
       'EUR', CASE WHEN i % 4 = 0 THEN 'leave it at the door' END, i % 20 = 0,
       timestamptz '2026-01-01 08:00+00' + i * interval '7 minutes'
FROM generate_series(1, 5000) AS i;
INSERT INTO order_lines (order_id, line_no, product, qty, price)
SELECT o, n, (ARRAY['teapot', 'kettle', 'cup', 'tray'])[(o + n) % 4 + 1], (o + n) % 5 + 1, (o * n % 9000) / 100.0 + 1
FROM generate_series(1, 5000) AS o, generate_series(1, 3) AS n WHERE n <= o % 3 + 1;";

/// The customer whose visits serve the meter as a probe; the traffic leaves them alone.
pub(super) const PROBE: u32 = 1;

const CITIES: [&str; 6] = ["Lyon", "Porto", "Kraków", "Århus", "Nová Paka", "São Tomé"];
const PRODUCTS: [&str; 5] = ["teapot", "kettle", "cup", "tray", "strainer ''fine''"];
const NOTES: [&str; 5] = ["NULL", "''", "'ring twice'", "E'two\\nlines\\tand a tab'", "'naïve ☕ café'"];

/// What the traffic has written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub rows: u64,
    pub transactions: u64,
}

/// How many rows each table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    customers: u64,
    orders: u64,
    order_lines: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [customers, orders, lines] = [self.customers, self.orders, self.order_lines].map(grouped);
        write!(f, "{customers} customers, {orders} orders, {lines} order lines")
    }
}

/// The open shop: its tables and who writes to them.
pub(super) struct Shop {
    client: Client,
    traffic: Traffic,
    written: tokio::sync::watch::Sender<Written>,
}

impl Shop {
    /// Makes the tables and fills them.
    pub async fn open(client: Client) -> Result<Shop> {
        let fail = |source| DemoError::Sql { act: "make the shop's tables", source };
        client.batch_execute(&format!("BEGIN;{SCHEMA}{SEED}COMMIT; ANALYZE")).await.map_err(fail)?;
        Ok(Shop { client, traffic: Traffic::new(7), written: Default::default() })
    }

    pub async fn counts(&self) -> Result<Counts> {
        let sql = "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders), (SELECT count(*) FROM order_lines)";
        let fail = |source| DemoError::Sql { act: "count the shop's rows", source };
        let row = self.client.query_one(sql, &[]).await.map_err(fail)?;
        let count = |column| row.get::<_, i64>(column).unsigned_abs();
        Ok(Counts { customers: count(0), orders: count(1), order_lines: count(2) })
    }

    /// Returns a view of what is written, which moves on while [`Shop::keep_writing`] runs.
    pub fn written(&self) -> tokio::sync::watch::Receiver<Written> {
        self.written.subscribe()
    }

    /// Writes for as long, at this many rows a second at most.
    pub async fn keep_writing(&mut self, long: Duration, rate: u32) -> Result<Written> {
        let begun = Instant::now();
        let rows_before = self.written.borrow().rows;
        while begun.elapsed() < long {
            let due = (begun.elapsed().as_secs_f64() * f64::from(rate)) as u64;
            if self.written.borrow().rows - rows_before >= due {
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            let sql = self.traffic.next_transaction();
            let rows = self.run(&sql).await?;
            self.written.send_modify(|written| {
                written.rows += rows;
                written.transactions += 1;
            });
        }
        Ok(*self.written.borrow())
    }

    /// Runs a transaction; returns how many rows it changed, none if it was rolled back.
    async fn run(&self, sql: &str) -> Result<u64> {
        let fail = |source| DemoError::Sql { act: "write to the shop", source };
        let messages = self.client.simple_query(sql).await.map_err(fail)?;
        let rows = messages.iter().map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => *rows,
            _ => 0,
        });
        Ok(if sql.ends_with("ROLLBACK") { 0 } else { rows.sum() })
    }
}

/// Makes up what customers do.
struct Traffic {
    rng: Rng,
    customers: u64,
    next_order: u64,
    /// Orders that can be changed or deleted.
    orders: Vec<u64>,
}

impl Traffic {
    fn new(seed: u64) -> Traffic {
        Traffic { rng: Rng::with_seed(seed), customers: 1_000, next_order: 5_001, orders: (1..=5_000).collect() }
    }

    /// Returns the statements of one transaction.
    fn next_transaction(&mut self) -> String {
        let mut sql = String::from("BEGIN;");
        let end = match self.rng.u32(..100) {
            0..50 => {
                self.place_order(&mut sql);
                "COMMIT"
            }
            50..70 => {
                self.change_order(&mut sql);
                "COMMIT"
            }
            70..80 => {
                self.change_customer(&mut sql);
                "COMMIT"
            }
            80..85 => {
                self.new_customer(&mut sql);
                "COMMIT"
            }
            85..93 => {
                self.delete_order(&mut sql);
                "COMMIT"
            }
            93..95 => {
                self.renumber_order(&mut sql);
                "COMMIT"
            }
            95..98 => {
                self.change_prices(&mut sql);
                "COMMIT"
            }
            _ => {
                self.place_order(&mut sql);
                // It never came to be, so nothing later may touch it.
                self.orders.pop();
                "ROLLBACK"
            }
        };
        sql.push_str(end);
        sql
    }

    fn place_order(&mut self, sql: &mut String) {
        let order = self.next_order;
        self.next_order += 1;
        let customer = self.rng.u64(1..=self.customers);
        let amount = self.cents();
        let (note, test) = (self.pick(&NOTES), self.rng.u8(..20) == 0);
        append(
            sql,
            format_args!(
                "INSERT INTO orders (id, customer_id, customer_name, email, amount, currency, note, is_test) \
                 SELECT {order}, id, name, email, {amount}, 'EUR', {note}, {test} FROM customers WHERE id = {customer};"
            ),
        );
        for line in 1..=self.rng.u32(1..=4) {
            let (product, qty, price) = (self.pick(&PRODUCTS), self.rng.u32(1..9), self.cents());
            append(sql, format_args!("INSERT INTO order_lines VALUES ({order}, {line}, '{product}', {qty}, {price});"));
        }
        self.orders.push(order);
    }

    fn change_order(&mut self, sql: &mut String) {
        let order = self.pick_order();
        match self.rng.u8(..4) {
            0 => append(sql, format_args!("UPDATE orders SET note = {} WHERE id = {order};", self.pick(&NOTES))),
            1 => append(sql, format_args!("UPDATE orders SET is_test = NOT is_test WHERE id = {order};")),
            _ => {
                append(sql, format_args!("UPDATE orders SET amount = {} WHERE id = {order};", self.cents()));
                append(sql, format_args!("UPDATE order_lines SET qty = qty + 1 WHERE order_id = {order};"));
            }
        }
    }

    fn change_customer(&mut self, sql: &mut String) {
        let customer = self.rng.u64(u64::from(PROBE) + 1..=self.customers);
        let (city, points) = (self.pick(&CITIES), self.rng.u32(..1_000));
        append(
            sql,
            format_args!(
                "UPDATE customers SET city = '{city}', visits = visits + 1, tags = array_append(tags[1:3], 'p{points}'), \
                 profile = profile || '{{\"points\": {points}}}' WHERE id = {customer};"
            ),
        );
    }

    fn new_customer(&mut self, sql: &mut String) {
        self.customers += 1;
        let (customer, city) = (self.customers, self.pick(&CITIES));
        append(
            sql,
            format_args!(
                "INSERT INTO customers (id, name, email, city, since) VALUES \
                 ({customer}, 'Customer {customer}', 'customer{customer}@example.com', '{city}', current_date);"
            ),
        );
    }

    fn delete_order(&mut self, sql: &mut String) {
        let order = self.pick_order();
        self.orders.retain(|other| *other != order);
        append(sql, format_args!("DELETE FROM order_lines WHERE order_id = {order};"));
        append(sql, format_args!("DELETE FROM orders WHERE id = {order};"));
    }

    /// Changes an order's key; its lines follow by their foreign key.
    fn renumber_order(&mut self, sql: &mut String) {
        let (from, to) = (self.pick_order(), self.next_order);
        self.next_order += 1;
        self.orders.retain(|other| *other != from);
        self.orders.push(to);
        append(sql, format_args!("UPDATE orders SET id = {to} WHERE id = {from};"));
    }

    fn change_prices(&mut self, sql: &mut String) {
        let first = self.pick_order();
        append(
            sql,
            format_args!(
                "UPDATE order_lines SET price = mod(price + 7.35, 900) WHERE order_id BETWEEN {first} AND {first} + 40;"
            ),
        );
    }

    /// Picks an order, the newer ones more often, as in life; there are always some, for more are placed than deleted.
    fn pick_order(&mut self) -> u64 {
        let newest = self.rng.bool();
        let first = if newest { self.orders.len().saturating_sub(500) } else { 0 };
        self.orders[self.rng.usize(first..self.orders.len())]
    }

    fn pick(&mut self, among: &[&'static str]) -> &'static str {
        among[self.rng.usize(..among.len())]
    }

    fn cents(&mut self) -> String {
        let cents = self.rng.u32(100..90_000);
        format!("{}.{:02}", cents / 100, cents % 100)
    }
}

fn append(sql: &mut String, text: fmt::Arguments<'_>) {
    sql.write_fmt(text).expect("writing to a String");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_traffic() {
        let traffic = |seed| {
            let mut traffic = Traffic::new(seed);
            (0..500).map(|_| traffic.next_transaction()).collect::<Vec<_>>()
        };
        assert_eq!(traffic(1), traffic(1));
        assert_ne!(traffic(1), traffic(2));
    }

    #[test]
    fn traffic_holds_every_kind_of_change() {
        let mut traffic = Traffic::new(7);
        let all = (0..500).map(|_| traffic.next_transaction()).collect::<String>();
        for kind in ["INSERT INTO customers", "DELETE FROM orders", "SET id =", "NOT is_test", "mod(price", "ROLLBACK"]
        {
            assert!(all.contains(kind), "{kind}");
        }
    }
}
