//! Whether a publication has the columns and rows of a table that were asked for by hand.

use tokio_postgres::Client;

use super::SourceFacts;
use crate::postgres::QueryError;
use crate::postgres::catalog::{Generated, TableName};
use crate::postgres::publication::{self, PublicationError, PublishedTable};
use crate::setup::tables::Entry;
use crate::setup::target::SourceTarget;

/// Returns the tables that are published with other columns or rows. Inside a transaction, and only there.
///
/// # Errors
/// [`PublicationError`]: the connection was lost.
pub async fn differing(
    client: &Client,
    wanted: &SourceTarget,
    source: &SourceFacts,
) -> Result<Vec<TableName>, PublicationError> {
    let mut differing = Vec::new();
    for entry in &wanted.asked.entries {
        let published = source.publication.as_ref().and_then(|publication| publication.table(&entry.table));
        let Some(published) = published else { continue };
        let is_it = match entry.is_whole() {
            true => is_whole(source, published),
            false => says(client, entry, published).await?,
        };
        if !is_it {
            differing.push(entry.table.clone());
        }
    }
    Ok(differing)
}

fn is_whole(source: &SourceFacts, published: &PublishedTable) -> bool {
    let Some(table) = source.table(&published.name) else { return true };
    let plain = table.columns.iter().filter(|column| column.generated == Generated::No).count();
    published.row_filter.is_none() && plain <= published.columns.len()
}

/// Filters are compared as the server prints them: it is asked to, by a publication that is never committed. What it
/// refuses to publish so differs, and what it says is said when it is altered.
async fn says(client: &Client, entry: &Entry, published: &PublishedTable) -> Result<bool, PublicationError> {
    let probe = format!("pelton_probe_{:016x}", fastrand::u64(..));
    let failed = |error| QueryError::new(format!("try the columns and the row filter of {}", entry.table), error);
    let (begin, end) = ("SAVEPOINT probe", "ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe");
    client.batch_execute(begin).await.map_err(failed)?;
    let make = format!("CREATE PUBLICATION {probe} FOR TABLE {} WITH (publish_via_partition_root = true)", entry.sql());
    let looked = match client.batch_execute(&make).await {
        Ok(()) => publication::look_up(client, &probe).await,
        Err(error) => match failed(error) {
            QueryError::Refused { .. } => Ok(None),
            lost => Err(lost.into()),
        },
    };
    client.batch_execute(end).await.map_err(failed)?;
    let probed = looked?.and_then(|found| found.table(&entry.table).cloned());
    Ok(probed.is_some_and(|probed| probed.columns == published.columns && probed.row_filter == published.row_filter))
}
