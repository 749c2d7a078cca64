//! The server's settings: raised to what a stream needs, never lowered.

use tokio_postgres::Client;

use super::here::Here;
use super::item::{Item, Severity, Statement};
use super::wish::Job;
use crate::postgres::QueryError;

/// Slots and senders that there should be at least: one for each flow of data, one for a copy, and some for others.
const SLOTS_MIN: i64 = 5;

/// The rules' names.
pub const WAL_LEVEL: &str = "wal-level";
pub const SLOTS_AND_SENDERS: &str = "slots-and-senders";

const NAMES: [&str; 3] = ["wal_level", "max_replication_slots", "max_wal_senders"];

/// A setting as it is, and as it will be after the next restart.
struct Setting {
    name: &'static str,
    now: String,
    /// What the configuration says, where it may be read.
    next: Option<String>,
    /// Something was changed that waits for a restart, for who may not read what.
    pending: bool,
}

/// What the settings are, and whether a restart is due.
#[derive(Debug)]
pub struct Settings {
    pub items: Vec<Item>,
    /// The configuration is right, or will be once the statements have run, but it is not in effect.
    pub restart_due: bool,
    /// Logical decoding works now.
    pub decodes: bool,
}

/// Looks at the settings.
///
/// # Errors
/// [`QueryError`].
pub async fn settings(client: &Client, here: &Here, job: &Job, slot: &str) -> Result<Settings, QueryError> {
    let found = find(client).await?;
    let failed = |error| QueryError::new("count the replication slots", error);
    // A slot of ours that is there is among those that are taken; a copy of a table without a key takes one more.
    let sql =
        "SELECT count(*) + 1 + (count(*) FILTER (WHERE slot_name = $1) = 0)::int FROM pg_catalog.pg_replication_slots";
    let needed: i64 = client.query_one(sql, &[&slot]).await.map_err(failed)?.get(0);
    let needed = needed.max(SLOTS_MIN);
    let mut out = Settings { items: Vec::new(), restart_due: false, decodes: false };
    let mut changes = false;
    for setting in &found {
        let is_enough = |value: &str| match setting.name {
            "wal_level" => value == "logical",
            _ => value.parse::<i64>().is_ok_and(|value| value >= needed),
        };
        let wanted = if setting.name == "wal_level" { "logical".to_owned() } else { needed.to_string() };
        let rule = if setting.name == "wal_level" { WAL_LEVEL } else { SLOTS_AND_SENDERS };
        if setting.name == "wal_level" {
            out.decodes = is_enough(&setting.now);
        }
        if is_enough(&setting.now) {
            out.items.push(Item::right(rule, &job.place, format!("{} is {}", setting.name, setting.now)));
            continue;
        }
        if let Some(next) = setting.next.as_deref().filter(|next| is_enough(next)) {
            let what = format!("{} is set to {next}, and waits for a restart of the server", setting.name);
            out.items.push(Item::right(rule, &job.place, what));
            out.restart_due = true;
            continue;
        }
        if setting.next.is_none() && setting.pending {
            let what = format!("{} was changed, which waits for a restart of the server", setting.name);
            out.items.push(Item::right(rule, &job.place, what));
            out.restart_due = true;
            continue;
        }
        let why = match rule {
            WAL_LEVEL => "changes can't be decoded from a write-ahead log of another level",
            _ => "each source takes one, and so does each copy of a table without a key",
        };
        let severity = if rule == WAL_LEVEL { Severity::Error } else { Severity::Warning };
        let what = format!("{} is {}, and should be {wanted}", setting.name, setting.now);
        let item = Item::amiss(severity, rule, &job.place, what, why);
        // Where it is fixed from outside, trying would say less than the provider's own step.
        if !here.provider.has_superuser() {
            let mends = match setting.name {
                "wal_level" => here.provider.wal_level(),
                name => here.provider.set(name, &wanted, true),
            };
            out.items.push(mends.into_iter().fold(item, Item::mend));
            continue;
        }
        let sql = format!("ALTER SYSTEM SET {} = '{wanted}'", setting.name);
        let comment = format!("{} = {wanted}, from the next restart on", setting.name);
        out.items.push(item.sql(Statement::new(comment, sql).by_admin().outside_a_transaction()));
        out.restart_due = true;
        changes = true;
    }
    if changes && let Some(last) = out.items.iter_mut().rev().find(|item| item.statements().next().is_some()) {
        let reload = Statement::new("what was set is read", "SELECT pg_catalog.pg_reload_conf()");
        let item = last.clone().sql(reload.by_admin().outside_a_transaction());
        *last = item;
    }
    Ok(out)
}

async fn find(client: &Client) -> Result<Vec<Setting>, QueryError> {
    let failed = |error| QueryError::new("look up the server's settings", error);
    // Postgres 19 raises the level by itself, with the first slot.
    let sql = "SELECT name, CASE WHEN name = 'wal_level' AND setting = 'replica' \
                   AND pg_catalog.current_setting('effective_wal_level', true) <> '' THEN 'logical' ELSE setting END, \
               pending_restart FROM pg_catalog.pg_settings WHERE name = ANY ($1) ORDER BY name DESC";
    let rows = client.query(sql, &[&&NAMES[..]]).await.map_err(failed)?;
    let may = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE')";
    let may: bool = client.query_one(may, &[]).await.map_err(failed)?.get(0);
    let mut settings = Vec::new();
    for row in &rows {
        let found: &str = row.get(0);
        let Some(name) = NAMES.into_iter().find(|name| *name == found) else { continue };
        let mut next = None;
        if may {
            // The last one counts.
            let sql = "SELECT setting FROM pg_catalog.pg_file_settings WHERE name = $1 ORDER BY seqno DESC LIMIT 1";
            next = client.query_opt(sql, &[&name]).await.map_err(failed)?.and_then(|row| row.get(0));
        }
        settings.push(Setting { name, now: row.get(1), next, pending: row.get(2) });
    }
    Ok(settings)
}
