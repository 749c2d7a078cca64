//! One test's own database.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pelton::postgres::throwaway::Address;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{PATIENCE, started};

/// A row as text, `None` for NULL.
pub type Row = Vec<Option<String>>;

/// A database that is dropped, with its replication slots, when the test ends.
pub struct Database {
    name: String,
    address: Address,
    client: Client,
}

impl Database {
    pub(super) async fn create(address: Address) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("t_{}_{count}_{:04x}", std::process::id(), fastrand::u16(..));
        started(address.create_database(&name).await);
        let client = started(address.connect(&name).await);
        Database { name, address, client }
    }

    /// Returns the same database as a standby of its server has it.
    pub(super) async fn on_standby(&self, address: Address) -> Database {
        let client = started(address.connect(&self.name).await);
        Database { name: self.name.clone(), address, client }
    }

    /// Returns the name, which no other database of the server ever has: good as a part of a slot's name too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a URL over TCP as the superuser.
    pub fn url(&self) -> String {
        self.address.url(&self.name)
    }

    /// Returns the server's major version.
    pub async fn major(&self) -> u32 {
        let number = self.value("SHOW server_version_num").await;
        number.parse::<u32>().expect("a number") / 10_000
    }

    /// Opens another session.
    pub async fn connect(&self) -> Client {
        started(self.address.connect(&self.name).await)
    }

    /// Connects anew, after the server was restarted.
    pub async fn reconnect(&mut self) {
        self.client = self.connect().await;
    }

    /// Runs statements.
    #[track_caller]
    pub fn execute<'a>(&'a self, sql: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            if let Err(error) = self.client.batch_execute(sql).await {
                panic!("at {caller}: {}\n{sql}", explained(&error));
            }
        }
    }

    /// Returns a query's rows, as Postgres prints their values.
    #[track_caller]
    pub fn rows<'a>(&'a self, sql: &'a str) -> impl Future<Output = Vec<Row>> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            match self.client.simple_query(sql).await {
                Ok(messages) => messages.iter().filter_map(row).collect(),
                Err(error) => panic!("at {caller}: {}\n{sql}", explained(&error)),
            }
        }
    }

    /// Returns the only value of a query's only row, `""` for NULL.
    #[track_caller]
    pub fn value<'a>(&'a self, sql: &'a str) -> impl Future<Output = String> + 'a {
        let caller = std::panic::Location::caller();
        let rows = self.rows(sql);
        async move {
            match rows.await.as_slice() {
                [row] if row.len() == 1 => row[0].clone().unwrap_or_default(),
                rows => panic!("at {caller}: one value was expected, not {rows:?}\n{sql}"),
            }
        }
    }

    /// Waits until a table is there and has so many rows.
    #[track_caller]
    pub fn wait_for_rows<'a>(&'a self, table: &'a str, rows: u64) -> impl Future<Output = ()> + 'a {
        let (made, filled) =
            (format!("to_regclass('{table}') IS NOT NULL"), format!("(SELECT count(*) FROM {table}) = {rows}"));
        async move {
            self.wait_until(&made).await;
            self.wait_until(&filled).await;
        }
    }

    /// Waits until a condition in SQL holds, such as `(SELECT count(*) FROM orders) = 10`; fails after [`PATIENCE`].
    #[track_caller]
    pub fn wait_until<'a>(&'a self, condition: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let begun = Instant::now();
            let sql = format!("SELECT coalesce(({condition})::bool, false)");
            while self.value(&sql).await != "t" {
                assert!(begun.elapsed() < PATIENCE, "at {caller}: did not come true within {PATIENCE:?}: {condition}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nothing here may fail the test: the server may be stopped already, and takes everything with it in the end.
        let (name, address) = (self.name.clone(), self.address.clone());
        let cleaner = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .map(|runtime| runtime.block_on(async { tokio::time::timeout(PATIENCE, clean(&name, &address)).await }))
        });
        cleaner.join().ok();
    }
}

/// Drops the database and its slots: a slot that stays would hold back the WAL of all.
async fn clean(name: &str, address: &Address) -> Option<()> {
    let client = address.connect("postgres").await.ok()?;
    // A walsender lets go of its slot only when it is gone, which takes a moment.
    for _ in 0..200 {
        let sql = format!(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
             WHERE database = '{name}' AND active_pid IS NOT NULL"
        );
        if client.query(&sql, &[]).await.ok()?.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let slots =
        format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'");
    client.batch_execute(&slots).await.ok()?;
    client.batch_execute(&format!("DROP DATABASE \"{name}\" WITH (FORCE)")).await.ok()
}

fn row(message: &SimpleQueryMessage) -> Option<Row> {
    match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    }
}

fn explained(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{db}{}", db.detail().map(|detail| format!(" ({detail})")).unwrap_or_default()),
        None => error.to_string(),
    }
}
