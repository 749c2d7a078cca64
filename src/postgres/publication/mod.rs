//! Publications: what a source gives away.
//!
//! # Why `FOR ALL TABLES` is never made
//! A table that is published with updates and deletes, and has no replica identity, refuses every UPDATE and DELETE:
//! the publication would break the application that owns the table. So a publication of ours names the tables that may
//! be published (`judge`), and those that may not are returned, each with its reason and the statement that mends it.
//! Tables that are made later are added at the next start ([`ensure`]), but for those that somebody counts on having
//! been there all the time: adding them would hide that changes are missing.
//!
//! # Whose publication it is
//! Ours bears a comment and is kept up to date. One that an administrator made for us, by `pelton setup`, bears another
//! one: setup alters it, and a start leaves it, since its role may not. One that somebody else made is respected: what it lacks, and what it
//! endangers, is reported and left alone. So is any that a standby has: it is made and altered at the primary.

mod judge;
mod look_up;
mod members;

use tokio_postgres::Client;

pub use judge::{Plan, Reason, Refused, judge};
pub use look_up::{Publication, PublishedTable, look_up};
pub use members::Members;
use members::members;

use super::QueryError;
use super::catalog::{self, TableName, Which};
use super::quote::{quote_ident, quote_literal};

/// The comment by which a publication of ours is known.
pub const MARK: &str = "Made by Pelton, which adds tables at its start. Remove this comment to keep it as it is.";

/// The comment on one that an administrator made for us: `pelton setup` looks after it, a start does not.
pub const SETUP_MARK: &str =
    "Made by pelton setup, which adds tables when it is run again. Remove this comment to keep it as it is.";

/// Which tables are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All that may be published, today's and later ones.
    All,
    Listed(Vec<TableName>),
}

/// What came of [`ensure`].
#[derive(Clone, Debug)]
pub struct Ensured {
    /// As it is now.
    pub publication: Publication,
    /// It did not exist before.
    pub made: bool,
    /// It does not exist, and was not made, since there are tables that are held.
    pub gone: bool,
    /// What it names, to be asked again later; looked up before `publication`.
    pub members: Option<Members>,
    /// The tables that were added, those of a new publication included.
    pub added: Vec<TableName>,
    /// Wanted and fit to be published, but neither there nor added: the publication is not ours, or they are held.
    pub missing: Vec<TableName>,
    /// Wanted, but not fit to be published.
    pub refused: Vec<Refused>,
    /// Published with updates or deletes, which fail for want of a replica identity: today, at the source.
    pub endangered: Vec<Refused>,
}

/// What keeps a publication from being looked up, made or altered.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    #[error("the role may not make or alter the publication \"{name}\"")]
    NotPermitted { name: String, source: QueryError },
    #[error("publication \"{name}\" does not exist")]
    Missing { name: String },
    #[error("publication \"{name}\" does not exist, and this is a standby, where it can't be made")]
    MissingOnStandby { name: String, make: String },
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl PublicationError {
    pub fn is_transient(&self) -> bool {
        match self {
            PublicationError::Query(error) => error.is_transient(),
            _ => false,
        }
    }

    /// Returns what the operator should do.
    pub fn hint(&self) -> Option<String> {
        match self {
            PublicationError::NotPermitted { name, .. } => Some(format!(
                "the role needs CREATE on the database (GRANT CREATE ON DATABASE …) and must own every published table, \
                 or somebody who may does it: CREATE PUBLICATION {} FOR TABLE …",
                quote_ident(name)
            )),
            PublicationError::Missing { name } => Some(format!("CREATE PUBLICATION {} FOR TABLE …", quote_ident(name))),
            PublicationError::MissingOnStandby { make, .. } => {
                Some(format!("at the primary: {make}; start again once it has arrived here"))
            }
            PublicationError::Query(error) => error.hint(),
        }
    }

    fn of_query(name: &str, error: QueryError) -> PublicationError {
        match error.code() {
            Some("42501") => PublicationError::NotPermitted { name: name.to_owned(), source: error },
            Some("42704") => PublicationError::Missing { name: name.to_owned() },
            _ => PublicationError::Query(error),
        }
    }
}

/// Makes the publication if there is none, adds what is wanted if it is ours, and reports what is amiss.
///
/// Tables that are `held` are never added, nor is the publication made anew without them. On a standby nothing can be
/// made or added.
///
/// # Errors
/// [`PublicationError`]. Nothing is half made: publication, tables and mark are one transaction.
pub async fn ensure(
    client: &Client,
    name: &str,
    wanted: &Wanted,
    held: &[TableName],
) -> Result<Ensured, PublicationError> {
    let which = match wanted {
        Wanted::All => Which::All,
        Wanted::Listed(names) => Which::WithPartitions(names),
    };
    let plan = judge(&catalog::load(client, which).await?, wanted);
    let standby = is_standby(client).await?;
    let before = look_up(client, name).await?;
    let gone = before.is_none() && !held.is_empty();
    let made = before.is_none() && !gone;
    let absent: Vec<TableName> = match &before {
        None => plan.publish,
        Some(publication) => plan.publish.into_iter().filter(|table| !publication.covers(table)).collect(),
    };
    let (mut added, mut missing) = (Vec::new(), Vec::new());
    if gone {
        let publication = Publication::none(name);
        let (endangered, refused) = (Vec::new(), plan.refused);
        return Ok(Ensured { publication, made, gone, members: None, added, missing: absent, refused, endangered });
    }
    match before {
        None if standby => {
            let (name, make) = (name.to_owned(), create_statement(name, &absent));
            return Err(PublicationError::MissingOnStandby { name, make });
        }
        None => {
            run(client, name, "make", create_statement(name, &absent)).await?;
            added = absent;
        }
        Some(publication) if publication.ours && !standby => {
            (missing, added) = absent.into_iter().partition(|table| held.contains(table));
            if !added.is_empty() {
                run(client, name, "add tables to", add_statement(name, &added)).await?;
            }
        }
        Some(_) => missing = absent,
    }
    let members = members(client, name).await?;
    let publication =
        look_up(client, name).await?.ok_or_else(|| PublicationError::Missing { name: name.to_owned() })?;
    let endangered = endangered(client, &publication).await?;
    Ok(Ensured { publication, made, gone, members, added, missing, refused: plan.refused, endangered })
}

async fn is_standby(client: &Client) -> Result<bool, QueryError> {
    let failed = |error| QueryError::new("ask whether the server is a standby", error);
    client.query_one("SELECT pg_catalog.pg_is_in_recovery()", &[]).await.and_then(|row| row.try_get(0)).map_err(failed)
}

/// Finds the published tables whose updates and deletes fail. An empty list, where the publication has neither.
async fn endangered(client: &Client, publication: &Publication) -> Result<Vec<Refused>, PublicationError> {
    if !publication.update && !publication.delete {
        return Ok(Vec::new());
    }
    let names: Vec<TableName> = publication.tables.iter().map(|table| table.name.clone()).collect();
    let tables = catalog::load(client, Which::WithPartitions(&names)).await?;
    Ok(judge::without_identity(&tables))
}

/// Returns the statement that adds tables to a publication.
pub fn add_statement(name: &str, tables: &[TableName]) -> String {
    format!("ALTER PUBLICATION {} ADD {}", quote_ident(name), table_list(tables))
}

fn table_list(tables: &[TableName]) -> String {
    format!("TABLE {}", tables.iter().map(whole).collect::<Vec<_>>().join(", "))
}

/// Returns a table as it stands in `FOR TABLE`: with ONLY, since tables that inherit are listed, and judged, in their own
/// right.
pub fn whole(table: &TableName) -> String {
    format!("ONLY {}", table.quoted())
}

fn create_statement(name: &str, tables: &[TableName]) -> String {
    create_statements(name, &tables.iter().map(whole).collect::<Vec<_>>(), MARK).join("; ")
}

/// Returns the statements that make a publication of `tables`, each as it stands in `FOR TABLE`, with a mark.
///
/// Changes of partitions are published as those of their table, which is what a manifest names.
pub fn create_statements(name: &str, tables: &[String], mark: &str) -> Vec<String> {
    let of = if tables.is_empty() { String::new() } else { format!(" FOR TABLE {}", tables.join(", ")) };
    let name = quote_ident(name);
    vec![
        format!(
            "CREATE PUBLICATION {name}{of} WITH (publish = 'insert, update, delete, truncate', \
             publish_via_partition_root = true)"
        ),
        format!("COMMENT ON PUBLICATION {name} IS {}", quote_literal(mark)),
    ]
}

/// Drops a publication; one that is not there is no error.
///
/// # Errors
/// [`PublicationError::NotPermitted`] and those of the connection.
pub async fn drop_publication(client: &Client, name: &str) -> Result<(), PublicationError> {
    run(client, name, "drop", format!("DROP PUBLICATION IF EXISTS {}", quote_ident(name))).await
}

/// Returns the other publications of this database that bear a mark of ours: those of other manifests.
///
/// # Errors
/// What the server says.
pub async fn others_of_ours(client: &Client, name: &str) -> Result<Vec<String>, QueryError> {
    let sql = "SELECT p.pubname::text FROM pg_catalog.pg_publication AS p WHERE p.pubname <> $1::text \
               AND pg_catalog.obj_description(p.oid, 'pg_publication') = ANY ($2::text[]) ORDER BY 1";
    let rows = client.query(sql, &[&name, &vec![MARK, SETUP_MARK]]).await;
    let rows = rows.map_err(|error| QueryError::new("look for other publications", error))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Runs statements in one transaction.
async fn run(client: &Client, name: &str, doing: &str, statements: String) -> Result<(), PublicationError> {
    let failed = |error| QueryError::new(format!("{doing} the publication \"{name}\""), error);
    client.batch_execute(&statements).await.map_err(|e| PublicationError::of_query(name, failed(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_publication_is_made_with_its_mark_and_quoted_names() {
        let tables = [TableName::new("public", "orders"), TableName::new("S", "a\"b")];
        assert_eq!(
            create_statement("p", &tables),
            "CREATE PUBLICATION \"p\" FOR TABLE ONLY \"public\".\"orders\", ONLY \"S\".\"a\"\"b\" WITH (publish = \
             'insert, update, delete, truncate', publish_via_partition_root = true); COMMENT ON PUBLICATION \"p\" IS \
             'Made by Pelton, which adds tables at its start. Remove this comment to keep it as it is.'"
        );
        assert!(create_statement("p", &[]).starts_with("CREATE PUBLICATION \"p\" WITH"));
    }
}
