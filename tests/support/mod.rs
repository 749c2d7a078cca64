//! What tests against a real PostgreSQL need: a server, a fresh database on it, the `pelton` program, and comparisons in SQL.
//!
//! [`database`] gives an empty database on a server that all tests of a run share, in some ten milliseconds; a test that
//! stops its server or wants it otherwise takes its own with [`server`], in a second or two. Nothing has to be cleaned up.
//! `PELTON_PG_BIN` chooses the version. Without PostgreSQL the tests fail, with a hint.

mod compare;
mod component;
mod database;
mod program;
mod shared;

pub use compare::{assert_same, difference_of};
pub use component::orders_component;
pub use database::Database;
pub use program::Pelton;

use pelton::postgres::throwaway::{Builder, Server, Shutdown, ThrowawayError};

/// How long a test waits for anything before it fails. Far more than a slow machine needs, for no test waits in vain.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// Makes an empty database on the shared server.
pub async fn database() -> Database {
    Database::create(shared::address().await.clone()).await
}

/// Starts a server of the test's own.
pub async fn server() -> Server {
    server_with(|builder| builder).await
}

/// Starts a server of the test's own, as `change` wants it.
pub async fn server_with(change: impl FnOnce(Builder) -> Builder) -> Server {
    started(change(Server::builder()).start().await)
}

/// Makes an empty database on a server of the test's own.
pub async fn database_on(server: &Server) -> Database {
    Database::create(server.address().clone()).await
}

/// Starts a standby of a server, which is stopped meanwhile: a session of `database` is opened anew. Returns the standby,
/// and the database there.
pub async fn standby_of(primary: &mut Server, database: &mut Database) -> (Server, Database) {
    database.execute("SELECT pg_create_physical_replication_slot('standby', true)").await;
    started(primary.stop(Shutdown::Fast).await);
    // With the slot and the feedback the primary keeps what the standby needs to decode.
    let standby = Server::builder()
        .standby_of(primary)
        .setting("primary_slot_name", "standby")
        .setting("hot_standby_feedback", "on")
        .setting("wal_retrieve_retry_interval", "100ms")
        .setting("wal_receiver_status_interval", "1s");
    let standby = started(standby.start().await);
    started(primary.start().await);
    database.reconnect().await;
    let there = database.on_standby(standby.address().clone()).await;
    (standby, there)
}

/// Fails the test with what the operator should do.
fn started<T>(done: Result<T, ThrowawayError>) -> T {
    done.unwrap_or_else(|error| {
        let hint = error.hint().map(|hint| format!("\nHint: {hint}")).unwrap_or_default();
        panic!("no PostgreSQL server for this test: {error}{hint}")
    })
}
