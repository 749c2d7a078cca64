//! What goes wrong with ReJot, and must not here, by way of an event store: one test for each thing, but for those that
//! another test shows already.
//!
//! | what goes wrong there | shown here by |
//! |---|---|
//! | a transaction larger than a page, or straddling one, loses rows | [`transactions_of_a_thousand_rows_lose_none`], `events::transactions_stay_whole_though_they_are_larger_than_a_page` |
//! | bursts lose transactions | [`a_burst_of_ten_thousand_transactions_loses_none`] |
//! | a row deleted before its SQL runs stops the sync | [`what_is_gone_again_stops_nothing`] |
//! | rows are read back before their commit is visible | [`a_commit_that_nobody_can_see_yet_is_published_as_it_is`], and of copied rows `flows_backfill::a_consumer_that_comes_while_a_standby_stalls_gets_what_is_not_visible_yet` |
//! | interleaved transactions lose the later committer | [`transactions_that_overlap_come_in_the_order_of_their_commits`] |
//! | text comparison of LSNs stalls | [`positions_that_gain_a_digit_go_on`] |
//! | two sources in one event store overwrite one another | [`two_sources_with_the_same_positions_share_a_store`], `events::services_share_an_event_store` |
//! | a failed event write is confirmed all the same | [`what_the_event_store_refuses_is_not_confirmed`] |
//! | operations are reordered within a transaction | [`what_is_gone_again_stops_nothing`] |
//! | deletes under REPLICA IDENTITY FULL stop it | [`deletes_under_replica_identity_full_find_their_rows`] |
//! | a second consumer never gets history, no initial copy | `events::a_late_consumer_gets_the_history_and_one_without_backfill_what_comes` |
//! | TRUNCATE is ignored | [`a_truncate_empties_what_is_consumed`], `events::what_is_published_is_consumed` |
//! | `schema.table` is unsupported | [`tables_of_any_schema_and_name_are_published`] |
//! | values are cut, rounded, corrupted or stop it | `types_builtin::every_type_arrives_by_way_of_an_event_store` |
//! | an upstream restart ends the consumer | `events::services_share_an_event_store` |
//! | no TLS, no secrets | `postgres_connect::sslmode_checks_what_libpq_checks`, `setup::secrets` |

use std::fmt::Write as _;
use std::process::Stdio;

use pelton::postgres::throwaway::{Server, Shutdown};

use crate::support::{Database, Pelton, assert_same, database, database_on, server};

/// A source, an event store and a destination.
struct Line {
    source: Database,
    events: Database,
    destination: Database,
}

/// Where a public schema comes from: (data store, its database, tables, each with its name in public).
type Source<'a> = (&'a str, &'a Database, &'a [(&'a str, &'a str)]);

/// Publishes tables of sources into one event store, and consumes all of them.
fn manifest_of(sources: &[Source<'_>], events: &Database, destination: &Database) -> String {
    let mut text = format!(
        "slug: shop
connections:
  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: there, config: {{ connectionType: postgres, url: \"{}\" }} }}
",
        events.url(),
        destination.url(),
    );
    let mut add = |part: String| text.push_str(&part);
    for (slug, database, _) in sources {
        add(format!("  - {{ slug: {slug}, config: {{ connectionType: postgres, url: \"{}\" }} }}\n", database.url()));
    }
    add("dataStores:\n  - { connectionSlug: there }\n".to_owned());
    for (slug, database, _) in sources {
        let slot = database.name();
        add(format!(
            "  - {{ connectionSlug: {slug}, config: {{ connectionType: postgres, slotName: {slot}, publicationName: {slot} }} }}\n"
        ));
    }
    add("eventStores: [{ connectionSlug: events }]\npublicSchemas:\n".to_owned());
    for (slug, _, tables) in sources {
        for (table, public) in *tables {
            add(format!(
                "  - {{ name: {public}, version: {{ major: 1, minor: 0 }}, source: {{ dataStoreSlug: {slug} }}, \
                 config: {{ publicSchemaType: table, table: '{table}' }} }}\n"
            ));
        }
    }
    add("consumerSchemas:\n".to_owned());
    for (_, public) in sources.iter().flat_map(|(_, _, tables)| *tables) {
        add(format!(
            "  - {{ name: {public}, sourceManifestSlug: shop, publicSchema: {{ name: {public}, majorVersion: 1 }}, config: \
             {{ consumerSchemaType: table, destinationDataStoreSlug: there, table: public.{public}, createTable: true }} }}\n"
        ));
    }
    text
}

async fn catch_up(manifest: &str) {
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", manifest);
    let status = pelton.run().await;
    assert_eq!(status.code(), Some(0), "{}", pelton.stderr());
}

impl Line {
    async fn new(ddl: &str) -> Line {
        let line = Line { source: database().await, events: database().await, destination: database().await };
        line.source.execute(ddl).await;
        line
    }

    /// Of tables in `public`, under their own names.
    fn manifest(&self, tables: &[&str]) -> String {
        let named: Vec<(String, &str)> = tables.iter().map(|table| (format!("public.{table}"), *table)).collect();
        let named: Vec<(&str, &str)> = named.iter().map(|(table, public)| (&table[..], *public)).collect();
        manifest_of(&[("source", &self.source, &named)], &self.events, &self.destination)
    }

    /// Starts a sync, once its consumers have all that there is.
    async fn live(&self, manifest: &str) -> Pelton {
        catch_up(manifest).await;
        let mut pelton = Pelton::new(["sync"]).file("pelton.yaml", manifest);
        pelton.start();
        pelton.says("consuming").await;
        pelton
    }

    async fn assert_equal(&self, table: &str) {
        let sql = format!("SELECT * FROM public.{table}");
        assert_same(&self.source, &sql, &self.destination, &sql).await;
    }
}

async fn ends(mut pelton: Pelton) {
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

const ITEMS: &str =
    "CREATE TABLE items (id int PRIMARY KEY, v int); CREATE TABLE notes (id int PRIMARY KEY, what text)";

#[tokio::test]
async fn transactions_of_a_thousand_rows_lose_none() {
    let line = Line::new(ITEMS).await;
    let pelton = line.live(&line.manifest(&["items"])).await;
    for round in 0..5 {
        let sql = format!("INSERT INTO items SELECT {round} * 1000 + i, {round} FROM generate_series(1, 1000) AS i");
        line.source.execute(&sql).await;
    }
    line.destination.wait_until("(SELECT count(*) FROM items) = 5000").await;
    line.assert_equal("items").await;
    let events = "SELECT count(*), count(DISTINCT (commit_lsn, ordinal)), count(DISTINCT xid) FROM rejot_events.events";
    assert_eq!(line.events.rows(events).await, [["5000", "5000", "5"].map(|n| Some(n.to_owned()))]);
    ends(pelton).await;
}

#[tokio::test]
async fn a_burst_of_ten_thousand_transactions_loses_none() {
    let line = Line::new(ITEMS).await;
    let pelton = line.live(&line.manifest(&["items"])).await;
    // Each row is a transaction of its own, as fast as the server makes them.
    let burst = async |from: i32| {
        let client = line.source.connect().await;
        client.batch_execute("SET synchronous_commit = off").await.unwrap();
        let sql =
            "DO $$ BEGIN FOR i IN first..first + 4999 LOOP INSERT INTO items VALUES (i, i); COMMIT; END LOOP; END $$";
        client.batch_execute(&sql.replace("first", &from.to_string())).await.unwrap();
    };
    tokio::join!(burst(1), burst(5001));
    line.destination.wait_until("(SELECT count(*) FROM items) = 10000").await;
    line.assert_equal("items").await;
    let events = "SELECT count(*), count(DISTINCT commit_lsn) FROM rejot_events.events";
    assert_eq!(line.events.rows(events).await, [["10000", "10000"].map(|n| Some(n.to_owned()))]);
    ends(pelton).await;
}

/// What a transaction does to one row comes in its order, and nothing is read back from a row that is gone by then.
#[tokio::test]
async fn what_is_gone_again_stops_nothing() {
    let line = Line::new(ITEMS).await;
    let manifest = line.manifest(&["items"]);
    catch_up(&manifest).await;
    line.source
        .execute(
            "INSERT INTO items VALUES (1, 1), (2, 2), (3, 3);
             BEGIN; INSERT INTO items VALUES (10, 1); UPDATE items SET v = 2 WHERE id = 10; DELETE FROM items WHERE id = 10; COMMIT;
             BEGIN; DELETE FROM items WHERE id = 1; INSERT INTO items VALUES (1, 11); COMMIT;
             BEGIN; DELETE FROM items WHERE id = 2; INSERT INTO items VALUES (2, 22); DELETE FROM items WHERE id = 2;
                    INSERT INTO items VALUES (2, 23); COMMIT;
             BEGIN; INSERT INTO items VALUES (20, 1); UPDATE items SET id = 21 WHERE id = 20; UPDATE items SET id = 20 WHERE id = 21;
                    DELETE FROM items WHERE id = 3; UPDATE items SET id = 3 WHERE id = 20; COMMIT;
             INSERT INTO items VALUES (30, 1); DELETE FROM items WHERE id = 30",
        )
        .await;
    catch_up(&manifest).await;
    line.assert_equal("items").await;
    let of = |id: i32| {
        format!(
            "SELECT string_agg(left(operation, 1) || coalesce(object ->> 'v', ''), ' ' ORDER BY epoch, commit_lsn, ordinal) \
             FROM rejot_events.events WHERE (key ->> 'id')::int = {id}"
        )
    };
    assert_eq!(line.events.value(&of(10)).await, "i1 u2 d");
    assert_eq!(line.events.value(&of(1)).await, "i1 d i11");
    assert_eq!(line.events.value(&of(2)).await, "i2 d i22 d i23");
    assert_eq!(line.events.value(&of(30)).await, "i1 d");
}

/// A commit that is in the log and waits for a synchronous standby can be seen by nobody: there is nothing to read back, for
/// what is published comes from the log. Without `synchronized_standby_slots` that is so for every logical reader.
#[tokio::test]
async fn a_commit_that_nobody_can_see_yet_is_published_as_it_is() {
    let server = server().await;
    let line = Line { source: database_on(&server).await, events: database().await, destination: database().await };
    line.source.execute(ITEMS).await;
    let pelton = line.live(&line.manifest(&["items"])).await;
    let waiting = line.source.connect().await;
    line.source.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    line.source.execute("SELECT pg_reload_conf()").await;
    line.source.wait_until("current_setting('synchronous_standby_names') = 'nobody'").await;
    let commits = tokio::spawn(async move {
        waiting.batch_execute("SET synchronous_commit = on; INSERT INTO items VALUES (1, 1), (2, 2)").await
    });
    line.destination.wait_until("(SELECT count(*) FROM items) = 2").await;
    assert_eq!(line.source.value("SELECT count(*) FROM items").await, "0", "nobody sees it yet");
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    line.source.wait_until(&format!("(SELECT bool_or(true) FROM ({cancel}) AS c)")).await;
    // Cancelled while it waits, a commit stays what it is: done.
    let _ = commits.await.unwrap();
    line.source.wait_until("(SELECT count(*) FROM items) = 2").await;
    // Or whoever takes the database away would wait, too.
    line.source.execute("ALTER SYSTEM RESET synchronous_standby_names").await;
    line.source.execute("SELECT pg_reload_conf()").await;
    line.assert_equal("items").await;
    ends(pelton).await;
}

#[tokio::test]
async fn transactions_that_overlap_come_in_the_order_of_their_commits() {
    let line = Line::new(ITEMS).await;
    let pelton = line.live(&line.manifest(&["items", "notes"])).await;
    let [a, b, c] = [line.source.connect().await, line.source.connect().await, line.source.connect().await];
    for round in 0..20 {
        let id = round * 10;
        a.batch_execute(&format!("BEGIN; INSERT INTO items VALUES ({id}, 1)")).await.unwrap();
        b.batch_execute(&format!("BEGIN; INSERT INTO items VALUES ({id} + 1, 1)")).await.unwrap();
        c.batch_execute(&format!(
            "BEGIN; INSERT INTO notes VALUES ({id}, 'c'); INSERT INTO items VALUES ({id} + 2, 1)"
        ))
        .await
        .unwrap();
        // The last to begin is the first to commit, and what it wrote is changed by those that began before it.
        c.batch_execute("COMMIT").await.unwrap();
        b.batch_execute(&format!("UPDATE items SET v = 2 WHERE id = {id} + 2; COMMIT")).await.unwrap();
        a.batch_execute(&format!("UPDATE items SET v = 3 WHERE id IN ({id} + 1, {id} + 2); COMMIT")).await.unwrap();
    }
    line.destination.wait_until("(SELECT count(*) FROM items WHERE v = 3) = 40").await;
    line.assert_equal("items").await;
    line.assert_equal("notes").await;
    let of = "SELECT string_agg(object ->> 'v', ' ' ORDER BY epoch, commit_lsn, ordinal) FROM rejot_events.events \
              WHERE (key ->> 'id')::int = 2 AND public_schema_name = 'items'";
    assert_eq!(line.events.value(of).await, "1 2 3");
    ends(pelton).await;
}

/// Lets the write-ahead log of a server that is new go on at a segment. Returns false where that can't be had: not every
/// distribution comes with `pg_resetwal`, and a log is filled segment by segment only as far as that takes no time.
async fn reset_wal(server: &mut Server, segment: &str) -> bool {
    if !server.binaries().join("pg_resetwal").exists() {
        let filled = "DO $$ BEGIN WHILE pg_walfile_name(pg_current_wal_insert_lsn()) < 'segment' LOOP \
                      PERFORM pg_logical_emit_message(false, 'fill', 'x'); PERFORM pg_switch_wal(); END LOOP; END $$";
        if segment > "000000010000000000000020" {
            return false;
        }
        server.connect("postgres").await.unwrap().batch_execute(&filled.replace("segment", segment)).await.unwrap();
        return true;
    }
    server.stop(Shutdown::Fast).await.unwrap();
    let (program, data) = (server.binaries().join("pg_resetwal"), server.folder().join("data"));
    let mut command = std::process::Command::new(program);
    command.args(["-l", segment]).arg(&data).stdin(Stdio::null());
    // As whom the server runs: root may not.
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    let owner = std::fs::metadata(&data).unwrap();
    if owner.uid() != std::fs::metadata("/proc/self").unwrap().uid() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    server.start().await.unwrap();
    true
}

/// Positions are numbers: as text, 0/F000028 comes behind 0/10000028, and F/FF000028 behind 10/28.
#[tokio::test]
async fn positions_that_gain_a_digit_go_on() {
    let (events, destination) = (database().await, database().await);
    for (round, (segment, behind)) in [
        ("00000001000000000000000F", "0/10000000"),
        ("0000000100000000000000FF", "1/0"),
        ("000000010000000F000000FF", "10/0"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut server = server().await;
        if !reset_wal(&mut server, segment).await {
            eprintln!("not shown here: going on beyond {behind} takes pg_resetwal");
            continue;
        }
        let source = database_on(&server).await;
        let table = format!("items_{round}");
        source.execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY, v int)")).await;
        let from = format!("public.{table}");
        let slug = format!("source-{round}");
        let tables = [(&from[..], &table[..])];
        let manifest = manifest_of(&[(&slug, &source, &tables)], &events, &destination);
        let mut pelton = Pelton::new(["sync"]).file("pelton.yaml", &manifest);
        pelton.start();
        pelton.says("consuming").await;
        let before = format!("SELECT pg_current_wal_lsn() < '{behind}'");
        assert_eq!(source.value(&before).await, "t", "it begins before {behind}");
        source.execute(&format!("INSERT INTO {table} SELECT i, 0 FROM generate_series(1, 100) AS i")).await;
        destination.wait_until(&format!("(SELECT count(*) FROM {table}) = 100")).await;
        source.execute("SELECT pg_switch_wal()").await;
        for n in 1..=100 {
            source
                .execute(&format!(
                    "UPDATE {table} SET v = {n} WHERE id <= {n}; INSERT INTO {table} VALUES (1000 + {n})"
                ))
                .await;
        }
        assert_eq!(source.value(&before).await, "f", "it ends behind {behind}");
        destination.wait_until(&format!("EXISTS (SELECT FROM {table} WHERE id = 1100)")).await;
        let sql = format!("SELECT * FROM {table}");
        assert_same(&source, &sql, &destination, &sql).await;
        let both = format!(
            "SELECT bool_or(commit_lsn < '{behind}') AND bool_or(commit_lsn > '{behind}') FROM rejot_events.events \
             WHERE public_schema_name = '{table}'"
        );
        assert_eq!(events.value(&both).await, "t");
        ends(pelton).await;
        // From the checkpoint that lies behind.
        source.execute(&format!("DELETE FROM {table} WHERE id = 1")).await;
        catch_up(&manifest).await;
        assert_same(&source, &sql, &destination, &sql).await;
    }
}

/// Two servers that were made alike write the same positions.
#[tokio::test]
async fn two_sources_with_the_same_positions_share_a_store() {
    let (mut one, mut two) = (server().await, server().await);
    for server in [&mut one, &mut two] {
        assert!(reset_wal(server, "000000010000000000000020").await);
    }
    let (a, b) = (database_on(&one).await, database_on(&two).await);
    let (events, destination) = (database().await, database().await);
    let tables = |public: &'static str| [("public.items", public)];
    let (of_a, of_b) = (tables("items_a"), tables("items_b"));
    for database in [&a, &b] {
        database.execute(ITEMS).await;
    }
    let manifest = manifest_of(&[("a", &a, &of_a), ("b", &b, &of_b)], &events, &destination);
    catch_up(&manifest).await;
    for database in [&a, &b] {
        // Both begin a segment here, so what is written next lies at the same places.
        database.execute("CHECKPOINT; SELECT pg_switch_wal()").await;
        let next = "SELECT pg_wal_lsn_diff('0/30000000', pg_current_wal_insert_lsn())::bigint / 16777216";
        for _ in 0..database.value(next).await.parse::<u32>().unwrap() {
            database.execute("SELECT pg_logical_emit_message(false, 'fill', 'x'); SELECT pg_switch_wal()").await;
        }
    }
    let mut seen = Vec::new();
    for (database, value) in [(&a, 1), (&b, 2)] {
        let mut sql = String::new();
        for id in 0..50 {
            writeln!(sql, "INSERT INTO items VALUES ({id}, {value});").unwrap();
        }
        database.execute(&sql).await;
        seen.push(database.value("SELECT pg_current_wal_insert_lsn()").await);
    }
    catch_up(&manifest).await;
    for (database, public) in [(&a, "items_a"), (&b, "items_b")] {
        assert_same(database, "SELECT * FROM items", &destination, &format!("SELECT * FROM {public}")).await;
    }
    let shared = "SELECT count(*) FROM rejot_events.events AS a JOIN rejot_events.events AS b USING (epoch, commit_lsn, ordinal) \
                  WHERE a.source_slug = 'a' AND b.source_slug = 'b'";
    assert_ne!(events.value(shared).await, "0", "no position is that of both: {seen:?}");
}

#[tokio::test]
async fn what_the_event_store_refuses_is_not_confirmed() {
    let line = Line::new(ITEMS).await;
    let pelton = line.live(&line.manifest(&["items", "notes"])).await;
    let confirmed =
        format!("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{}'", line.source.name());
    line.events
        .execute(
            "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.object::jsonb ->> 'v' = '13' THEN RAISE EXCEPTION 'no space left' USING ERRCODE = '53100'; END IF; \
             RETURN NEW; END $$; \
             CREATE TRIGGER refuse BEFORE INSERT ON rejot_events.event_1 FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        )
        .await;
    line.source.execute("INSERT INTO items VALUES (1, 1)").await;
    line.destination.wait_until("(SELECT count(*) FROM items) = 1").await;
    let before = line.source.value("SELECT pg_current_wal_insert_lsn()").await;
    line.source
        .execute(
            "BEGIN; INSERT INTO items VALUES (2, 2), (3, 13), (4, 4); INSERT INTO notes VALUES (1, 'same'); COMMIT",
        )
        .await;
    line.source.execute("INSERT INTO notes VALUES (2, 'later')").await;
    let told = "(SELECT count(*) FROM rejot_data_store.flow WHERE problem IS NOT NULL)";
    let mut pelton = pelton;
    pelton.says("trying again").await;
    let beyond = format!("SELECT ({confirmed}) <= '{before}'");
    assert_eq!(line.source.value(&beyond).await, "t", "what was refused is confirmed");
    assert_eq!(
        line.events.value("SELECT count(*) FROM rejot_events.event").await,
        "1",
        "half of a transaction is there"
    );
    assert_eq!(line.destination.value("SELECT count(*) FROM notes").await, "0");
    // Killed meanwhile, it is no different.
    pelton.kill().await;
    assert_eq!(line.source.value(&beyond).await, "t", "what was refused is confirmed");
    pelton.start();
    pelton.says("trying again").await;
    line.events.execute("DROP TRIGGER refuse ON rejot_events.event_1").await;
    line.destination.wait_until("EXISTS (SELECT FROM notes WHERE id = 2)").await;
    line.assert_equal("items").await;
    line.assert_equal("notes").await;
    line.events.wait_until(&format!("{told} = 0")).await;
    assert_eq!(line.events.value("SELECT count(*) FROM rejot_events.event").await, "6");
    ends(pelton).await;
}

#[tokio::test]
async fn deletes_under_replica_identity_full_find_their_rows() {
    let line = Line::new(
        "CREATE TABLE keyed (id int PRIMARY KEY, v text, big text); ALTER TABLE keyed REPLICA IDENTITY FULL;
         CREATE TABLE keyless (id int, v text); ALTER TABLE keyless REPLICA IDENTITY FULL;
         INSERT INTO keyed SELECT i, 'v', repeat('x', 5000) FROM generate_series(1, 20) AS i;
         INSERT INTO keyless SELECT i % 4, NULL FROM generate_series(1, 20) AS i",
    )
    .await;
    let manifest = line.manifest(&["keyed", "keyless"]);
    catch_up(&manifest).await;
    line.source
        .execute(
            "INSERT INTO keyed VALUES (100, NULL, NULL); DELETE FROM keyed WHERE id IN (1, 2, 100); UPDATE keyed SET id = 50 WHERE id = 3;
             UPDATE keyed SET v = 'w' WHERE id = 4; DELETE FROM keyed WHERE id = 4;
             DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless WHERE id = 1 LIMIT 2); DELETE FROM keyless WHERE id = 2;
             UPDATE keyless SET v = 'three' WHERE ctid IN (SELECT ctid FROM keyless WHERE id = 3 LIMIT 1)",
        )
        .await;
    catch_up(&manifest).await;
    line.assert_equal("keyed").await;
    let counted = "SELECT id, v, count(*) FROM keyless GROUP BY 1, 2";
    assert_same(&line.source, counted, &line.destination, counted).await;
    assert_eq!(line.destination.value("SELECT count(*) FROM keyless").await, "13");
}

#[tokio::test]
async fn a_truncate_empties_what_is_consumed() {
    let line = Line::new(ITEMS).await;
    let manifest = line.manifest(&["items", "notes"]);
    line.source.execute("INSERT INTO items VALUES (1, 1); INSERT INTO notes VALUES (1, 'x')").await;
    catch_up(&manifest).await;
    line.source
        .execute(
            "TRUNCATE items, notes; BEGIN; INSERT INTO items VALUES (2, 2); TRUNCATE items; INSERT INTO items VALUES (3, 3); COMMIT",
        )
        .await;
    catch_up(&manifest).await;
    line.assert_equal("items").await;
    line.assert_equal("notes").await;
    assert_eq!(line.destination.value("SELECT string_agg(id::text, ' ') FROM items").await, "3");
}

#[tokio::test]
async fn tables_of_any_schema_and_name_are_published() {
    let line = Line::new(
        "CREATE SCHEMA sales; CREATE SCHEMA \"My Schema\"; CREATE TABLE sales.items (id int PRIMARY KEY, v int);
         CREATE TABLE public.items (id int PRIMARY KEY, v int); CREATE TABLE \"My Schema\".\"T.x\" (id int PRIMARY KEY, v int);
         INSERT INTO sales.items VALUES (1, 1); INSERT INTO items VALUES (1, -1); INSERT INTO \"My Schema\".\"T.x\" VALUES (1, 0)",
    )
    .await;
    let tables = [("sales.items", "sales"), ("public.items", "plain"), ("\"My Schema\".\"T.x\"", "odd")];
    let manifest = manifest_of(&[("source", &line.source, &tables)], &line.events, &line.destination);
    catch_up(&manifest).await;
    line.source
        .execute(
            "INSERT INTO sales.items VALUES (2, 2); INSERT INTO items VALUES (2, -2); INSERT INTO \"My Schema\".\"T.x\" VALUES (2, 0);
             DELETE FROM sales.items WHERE id = 1",
        )
        .await;
    catch_up(&manifest).await;
    for (table, public) in tables {
        let (from, to) = (format!("SELECT * FROM {table}"), format!("SELECT * FROM {public}"));
        assert_same(&line.source, &from, &line.destination, &to).await;
    }
}
