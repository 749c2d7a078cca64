//! What transforms run as: the rows of `rejot_data_store.transform`, `component` and `deployment`.
//!
//! Which component a transform runs as is part of its position, like its state: it is recorded under the owner's token,
//! at the checkpoint from which the component goes on, before it is given anything. A *deployment* is somebody's wish
//! that it run as another one; it stays a wish until it is taken in the same transaction, or refused.

use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row};

use super::{DataStoreError, Owned, Scope, has_table};
use crate::lsn::Lsn;

/// A component larger than this is not kept: Python's, the largest, take some 20 MiB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;

/// What a transform of one destination runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunsAs {
    /// SHA-256 of the component, in hexadecimal.
    pub digest: String,
    /// The same of the manifest's file when this was recorded.
    pub file_digest: Option<String>,
    pub state_version: i32,
    /// The checkpoint at which it began.
    pub lsn: Option<Lsn>,
    /// What it ran as before, and the version of state that that one had.
    pub former: Option<(String, i32)>,
    /// It remembers something.
    pub has_state: bool,
}

/// What became of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentState {
    Wanted,
    Taken,
    Refused,
}

/// The newest deployment of a transform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    pub digest: String,
    pub number: i64,
    pub state: DeploymentState,
    /// Where it was taken.
    pub lsn: Option<Lsn>,
    pub problem: Option<String>,
    pub hint: Option<String>,
    /// How often its component was begun to be made ready, and was neither ready nor refused: the process was gone.
    pub attempts: i32,
}

/// A transform as a destination has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployed {
    pub transform: String,
    pub runs_as: Option<RunsAs>,
    pub deployment: Option<Deployment>,
}

impl Deployed {
    /// Returns the deployment that nobody has taken or refused yet.
    pub fn wish(&self) -> Option<&Deployment> {
        self.deployment.as_ref().filter(|one| one.state == DeploymentState::Wanted)
    }
}

/// What is recorded when a transform begins to run as a component.
#[derive(Clone, Debug)]
pub struct Began<'a> {
    pub transform: &'a str,
    pub digest: &'a str,
    pub file_digest: Option<&'a str>,
    pub state_version: i32,
    /// The checkpoint from which it goes on.
    pub lsn: Lsn,
    /// To be kept, where they are not yet.
    pub bytes: Option<&'a [u8]>,
}

/// Returns the transforms of a scope as a destination has them; nothing where there are no tables of ours yet.
///
/// # Errors
/// What the server says.
pub async fn deployed(client: &Client, scope: &Scope) -> Result<Vec<Deployed>, DataStoreError> {
    if !has_table(client, "deployment").await? {
        return Ok(Vec::new());
    }
    // The last two are read through jsonb, since a table that nobody has migrated yet lacks them.
    let sql = "SELECT coalesce(t.transform, d.transform), t.component_digest, t.file_digest, t.state_version, t.lsn, \
               t.former_digest, t.former_state_version, \
               EXISTS (SELECT FROM rejot_data_store.transform_state AS s WHERE s.manifest_slug = $1 AND s.source_slug = $2 \
               AND s.transform = t.transform), d.component_digest, d.number, d.state, d.lsn, d.problem, d.hint, \
               CASE WHEN d.begun_of = d.number THEN d.begun ELSE 0 END \
               FROM (SELECT * FROM rejot_data_store.transform WHERE manifest_slug = $1 AND source_slug = $2) AS t \
               FULL JOIN (SELECT d.*, (to_jsonb(d) ->> 'attempts')::integer AS begun, \
               (to_jsonb(d) ->> 'attempts_of')::bigint AS begun_of FROM rejot_data_store.deployment AS d \
               WHERE manifest_slug = $1 AND source_slug = $2) AS d \
               USING (transform) ORDER BY 1";
    let rows = client.query(sql, &[&scope.manifest, &scope.source]).await;
    let rows = rows.map_err(DataStoreError::query("read what transforms run as"))?;
    Ok(rows.iter().map(deployed_of).collect())
}

fn deployed_of(row: &Row) -> Deployed {
    let lsn = |column: usize| row.get::<_, Option<PgLsn>>(column).map(|lsn| Lsn(lsn.into()));
    let runs_as = row.get::<_, Option<String>>(1).map(|digest| RunsAs {
        digest,
        file_digest: row.get(2),
        state_version: row.get(3),
        lsn: lsn(4),
        former: row.get::<_, Option<String>>(5).zip(row.get::<_, Option<i32>>(6)),
        has_state: row.get(7),
    });
    let deployment = row.get::<_, Option<String>>(8).map(|digest| Deployment {
        digest,
        number: row.get(9),
        state: match row.get(10) {
            "taken" => DeploymentState::Taken,
            "refused" => DeploymentState::Refused,
            _ => DeploymentState::Wanted,
        },
        lsn: lsn(11),
        problem: row.get(12),
        hint: row.get(13),
        attempts: row.get::<_, Option<i32>>(14).unwrap_or(0),
    });
    Deployed { transform: row.get(0), runs_as, deployment }
}

/// Returns a component's bytes, where they are kept.
///
/// # Errors
/// What the server says.
pub async fn component(client: &Client, manifest: &str, digest: &str) -> Result<Option<Vec<u8>>, DataStoreError> {
    let sql = "SELECT bytes FROM rejot_data_store.component WHERE manifest_slug = $1 AND digest = $2";
    let row = client.query_opt(sql, &[&manifest, &digest]).await;
    Ok(row.map_err(DataStoreError::query("read a component"))?.map(|row| row.get(0)))
}

/// Wants a transform to run as a component, whose bytes are kept unless they are already. Returns the deployment's number.
///
/// # Errors
/// What the server says.
pub async fn deploy(
    client: &mut Client,
    scope: &Scope,
    transform: &str,
    digest: &str,
    bytes: &[u8],
) -> Result<i64, DataStoreError> {
    let query = DataStoreError::query;
    // They are megabytes, and on their way nothing is locked.
    keep(client, &scope.manifest, digest, bytes).await?;
    let transaction = client.transaction().await.map_err(query("begin a deployment"))?;
    lock_components(transaction.client()).await?;
    keep(transaction.client(), &scope.manifest, digest, bytes).await?;
    let sql = "INSERT INTO rejot_data_store.deployment AS d (manifest_slug, source_slug, transform, component_digest) \
               VALUES ($1, $2, $3, $4) ON CONFLICT (manifest_slug, source_slug, transform) DO UPDATE SET \
               component_digest = excluded.component_digest, number = d.number + 1, state = 'wanted', lsn = NULL, \
               problem = NULL, hint = NULL, created_at = now(), updated_at = now() RETURNING number";
    let row = transaction.query_one(sql, &[&scope.manifest, &scope.source, &transform, &digest]).await;
    let number = row.map_err(query("write a deployment"))?.get(0);
    transaction.commit().await.map_err(query("commit a deployment"))?;
    Ok(number)
}

async fn keep(client: &Client, manifest: &str, digest: &str, bytes: &[u8]) -> Result<(), DataStoreError> {
    // They are megabytes: they are not sent to be thrown away.
    let kept = "SELECT EXISTS (SELECT FROM rejot_data_store.component WHERE manifest_slug = $1 AND digest = $2)";
    let kept = client.query_one(kept, &[&manifest, &digest]).await;
    if kept.map_err(DataStoreError::query("look for a component"))?.get(0) {
        return Ok(());
    }
    let sql = "INSERT INTO rejot_data_store.component (manifest_slug, digest, bytes) VALUES ($1, $2, $3) \
               ON CONFLICT DO NOTHING";
    let kept = client.execute(sql, &[&manifest, &digest, &bytes]).await;
    kept.map(drop).map_err(DataStoreError::query("keep a component"))
}

/// Until the transaction ends, nobody else comes to need a component that was kept, and nobody removes one.
async fn lock_components(transaction: &Client) -> Result<(), DataStoreError> {
    let lock = "LOCK TABLE rejot_data_store.component IN SHARE ROW EXCLUSIVE MODE";
    transaction.batch_execute(lock).await.map_err(DataStoreError::query("lock the components"))
}

/// As [`lock_components`], and does not wait for long. Returns false where somebody else had the table: components may be kept
/// then, and nobody else removes one.
async fn lock_components_soon(transaction: &Client) -> Result<bool, DataStoreError> {
    let execute =
        async |sql| transaction.batch_execute(sql).await.map_err(DataStoreError::query("lock the components"));
    execute("SAVEPOINT components; SET LOCAL lock_timeout = '2s'").await?;
    match lock_components(transaction).await {
        Ok(()) => execute("SET LOCAL lock_timeout TO DEFAULT").await.map(|()| true),
        Err(error) if error.is_lock_timeout() => {
            // What removes components locks out this one; what merely reads or cleans the table does not.
            let lock = "ROLLBACK TO SAVEPOINT components; LOCK TABLE rejot_data_store.component IN ROW EXCLUSIVE MODE";
            execute(lock).await.map(|()| false)
        }
        Err(error) => Err(error),
    }
}

/// Removes the components of a manifest that nobody runs as, ran as before, or wants, in a transaction that has them locked.
async fn remove_useless(transaction: &Client, manifest: &str) -> Result<(), DataStoreError> {
    let sql = "DELETE FROM rejot_data_store.component AS c WHERE manifest_slug = $1 \
               AND NOT EXISTS (SELECT FROM rejot_data_store.transform AS t WHERE t.manifest_slug = $1 \
               AND c.digest IN (t.component_digest, t.former_digest)) \
               AND NOT EXISTS (SELECT FROM rejot_data_store.deployment AS d WHERE d.manifest_slug = $1 \
               AND d.component_digest = c.digest AND d.state = 'wanted')";
    let removed = transaction.execute(sql, &[&manifest]).await;
    removed.map(drop).map_err(DataStoreError::query("remove former components"))
}

/// Takes note, durably, that a deployment's component is about to be made ready. Returns how often that has begun and not
/// ended ([`attempt_ended`]), this time included: each time the process was gone.
///
/// # Errors
/// What the server says.
pub async fn attempt_begins(
    client: &mut Client,
    scope: &Scope,
    transform: &str,
    number: i64,
) -> Result<i32, DataStoreError> {
    let query = DataStoreError::query;
    let transaction = client.transaction().await.map_err(query("begin an attempt"))?;
    // It is for a machine that loses its power, too.
    transaction.batch_execute("SET LOCAL synchronous_commit = on").await.map_err(query("begin an attempt"))?;
    let sql = "UPDATE rejot_data_store.deployment SET attempts_of = number, \
               attempts = CASE WHEN attempts_of = number THEN attempts ELSE 0 END + 1 \
               WHERE manifest_slug = $1 AND source_slug = $2 AND transform = $3 AND number = $4 RETURNING attempts";
    let row = transaction.query_opt(sql, &[&scope.manifest, &scope.source, &transform, &number]).await;
    let row = row.map_err(query("count an attempt"))?;
    transaction.commit().await.map_err(query("commit an attempt"))?;
    // There may be a newer one by now.
    Ok(row.map_or(1, |row| row.get(0)))
}

/// Takes note that a component has not taken the process with it, whatever came of it.
///
/// # Errors
/// What the server says.
pub async fn attempt_ended(client: &Client, scope: &Scope, transform: &str, number: i64) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.deployment SET attempts = 0 \
               WHERE manifest_slug = $1 AND source_slug = $2 AND transform = $3 AND attempts_of = $4";
    let ended = client.execute(sql, &[&scope.manifest, &scope.source, &transform, &number]).await;
    ended.map(drop).map_err(DataStoreError::query("count an attempt"))
}

/// Takes back one attempt: the process ends in good order, and not for it.
///
/// # Errors
/// What the server says.
pub async fn attempt_taken_back(
    client: &Client,
    scope: &Scope,
    transform: &str,
    number: i64,
) -> Result<(), DataStoreError> {
    let sql = "UPDATE rejot_data_store.deployment SET attempts = attempts - 1 \
               WHERE manifest_slug = $1 AND source_slug = $2 AND transform = $3 AND attempts_of = $4 AND attempts > 0";
    let taken_back = client.execute(sql, &[&scope.manifest, &scope.source, &transform, &number]).await;
    taken_back.map(drop).map_err(DataStoreError::query("take back an attempt"))
}

/// Says why a deployment can't be taken, unless there is a newer one by now. Its component is not kept any longer.
///
/// # Errors
/// What the server says.
pub async fn refuse_deployment(
    client: &mut Client,
    scope: &Scope,
    transform: &str,
    number: i64,
    problem: &str,
    hint: Option<&str>,
) -> Result<(), DataStoreError> {
    let query = DataStoreError::query;
    let transaction = client.transaction().await.map_err(query("begin to refuse a deployment"))?;
    lock_components(transaction.client()).await?;
    let sql = "UPDATE rejot_data_store.deployment SET state = 'refused', problem = $5, hint = $6, updated_at = now() \
               WHERE manifest_slug = $1 AND source_slug = $2 AND transform = $3 AND number = $4 AND state = 'wanted'";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
        [&scope.manifest, &scope.source, &transform, &number, &problem, &hint];
    transaction.execute(sql, &parameters).await.map_err(query("refuse a deployment"))?;
    remove_useless(transaction.client(), &scope.manifest).await?;
    transaction.commit().await.map_err(query("commit that a deployment is refused"))
}

/// Records which component a transform goes on as, and that a deployment of it is taken, in one transaction under the
/// owner's token. Components that are of no use any more are removed with it, or later where somebody has them locked.
///
/// # Errors
/// [`DataStoreError::StaleOwner`] when another process has taken the flows over, or what the server says.
pub async fn begin_component(client: &mut Client, owned: &Owned, began: &Began<'_>) -> Result<(), DataStoreError> {
    let query = DataStoreError::query;
    let (manifest, source) = (&owned.scope.manifest, &owned.scope.source);
    let transaction = client.transaction().await.map_err(query("begin to record a component"))?;
    // All rows are locked, so that a takeover waits until this has been recorded, or is seen.
    let own = "SELECT count(*) FILTER (WHERE owner <> $3) FROM (SELECT owner FROM rejot_data_store.flow \
               WHERE manifest_slug = $1 AND source_slug = $2 FOR NO KEY UPDATE) AS flows";
    let theirs = transaction.query_one(own, &[manifest, source, &owned.token]).await;
    if theirs.map_err(query("check who owns the flows"))?.get::<_, i64>(0) > 0 {
        return Err(owned.stale());
    }
    let is_alone = lock_components_soon(transaction.client()).await?;
    if let Some(bytes) = began.bytes {
        keep(transaction.client(), manifest, began.digest, bytes).await?;
    }
    let lsn = PgLsn::from(began.lsn.0);
    // What it ran as until now is what a rollback brings back; to be started again as the same one changes nothing of that.
    let record = "INSERT INTO rejot_data_store.transform AS t (manifest_slug, source_slug, transform, component_digest, \
                  file_digest, state_version, lsn) VALUES ($1, $2, $3, $4, $5, $6, $7) \
                  ON CONFLICT (manifest_slug, source_slug, transform) DO UPDATE SET \
                  component_digest = excluded.component_digest, file_digest = excluded.file_digest, \
                  state_version = excluded.state_version, updated_at = now(), \
                  lsn = CASE WHEN t.component_digest = excluded.component_digest THEN coalesce(t.lsn, excluded.lsn) \
                        ELSE excluded.lsn END, \
                  former_digest = CASE WHEN t.component_digest = excluded.component_digest THEN t.former_digest \
                        ELSE t.component_digest END, \
                  former_state_version = CASE WHEN t.component_digest = excluded.component_digest \
                        THEN t.former_state_version ELSE t.state_version END";
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
        [manifest, source, &began.transform, &began.digest, &began.file_digest, &began.state_version, &lsn];
    transaction.execute(record, &parameters).await.map_err(query("record which component a transform runs as"))?;
    let taken = "UPDATE rejot_data_store.deployment SET state = 'taken', lsn = $5, attempts = 0, updated_at = now() \
                 WHERE manifest_slug = $1 AND source_slug = $2 AND transform = $3 AND component_digest = $4 \
                 AND state = 'wanted'";
    transaction
        .execute(taken, &[manifest, source, &began.transform, &began.digest, &lsn])
        .await
        .map_err(query("take a deployment"))?;
    // Otherwise the next one does.
    if is_alone {
        remove_useless(transaction.client(), manifest).await?;
    }
    transaction.commit().await.map_err(query("commit which component a transform runs as"))
}
