//! Databases that ReJot has used are gone on with: its events, its slot and its cursors.

use pelton::lsn::Lsn;
use pelton::manifest::{PostgresConnection, SslMode};
use pelton::postgres::replication::{ReplicationStream, StreamOptions};

use crate::support::{Database, Pelton, assert_same, database};

/// What ReJot left: a source with its slot, an event store at version 7, a destination at version 1.
struct Rejot {
    source: Database,
    events: Database,
    destination: Database,
}

const ACCOUNT: &str = "CREATE TABLE account (id int PRIMARY KEY, name text, created timestamptz, price numeric, tags text[], \
                       doc json, docb jsonb, span interval, raw bytea, active bool)";

/// As ReJot's migrations make them.
const EVENTS: &str = "
CREATE SCHEMA rejot_events;
CREATE TABLE rejot_events.schema_migrations (version int PRIMARY KEY, description text, applied_at timestamptz);
INSERT INTO rejot_events.schema_migrations SELECT v, 'version ' || v, now() FROM generate_series(1, 7) AS v;
CREATE TABLE rejot_events.events (transaction_id varchar(30), operation_idx int,
    operation text CHECK (operation IN ('insert', 'update', 'delete')), public_schema_name varchar(255),
    public_schema_major_version smallint, public_schema_minor_version smallint, object jsonb,
    created_at timestamptz DEFAULT now(), manifest_slug varchar(255) NOT NULL, PRIMARY KEY (transaction_id, operation_idx));
";
const DATA_STORE: &str = "
CREATE SCHEMA rejot_data_store;
CREATE TABLE rejot_data_store.schema_migrations (version int PRIMARY KEY, description text, applied_at timestamptz);
INSERT INTO rejot_data_store.schema_migrations VALUES (1, 'version 1', now());
CREATE TABLE rejot_data_store.public_schema_state (id serial PRIMARY KEY, manifest_slug varchar(255) NOT NULL,
    public_schema_name varchar(255) NOT NULL, public_schema_major_version int NOT NULL, last_seen_transaction_id varchar(30),
    created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (manifest_slug, public_schema_name, public_schema_major_version));
";

/// What was done to rows of the destination, once for each time that it took effect.
const AUDIT: &str = "
CREATE TABLE audit (op text, id int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.audit VALUES (TG_OP, coalesce(NEW.id, OLD.id)); RETURN NULL; END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON account FOR EACH ROW EXECUTE FUNCTION note();
";

/// A row as ReJot has it in JSON: times to the millisecond, numbers as they come, documents in its driver's forms.
fn object(id: i32, name: &str) -> String {
    format!(
        r#"{{"id": {id}, "name": "{name}", "created": "2026-01-02T03:04:05.678Z", "price": "1.50", "tags": ["a", "b\"c", null],
            "doc": {{"k": [1]}}, "docb": {{"k": [1]}}, "span": {{"days": 1, "milliseconds": 500}},
            "raw": {{"type": "Buffer", "data": [0, 255]}}, "active": true}}"#
    )
}

/// The same row at the source.
fn values(id: i32, name: &str) -> String {
    format!(
        r#"({id}, '{name}', '2026-01-02 03:04:05.678+00', 1.50, '{{a,"b\"c",NULL}}', '{{"k": [1]}}', '{{"k": [1]}}',
            '1 day 0.5 s', '\x00ff', true)"#
    )
}

impl Rejot {
    /// Before anything happened under it. The row 0 is from before ReJot, which published nothing of it.
    async fn new() -> Rejot {
        let rejot = Rejot { source: database().await, events: database().await, destination: database().await };
        let slot = rejot.source.name();
        rejot.source.execute(&format!("{ACCOUNT}; INSERT INTO account VALUES {}", values(0, "old"))).await;
        rejot.source.execute("CREATE TABLE unpublished (id int)").await;
        rejot.source.execute(&format!("CREATE PUBLICATION {slot} FOR TABLE account")).await;
        rejot.make_slot().await;
        rejot.events.execute(EVENTS).await;
        rejot.destination.execute(&format!("{DATA_STORE} {ACCOUNT}; {AUDIT}")).await;
        rejot
    }

    async fn make_slot(&self) {
        let sql = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", self.source.name());
        self.source.execute(&sql).await;
    }

    /// Returns where the transactions that the slot has are delivered, in the order of their commits.
    async fn begins(&self) -> Vec<String> {
        let slot = self.source.name();
        let sql = format!(
            "SELECT lsn FROM pg_logical_slot_peek_binary_changes('{slot}', NULL, NULL, 'proto_version', '1', \
             'publication_names', '{slot}') WHERE get_byte(data, 0) = ascii('B')"
        );
        self.source.rows(&sql).await.into_iter().map(|row| row[0].clone().unwrap()).collect()
    }

    /// Stores a transaction as ReJot does.
    async fn stored(&self, transaction: &str, operations: &[(&str, String)]) {
        for (index, (operation, object)) in operations.iter().enumerate() {
            let object = object.replace('\'', "''");
            self.events
                .execute(&format!(
                    "INSERT INTO rejot_events.events VALUES ('{transaction}', {index}, '{operation}', 'account', 1, 0, \
                     '{object}', now(), 'shop')"
                ))
                .await;
        }
    }

    /// Confirms a transaction as ReJot does.
    async fn confirmed(&self, transaction: &str) {
        let slot = self.source.name();
        self.source
            .execute(&format!("SELECT pg_replication_slot_advance('{slot}', '{transaction}'::pg_lsn + 1)"))
            .await;
    }

    async fn cursor(&self, transaction: &str) {
        let sql = "INSERT INTO rejot_data_store.public_schema_state (manifest_slug, public_schema_name, \
                   public_schema_major_version, last_seen_transaction_id) VALUES ('shop', 'account', 1, ";
        self.destination.execute(&format!("{sql}'{transaction}')")).await;
    }

    fn manifest(&self, more: &str) -> String {
        let slot = self.source.name();
        format!(
            "slug: shop
manifestVersion: 0
connections:
  - {{ slug: source, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: there, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores:
  - {{ connectionSlug: source, config: {{ connectionType: postgres, slotName: {slot}, publicationName: {slot} }} }}
  - {{ connectionSlug: there }}
eventStores: [{{ connectionSlug: events }}]
publicSchemas:
  - {{ name: account, version: {{ major: 1, minor: 0 }}, source: {{ dataStoreSlug: source }}, config: {{ publicSchemaType: table, table: public.account }} }}
consumerSchemas:
  - {{ name: accounts, sourceManifestSlug: shop, publicSchema: {{ name: account, majorVersion: 1 }}, config: {{ consumerSchemaType: table, destinationDataStoreSlug: there, table: public.account }} }}
{more}",
            self.source.url(),
            self.events.url(),
            self.destination.url(),
        )
    }

    /// Six transactions, of which ReJot has stored five; the slot stands within them, the cursor behind the second.
    ///
    /// One that began before two others was committed behind them. The slot is confirmed to the beginning of the delete, so
    /// that this and the one that overlapped it come again, though they are stored; and the last one, which is not.
    async fn with_history() -> Rejot {
        let rejot = Rejot::new().await;
        rejot.source.execute(&format!("INSERT INTO account VALUES {}", values(1, "one"))).await;
        let two = format!("BEGIN; INSERT INTO account VALUES {}, {}", values(2, "two"), values(3, "three"));
        rejot.source.execute(&format!("{two}; UPDATE account SET name = 'zwei' WHERE id = 2; COMMIT")).await;
        let long = rejot.source.connect().await;
        // A message, and a table, that ReJot does not read come before the first change that it does.
        let begin = "BEGIN; SELECT pg_logical_emit_message(true, 'note', 'x'); INSERT INTO unpublished VALUES (1)";
        long.batch_execute(&format!("{begin}; INSERT INTO account VALUES {}", values(4, "four"))).await.unwrap();
        rejot.source.execute(&format!("INSERT INTO account VALUES {}", values(5, "five"))).await;
        rejot.source.execute("DELETE FROM account WHERE id = 1").await;
        long.batch_execute(&format!("INSERT INTO account VALUES {}; COMMIT", values(6, "six"))).await.unwrap();
        rejot.source.execute(&format!("INSERT INTO account VALUES {}", values(7, "seven"))).await;
        // In the order of commits: one, two, five, the delete, four and six, seven.
        let begins = rejot.begins().await;
        assert_eq!(begins.len(), 6, "{begins:?}");
        let insert = |id, name| ("insert", object(id, name));
        rejot.stored(&begins[0], &[insert(1, "one")]).await;
        rejot.stored(&begins[1], &[insert(2, "two"), insert(3, "three"), ("update", object(2, "zwei"))]).await;
        rejot.stored(&begins[2], &[insert(5, "five")]).await;
        rejot.stored(&begins[3], &[("delete", r#"{"id": 1}"#.to_owned())]).await;
        rejot.stored(&begins[4], &[insert(4, "four"), insert(6, "six")]).await;
        rejot.confirmed(&begins[3]).await;
        // What its consumer has applied.
        rejot
            .destination
            .execute(&format!(
                "INSERT INTO account VALUES {}, {}, {}",
                values(1, "one"),
                values(2, "zwei"),
                values(3, "three")
            ))
            .await;
        rejot.destination.execute("TRUNCATE audit").await;
        rejot.cursor(&begins[1]).await;
        rejot
    }

    async fn catch_up(&self, more: &str) -> String {
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", self.manifest(more));
        let status = pelton.run().await;
        assert_eq!(status.code(), Some(0), "{}", pelton.stderr());
        pelton.stderr()
    }

    async fn told(&self, arguments: &[&str]) -> String {
        let mut pelton = Pelton::new(arguments).file("pelton.yaml", self.manifest(""));
        pelton.run().await;
        pelton.stdout()
    }

    async fn events_by_row(&self) -> String {
        let sql = "SELECT string_agg(epoch || left(operation, 1) || coalesce(key ->> 'id', ''), ' ' \
                   ORDER BY epoch, commit_lsn, ordinal) FROM rejot_events.events";
        self.events.value(sql).await
    }

    async fn audit(&self) -> String {
        self.destination.value("SELECT string_agg(left(op, 1) || id, ' ' ORDER BY left(op, 1), id) FROM audit").await
    }

    /// The destination has what the source has, but for what is from before ReJot.
    async fn assert_equal(&self) {
        let sql = "SELECT account::text FROM account WHERE id > 0";
        assert_same(&self.source, sql, &self.destination, sql).await;
    }
}

/// In the order of commits: the transaction with four and six began before the one with five, and was stored behind it.
const HISTORY: &str = "0i1 0i2 0i3 0u2 0i5 0d1 0i4 0i6";

#[tokio::test]
async fn events_slot_and_cursors_are_gone_on_with() {
    let rejot = Rejot::with_history().await;
    let made = "made by ReJot, version 7: taken over at the next sync";
    let doctor = rejot.told(&["doctor", "--json"]).await;
    assert!(doctor.contains(made) && doctor.contains(&made.replace('7', "1")), "{doctor}");
    let migrations = rejot.told(&["migrations", "status"]).await;
    assert!(migrations.contains("version 7 (made by ReJot: taken over at the next sync)"), "{migrations}");
    let said = rejot.catch_up("").await;
    assert!(said.contains("took over the events that ReJot stored"), "{said}");
    assert!(said.contains("goes on where ReJot was"), "{said}");
    assert_eq!(rejot.events_by_row().await, format!("{HISTORY} 1i7"), "what ReJot stored is not stored again");
    rejot.assert_equal().await;
    assert_eq!(rejot.audit().await, "D1 I4 I5 I6 I7", "what its consumer had applied is not applied again");
    rejot
        .source
        .execute(&format!(
            "INSERT INTO account VALUES {}; UPDATE account SET name = 'IV' WHERE id = 4",
            values(8, "eight")
        ))
        .await;
    rejot.catch_up("").await;
    assert_eq!(rejot.events_by_row().await, format!("{HISTORY} 1i7 1i8 1u4"));
    rejot.assert_equal().await;
    assert_eq!(rejot.audit().await, "D1 I4 I5 I6 I7 I8 U4");
    // The cursor was moved, not copied; ReJot's own table is left.
    assert_eq!(
        rejot
            .destination
            .value("SELECT count(last_seen_transaction_id) FROM rejot_data_store.public_schema_state")
            .await,
        "0"
    );
    assert_eq!(rejot.events.value("SELECT count(*) FROM rejot_events.rejot_event").await, "8");
    let show = rejot.events.value("SELECT bool_and(commit_time > now() - interval '1 h' AND xid = 0) FROM rejot_events.events WHERE epoch = 0").await;
    assert_eq!(show, "t");
    rejot.events.execute("DROP TABLE rejot_events.rejot_event").await;

    // Who comes later gets all of it: ReJot's forms as well as ours.
    let late = "  - { name: late, sourceManifestSlug: shop, publicSchema: { name: account, majorVersion: 1 }, config: { \
                consumerSchemaType: table, destinationDataStoreSlug: there, table: public.late, createTable: true } }\n";
    rejot.catch_up(late).await;
    let of = |table: &str| format!("SELECT {table}::text FROM {table} WHERE id > 0");
    assert_same(&rejot.source, &of("account"), &rejot.destination, &of("late")).await;
}

/// What existed before ReJot began was never published, nor is it copied; its changes come all the same.
#[tokio::test]
async fn a_row_from_before_rejot_appears_with_its_first_change() {
    let rejot = Rejot::with_history().await;
    rejot.catch_up("").await;
    assert_eq!(rejot.destination.value("SELECT count(*) FROM account WHERE id = 0").await, "0");
    rejot.source.execute("ALTER TABLE account ALTER raw SET STORAGE EXTERNAL").await;
    rejot.source.execute("INSERT INTO account (id, raw) VALUES (20, decode(repeat('ab', 5000), 'hex'))").await;
    rejot.catch_up("").await;
    // An update that leaves a large value alone finds no row to leave it in.
    rejot.destination.execute("DELETE FROM account WHERE id = 20").await;
    rejot.source.execute("UPDATE account SET name = 'x' WHERE id IN (0, 20)").await;
    let said = rejot.catch_up("").await;
    assert_eq!(rejot.destination.value("SELECT name FROM account WHERE id = 0").await, "x");
    assert!(said.contains("left out changes of rows that are not at the destination"), "{said}");
    // What ReJot lost, and what is from before it, comes once the stream begins anew.
    let forget = "DELETE FROM rejot_data_store.flow WHERE manifest_slug = 'shop' AND flow = 'account@1'";
    rejot.events.execute(forget).await;
    rejot.catch_up("").await;
    let all = "SELECT account::text FROM account";
    assert_same(&rejot.source, all, &rejot.destination, all).await;
}

#[tokio::test]
async fn a_kill_at_any_point_of_it_loses_nothing_and_does_nothing_twice() {
    for points in [
        &["rejot-copied:1", "after-copy:1", "before-commit:1", "after-commit:1", "before-feedback:1"][..],
        &["after-consumed:1", "before-cursor:1", "after-cursor:1", "after-feedback:1", "after-commit:2"],
    ] {
        let rejot = Rejot::with_history().await;
        let mut expected = format!("{HISTORY} 1i7");
        for (round, point) in points.iter().enumerate() {
            let mut pelton = Pelton::new(["sync"]).file("pelton.yaml", rejot.manifest("")).env("PELTON_FAULT", point);
            pelton.start();
            let mut id = 100 * (round + 1);
            // It kills itself; until then there is work.
            while !pelton.has_ended() {
                rejot.source.execute(&format!("INSERT INTO account VALUES {}", values(id as i32, "more"))).await;
                expected += &format!(" 1i{id}");
                id += 1;
                assert!(id % 100 < 99, "{point} was never reached:\n{}", pelton.stderr());
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
        rejot.catch_up("").await;
        assert_eq!(rejot.events_by_row().await, expected);
        rejot.assert_equal().await;
        let twice =
            "SELECT string_agg(id::text, ' ') FROM (SELECT id FROM audit GROUP BY op, id HAVING count(*) > 1) AS a";
        assert_eq!(rejot.destination.value(twice).await, "");
    }
}

/// Behind a slot that ReJot did not read from, something may be missing.
#[tokio::test]
async fn without_its_slot_the_streams_begin_anew_behind_its_events() {
    let rejot = Rejot::with_history().await;
    rejot.source.execute(&format!("SELECT pg_drop_replication_slot('{}')", rejot.source.name())).await;
    rejot.source.execute(&format!("INSERT INTO account VALUES {}", values(8, "missed"))).await;
    rejot.make_slot().await;
    let said = rejot.catch_up("").await;
    assert!(said.contains("this slot is not where ReJot left one"), "{said}");
    let all = "SELECT account::text FROM account";
    assert_same(&rejot.source, all, &rejot.destination, all).await;
    let events = rejot.events_by_row().await;
    assert!(events.starts_with(&format!("{HISTORY} 2t 2i0 ")), "{events}");
    // In another log a transaction may begin where one of ReJot's did: it is not that one.
    rejot.source.execute(&format!("INSERT INTO account VALUES {}", values(9, "another"))).await;
    let begins = rejot.begins().await;
    let same = begins.last().unwrap();
    rejot
        .events
        .execute(&format!(
            "INSERT INTO rejot_events.event (stream_id, epoch, commit_lsn, ordinal, segment, shape_id, operation, xid, commit_time, key) \
             SELECT stream_id, 0, '{same}', 0, segment, shape_id, 'delete', 0, now(), '{{\"id\": -1}}' \
             FROM rejot_events.event AS e WHERE epoch = 0 AND operation = 'delete'"
        ))
        .await;
    rejot.catch_up("").await;
    assert_same(&rejot.source, all, &rejot.destination, all).await;
}

/// Of a transaction that began before the cursor and was stored behind it ReJot's consumer has seen nothing; of one that was
/// stored before the cursor moved it has.
#[tokio::test]
async fn what_was_stored_behind_the_cursor_is_applied_unless_it_was_seen() {
    for (moved, applied, expected) in [(3, "", "I4 I6 I7"), (5, "four and six", "I7")] {
        let rejot = Rejot::with_history().await;
        let at = |seconds: i32| format!("'2026-01-01 00:00:00+00'::timestamptz + interval '{seconds} s'");
        let stored = |transaction: String, seconds: i32| {
            format!(
                "UPDATE rejot_events.events SET created_at = {} WHERE transaction_id = '{transaction}'",
                at(seconds)
            )
        };
        let of = async |id: i32| {
            let sql = "SELECT max(transaction_id) FROM rejot_events.events WHERE (object ->> 'id')::int = ";
            rejot.events.value(&format!("{sql}{id} AND (operation = 'delete' OR {id} <> 1)")).await
        };
        // The delete is stored last but one.
        for (id, seconds) in [(3, 0), (5, 1), (1, 2), (6, 4)] {
            rejot.events.execute(&stored(of(id).await, seconds)).await;
        }
        rejot
            .events
            .execute("UPDATE rejot_events.events SET created_at = '2025-01-01' WHERE created_at > '2026-02-01'")
            .await;
        let cursor = format!("last_seen_transaction_id = '{}', updated_at = {}", of(1).await, at(moved));
        rejot.destination.execute(&format!("UPDATE rejot_data_store.public_schema_state SET {cursor}")).await;
        let rows = format!("DELETE FROM account WHERE id = 1; INSERT INTO account VALUES {}", values(5, "five"));
        rejot.destination.execute(&rows).await;
        if !applied.is_empty() {
            let rows = format!("INSERT INTO account VALUES {}, {}", values(4, "four"), values(6, "six"));
            rejot.destination.execute(&rows).await;
        }
        rejot.destination.execute("TRUNCATE audit").await;
        rejot.catch_up("").await;
        rejot.assert_equal().await;
        assert_eq!(rejot.audit().await, expected);
        assert_eq!(rejot.events_by_row().await, format!("{HISTORY} 1i7"));
    }
}

/// A consumer that copies nothing goes on from ReJot's cursor like any other.
#[tokio::test]
async fn every_consumer_goes_on_from_the_cursor() {
    let rejot = Rejot::with_history().await;
    rejot
        .destination
        .execute("CREATE TABLE second (LIKE account INCLUDING ALL); INSERT INTO second SELECT * FROM account")
        .await;
    let second = "  - { name: second, sourceManifestSlug: shop, publicSchema: { name: account, majorVersion: 1 }, config: { \
                  consumerSchemaType: table, destinationDataStoreSlug: there, table: public.second, backfill: false } }\n";
    rejot.catch_up(second).await;
    rejot.assert_equal().await;
    let of = |table: &str| format!("SELECT {table}::text FROM {table} WHERE id > 0");
    assert_same(&rejot.source, &of("account"), &rejot.destination, &of("second")).await;
}

#[tokio::test]
async fn a_delete_that_rejot_published_under_another_name_is_one_of_the_key() {
    let rejot = Rejot::with_history().await;
    for object in [r#"{"account": 1}"#, r#"{"account": 2, "name": "zwei"}"#] {
        let sql = "UPDATE rejot_events.events SET object = '";
        let which = if object.contains("zwei") { "operation = 'update'" } else { "operation = 'delete'" };
        rejot.events.execute(&format!("{sql}{object}', operation = 'delete' WHERE {which}")).await;
    }
    let said = rejot.catch_up("").await;
    assert!(said.contains("deletes that ReJot stored have other fields than the key"), "{said}");
    assert_eq!(rejot.events_by_row().await, format!("{} 1i7", HISTORY.replace("0u2 ", "")));
    rejot.assert_equal().await;
}

/// Another source of the same event store, with what ReJot stored of it.
struct Second {
    source: Database,
}

impl Second {
    async fn new(rejot: &Rejot) -> Second {
        let second = Second { source: database().await };
        let slot = second.source.name();
        second.source.execute("CREATE TABLE invoice (id int PRIMARY KEY)").await;
        second.source.execute(&format!("CREATE PUBLICATION {slot} FOR TABLE invoice")).await;
        second.source.execute(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
        let stored = second.inserted(1).await;
        rejot
            .events
            .execute(&format!(
                "INSERT INTO rejot_events.events VALUES ('{stored}', 0, 'insert', 'invoice', 1, 0, '{{\"id\": 1}}', now(), 'shop')"
            ))
            .await;
        second
    }

    /// Inserts a row, and confirms it as ReJot does, whether it could store it or not. Returns where it begins.
    async fn inserted(&self, id: i32) -> String {
        let slot = self.source.name();
        self.source.execute(&format!("INSERT INTO invoice VALUES ({id})")).await;
        let last = self
            .source
            .value(&format!(
                "SELECT max(lsn) FROM pg_logical_slot_peek_binary_changes('{slot}', NULL, NULL, 'proto_version', '1', \
                 'publication_names', '{slot}') WHERE get_byte(data, 0) = ascii('B')"
            ))
            .await;
        self.source.execute(&format!("SELECT pg_replication_slot_advance('{slot}', '{last}'::pg_lsn + 1)")).await;
        last
    }

    /// The manifest of both.
    fn manifest(&self, rejot: &Rejot) -> String {
        let slot = self.source.name();
        let (url, config) =
            (self.source.url(), format!("connectionType: postgres, slotName: {slot}, publicationName: {slot}"));
        let consumer = "  - { name: invoices, sourceManifestSlug: shop, publicSchema: { name: invoice, majorVersion: 1 }, config: \
                        { consumerSchemaType: table, destinationDataStoreSlug: there, table: public.invoice, createTable: true } }\n";
        rejot
            .manifest(consumer)
            .replace(
                "dataStores:\n",
                &format!(
                    "  - {{ slug: second, config: {{ connectionType: postgres, url: \"{url}\" }} }}\ndataStores:\n  - {{ connectionSlug: \
                     second, config: {{ {config} }} }}\n"
                ),
            )
            .replace(
                "publicSchemas:\n",
                "publicSchemas:\n  - { name: invoice, version: { major: 1, minor: 0 }, source: { dataStoreSlug: second }, config: { \
                 publicSchemaType: table, table: public.invoice } }\n",
            )
    }

    async fn events(&self, rejot: &Rejot) -> String {
        let sql = "SELECT string_agg(epoch || left(operation, 1) || coalesce(key ->> 'id', ''), ' ' \
                   ORDER BY epoch, commit_lsn, ordinal) FROM rejot_events.events WHERE public_schema_name = 'invoice'";
        rejot.events.value(sql).await
    }

    async fn assert_equal(&self, rejot: &Rejot) {
        let sql = "SELECT id FROM invoice";
        assert_same(&self.source, sql, &rejot.destination, sql).await;
    }
}

/// Where ReJot still reads from one of the sources, none is taken over.
#[tokio::test]
async fn rejot_is_waited_for_at_every_source() {
    let rejot = Rejot::with_history().await;
    let second = Second::new(&rejot).await;
    let slot = second.source.name();
    let running = read_as_rejot(&second.source).await;
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", second.manifest(&rejot));
    pelton.start();
    pelton.says(&format!("was made by ReJot, and replication slot \"{slot}\" is still being read")).await;
    // Long enough for the source that nobody else reads from to go on, if it did.
    pelton.says("trying again in").await;
    assert_eq!(rejot.events.value("SELECT to_regclass('rejot_events.event') IS NULL").await, "t");
    drop(running);
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    rejot.assert_equal().await;
    second.assert_equal(&rejot).await;
    assert_eq!(second.events(&rejot).await, "0i1", "nothing is copied again");
}

/// ReJot went on at a source that the manifest did not have when its event store was taken over: what it could not store it
/// confirmed.
#[tokio::test]
async fn a_slot_that_went_on_without_the_events_is_not_gone_on_from() {
    let rejot = Rejot::with_history().await;
    let second = Second::new(&rejot).await;
    rejot.catch_up("").await;
    second.inserted(2).await;
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", second.manifest(&rejot));
    assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
    second.assert_equal(&rejot).await;
    assert_eq!(second.events(&rejot).await, "0i1 2t 2i1 2i2");
}

#[tokio::test]
async fn what_rejot_left_and_cannot_be_taken_over_is_said() {
    let rejot = Rejot::with_history().await;
    rejot.stored("not-a-position", &[("insert", object(50, "x"))]).await;
    let sync = async || {
        let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", rejot.manifest(""));
        assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stderr());
        pelton.stderr()
    };
    let said = sync().await;
    assert!(
        said.contains("1 events that ReJot stored of `account@1` have a transaction_id that is no position"),
        "{said}"
    );
    assert!(said.contains("DROP TABLE rejot_events.rejot_event"), "{said}");
    assert_eq!(rejot.events.value("SELECT count(*) FROM rejot_events.event").await, "0");
    rejot.events.execute("DELETE FROM rejot_events.rejot_event WHERE transaction_id = 'not-a-position'").await;
    rejot.catch_up("").await;
    assert_eq!(rejot.events_by_row().await, format!("{HISTORY} 1i7"));
    rejot.assert_equal().await;

    let older = Rejot::new().await;
    older.events.execute("DELETE FROM rejot_events.schema_migrations WHERE version > 5").await;
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", older.manifest(""));
    assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stderr());
    let said = pelton.stderr();
    assert!(said.contains("was made by ReJot at version 5") && said.contains("ReJot's last release"), "{said}");
    assert_eq!(older.events.value("SELECT to_regclass('rejot_events.events') IS NOT NULL").await, "t");
}

/// Reads from a source's slot until it is dropped.
async fn read_as_rejot(source: &Database) -> ReplicationStream {
    let slot = source.name();
    let connection = PostgresConnection {
        host: "127.0.0.1".to_owned(),
        port: source.value("SHOW port").await.parse().unwrap(),
        user: "postgres".to_owned(),
        password: None,
        database: slot.to_owned(),
        sslmode: SslMode::Disable,
        sslrootcert: None,
        sslcert: None,
        sslkey: None,
    };
    ReplicationStream::start(&connection, StreamOptions::new(slot, slot, Lsn::ZERO)).await.unwrap()
}

/// Its table would be gone under it, and what it can't store it confirms all the same.
#[tokio::test]
async fn rejot_is_waited_for_while_it_runs() {
    let rejot = Rejot::with_history().await;
    let running = read_as_rejot(&rejot.source).await;
    let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", rejot.manifest(""));
    pelton.start();
    pelton.says("was made by ReJot, and replication slot").await;
    assert_eq!(rejot.events.value("SELECT count(*) FROM rejot_events.events").await, "8", "its table is taken away");
    assert_eq!(rejot.events.value("SELECT to_regclass('rejot_events.event') IS NULL").await, "t");
    drop(running);
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    assert_eq!(rejot.events_by_row().await, format!("{HISTORY} 1i7"));
    rejot.assert_equal().await;
}

/// Without an event store ReJot kept its events in memory: its slot and its cursors are what there is.
#[tokio::test]
async fn what_was_fed_from_memory_goes_on_where_all_of_it_was_applied() {
    for applied_all in [true, false] {
        let rejot = Rejot::new().await;
        for (id, name) in [(1, "one"), (2, "two"), (3, "three")] {
            rejot.source.execute(&format!("INSERT INTO account VALUES {}", values(id, name))).await;
        }
        let begins = rejot.begins().await;
        rejot.confirmed(&begins[1]).await;
        let applied = format!("INSERT INTO account VALUES {}, {}", values(1, "one"), values(2, "two"));
        rejot.destination.execute(&format!("{applied}; TRUNCATE audit")).await;
        rejot.cursor(&begins[usize::from(applied_all)]).await;
        let manifest = rejot.manifest("").replace("eventStores: [{ connectionSlug: events }]\n", "");
        for _ in 0..2 {
            let mut pelton = Pelton::new(["sync", "--until-caught-up"]).file("pelton.yaml", &manifest);
            assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
        }
        if applied_all {
            assert_eq!(rejot.audit().await, "I3");
            rejot.assert_equal().await;
        } else {
            let all = "SELECT account::text FROM account";
            assert_same(&rejot.source, all, &rejot.destination, all).await;
        }
    }
}

/// What the source sends again is known by ReJot's events: nothing removes them before their flow is past that.
#[tokio::test]
async fn events_stay_until_their_flow_is_past_them() {
    let rejot = Rejot::with_history().await;
    let mut pelton = Pelton::new(["sync"]).file("pelton.yaml", rejot.manifest("")).env("PELTON_FAULT", "after-copy:1");
    assert_ne!(pelton.run().await.code(), Some(0));
    let prune = ["events", "prune", "--max-age", "0s", "--force"];
    let mut forced = Pelton::new(prune).file("pelton.yaml", rejot.manifest(""));
    assert_eq!(forced.run().await.code(), Some(1), "{}", forced.stdout());
    assert!(forced.stderr().contains("`shop/account@1` are still being taken over"), "{}", forced.stderr());
    rejot.catch_up("").await;
    rejot.assert_equal().await;
    let once = "SELECT count(*) FROM (SELECT FROM rejot_events.events WHERE operation = 'delete' GROUP BY key HAVING count(*) > 1) AS x";
    assert_eq!(rejot.events.value(once).await, "0");
    let mut after = Pelton::new(prune).file("pelton.yaml", rejot.manifest(""));
    assert_eq!(after.run().await.code(), Some(0), "{}", after.stderr());
}
