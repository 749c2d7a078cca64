//! Event triggers, on request: new tables without a key get a replica identity, and the stream is told of ALTER TABLE.
//!
//! Their functions come with the schema `pelton`. Nothing depends on them, so a server that refuses them, as some hosted
//! ones do, is worth a warning.

use tokio_postgres::Client;

use super::item::{Item, Severity, Statement};
use super::sql;
use super::target::Target;
use super::wish::Asked;
use crate::postgres::QueryError;

struct Trigger {
    name: &'static str,
    tags: &'static str,
    function: &'static str,
    does: &'static str,
    without: &'static str,
}

const KEEP: Trigger = Trigger {
    name: "pelton_keep_replica_identity",
    tags: "'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO'",
    function: "keep_replica_identity",
    does: "new tables without a key get REPLICA IDENTITY FULL",
    without: "a new table without a key is not published until it gets a replica identity by hand",
};

const TELL: Trigger = Trigger {
    name: "pelton_tell_ddl",
    tags: "'ALTER TABLE'",
    function: "tell_ddl",
    does: "the stream is told of every ALTER TABLE",
    without: "nothing is lost: an ALTER TABLE is learnt from the stream and the catalog",
};

/// Returns the event triggers that are wished.
///
/// # Errors
/// [`QueryError`].
pub async fn items(client: &Client, target: &Target, asked: &Asked) -> Result<Vec<Item>, QueryError> {
    let mut items = Vec::new();
    for (wished, trigger) in [(asked.keep_identity, &KEEP), (asked.ddl_messages, &TELL)] {
        if wished {
            items.push(item(client, target, asked, trigger).await?);
        }
    }
    Ok(items)
}

async fn item(client: &Client, target: &Target, asked: &Asked, trigger: &Trigger) -> Result<Item, QueryError> {
    let Trigger { name, tags, function, does, without } = trigger;
    let found = "SELECT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = $1 AND evtenabled <> 'D'), \
                        EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = $1), \
                        pg_catalog.to_regprocedure($2) IS NOT NULL";
    let failed = |error| QueryError::new("look for the event triggers", error);
    let row = client.query_one(found, &[name, &format!("pelton.{function}()")]).await.map_err(failed)?;
    let (enabled, exists, has_function): (bool, bool, bool) = (row.get(0), row.get(1), row.get(2));
    if enabled {
        return Ok(Item::right("event-trigger", target.place(), format!("event trigger {name}: {does}")));
    }
    let what = format!("there is no event trigger {name}");
    let item = Item::amiss(Severity::Warning, "event-trigger", target.place(), what, *without);
    if exists {
        let enable = format!("ALTER EVENT TRIGGER {name} ENABLE");
        return Ok(item.sql(Statement::new(format!("event trigger {name}: {does}"), enable).by_admin()));
    }
    if !has_function && !asked.helpers {
        return Ok(item.step("its function comes with the schema pelton: leave out --no-helpers"));
    }
    let make = format!(
        "CREATE EVENT TRIGGER {name} ON ddl_command_end WHEN TAG IN ({tags}) EXECUTE FUNCTION pelton.{function}()"
    );
    let absent = format!("NOT EXISTS (SELECT FROM pg_catalog.pg_event_trigger WHERE evtname = '{name}')");
    Ok(item.sql(Statement::new(format!("event trigger {name}: {does}"), sql::when(&absent, &[make])).by_admin()))
}
