//! The publication of a recording: pgoutput decodes nothing without one.
//!
//! Its maker holds an advisory lock of its name for as long as its session lives. So one whose lock is free was left behind
//! by a process that was killed, and is dropped by the next recording.

use std::hash::{BuildHasher, Hasher, RandomState};

use tokio_postgres::Client;

use super::error::RecordError;
use crate::postgres::QueryError;
use crate::postgres::catalog::{self, TableKind, TableName, Which};
use crate::postgres::publication::{
    PublicationError, Refused, Wanted, create_statements, drop_publication, judge, look_up, whole,
};

/// The comment by which one is known.
const MARK: &str = "Made by Pelton for a recording, and dropped at its end.";

/// Whoever runs VACUUM or alters a table holds it up for that long at most.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '10s'";

/// Returns a name for the slot and the publication that nobody else has.
pub(super) fn name() -> String {
    // A hasher that is made is seeded at random.
    format!("pelton_record_{:016x}", RandomState::new().build_hasher().finish())
}

/// Makes a publication of the tables that may be published, and returns why others may not, if all are wanted.
///
/// A partitioned table is one of them only if it has a primary key: a partition that is made meanwhile inherits that, and
/// no other replica identity, so its updates would fail.
pub(super) async fn make(client: &Client, name: &str, wanted: &Wanted) -> Result<Vec<String>, RecordError> {
    let which = match wanted {
        Wanted::All => Which::All,
        Wanted::Listed(names) => Which::WithPartitions(names),
    };
    let found = catalog::load(client, which).await?;
    let mut plan = judge(&found, wanted);
    let inherits_nothing = |name: &TableName| {
        let table = found.iter().find(|table| table.name == *name);
        table.is_some_and(|table| table.kind == TableKind::Partitioned && table.primary_key().is_none())
    };
    let (partitioned, publish): (Vec<_>, Vec<_>) = plan.publish.into_iter().partition(inherits_nothing);
    plan.publish = publish;
    match wanted {
        Wanted::Listed(_) if !plan.refused.is_empty() => return Err(RecordError::Refused(plan.refused)),
        Wanted::Listed(_) if !partitioned.is_empty() => return Err(RecordError::Partitioned(partitioned)),
        _ if plan.publish.is_empty() => return Err(RecordError::NoTables),
        _ => {}
    }
    let mut left_out: Vec<String> = plan.refused.iter().map(Refused::to_string).collect();
    left_out.extend((!partitioned.is_empty()).then(|| RecordError::Partitioned(partitioned).to_string()));
    client.batch_execute(LOCK_TIMEOUT).await.map_err(|error| QueryError::new("set lock_timeout", error))?;
    sweep(client).await?;
    let failed = |error| {
        let error = QueryError::new("make the publication of the recording", error);
        match error.code() {
            Some("42501") => PublicationError::NotPermitted { name: name.to_owned(), source: error },
            Some("25006") => PublicationError::MissingOnStandby { name: name.to_owned(), make: String::new() },
            _ => PublicationError::Query(error),
        }
    };
    let lock = "SELECT pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended($1::text, 0))";
    client.execute(lock, &[&name]).await.map_err(failed)?;
    let tables: Vec<String> = plan.publish.iter().map(whole).collect();
    // One transaction: there is none without its mark.
    client.batch_execute(&create_statements(name, &tables, MARK).join("; ")).await.map_err(failed)?;
    Ok(left_out)
}

/// Drops what recordings left behind whose process was killed.
async fn sweep(client: &Client) -> Result<(), RecordError> {
    let failed = |error| QueryError::new("look for publications that recordings left behind", error);
    let found = "SELECT p.pubname::text FROM pg_catalog.pg_publication p \
                 WHERE pg_catalog.obj_description(p.oid, 'pg_publication') = $1::text ORDER BY 1";
    let found = client.query(found, &[&MARK]).await.map_err(failed)?;
    for name in found.iter().map(|row| row.get::<_, String>(0)) {
        let key = "pg_catalog.hashtextextended($1::text, 0)";
        let free = format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
        if client.query_one(&free, &[&name]).await.map_err(failed)?.get::<_, bool>(0) {
            unmake(client, &name).await;
            let unlock = format!("SELECT pg_catalog.pg_advisory_unlock({key})");
            client.execute(&unlock, &[&name]).await.map_err(failed)?;
        }
    }
    Ok(())
}

/// Drops a publication of a recording; where that fails, it says so and how to do it by hand.
pub(super) async fn unmake(client: &Client, name: &str) {
    if let Err(error) = drop_publication(client, name).await {
        tracing::warn!(%error, "a recording leaves its publication behind: DROP PUBLICATION {name}");
    }
}

/// Ends the session that makes, or reads from, a slot of a recording: while it waits for running transactions to end it does
/// not notice that nobody listens any more.
pub(super) async fn end_slot(client: &Client, name: &str) {
    let end = "SELECT pg_catalog.pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots \
               WHERE slot_name = $1::text AND active_pid IS NOT NULL";
    if let Err(error) = client.execute(end, &[&name]).await {
        tracing::debug!(%error, "the session of a recording could not be ended");
    }
}

/// Demands that a publication has what is wanted of it.
pub(super) async fn check(client: &Client, name: &str, wanted: &Wanted) -> Result<(), RecordError> {
    let Some(publication) = look_up(client, name).await? else {
        return Err(PublicationError::Missing { name: name.to_owned() }.into());
    };
    let Wanted::Listed(names) = wanted else { return Ok(()) };
    // One that is there through its partitions alone comes under their names.
    let absent: Vec<&TableName> = names.iter().filter(|name| publication.table(name).is_none()).collect();
    if absent.is_empty() {
        return Ok(());
    }
    let tables = absent.into_iter().map(ToString::to_string).collect();
    Err(RecordError::NotPublished { publication: name.to_owned(), tables })
}
