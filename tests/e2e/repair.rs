//! Flows whose slot was lost: `sync` refuses to skip, and `repair` brings them back.

use pelton::engine::{self, RepairLimits, RepairOptions, Repaired};
use pelton::postgres::throwaway::Shutdown;

use crate::flows_setup::{Flow, Line, table};
use crate::support::{Pelton, database, database_on, server, standby_of};

const ROWS: &str = "CREATE TABLE t (id int8 PRIMARY KEY, v text, n numeric(9, 2));
                    INSERT INTO t SELECT i, CASE WHEN i % 7 > 0 THEN 'row ' || i END, i / 100.0 FROM generate_series(1, 20000) i";

async fn copied() -> (Line, String) {
    let line = Line::new().await;
    line.source(ROWS).await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    (line, manifest)
}

impl Line {
    /// Loses the slot.
    async fn lose(&self) {
        self.source(&format!("SELECT pg_drop_replication_slot('{}')", self.source.name())).await;
    }

    fn repair(&self, manifest: &str, more: &[&str]) -> Pelton {
        Pelton::new(["repair"].iter().chain(more)).file("pelton.yaml", manifest)
    }

    /// Runs `pelton repair`, which must end well, and returns what it said.
    async fn repaired(&self, manifest: &str) -> String {
        let mut pelton = self.repair(manifest, &[]);
        let status = pelton.run().await;
        assert_eq!(status.code(), Some(0), "{}", pelton.stderr());
        pelton.stdout()
    }
}

/// The issue's figure: a million rows, a hundred differences, less than a hundredth of the rows on the wire.
#[tokio::test]
async fn of_a_million_rows_only_those_that_differ_and_their_neighbours_are_carried_over() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE t (id int8 PRIMARY KEY, v text, at timestamptz);
         INSERT INTO t SELECT i, 'row ' || i, timestamptz 'epoch' + i * interval '1 s' FROM generate_series(1, 1000000) i",
    )
    .await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    line.lose().await;
    line.source(
        "UPDATE t SET v = v || '!' WHERE id % 25000 = 1; DELETE FROM t WHERE id % 33334 = 2;
         INSERT INTO t SELECT i, NULL, NULL FROM generate_series(2000001, 2000030) i",
    )
    .await;
    let said = line.stop(&manifest).await;
    assert!(said.contains("beyond the checkpoint") && said.contains("`pelton repair`"), "{said}");
    let said = line.repaired(&manifest).await;
    let numbers: Vec<u64> =
        said.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
    let at = numbers.windows(2).position(|pair| pair == [70, 30]).unwrap_or_else(|| panic!("{said}"));
    let (rows, fetched) = (numbers[at + 2], numbers[at + 3]);
    assert_eq!(rows, 1_000_000);
    assert!(fetched < rows / 100, "{said}");
    print!("{said}");
    let sum = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.t";
    line.assert_same(sum, sum).await;
    line.source("INSERT INTO t VALUES (-1, 'after', now()); DELETE FROM t WHERE id = 5").await;
    line.catch_up(&manifest).await;
    line.assert_same(sum, sum).await;
    assert_eq!(line.destination.value("SELECT epoch FROM rejot_data_store.flow").await, "2");
}

impl Line {
    /// Repairs in this process, within limits, and returns what became of the only flow.
    async fn repaired_within(&self, manifest: &str, limits: RepairLimits) -> Repaired {
        let file = self.repair(manifest, &[]);
        let manifest = pelton::manifest::load(&file.folder().join("pelton.yaml")).expect("the manifest is good");
        let how = RepairOptions { always: true, limits, ..RepairOptions::default() };
        let mut outcomes = Vec::new();
        let told = |source: engine::SourceRepair| outcomes.extend(source.flows.into_iter().map(|flow| flow.outcome));
        engine::repair(&manifest, engine::Options::default(), how, told).await.expect("it can be compared");
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }
}

#[tokio::test]
async fn buckets_that_differ_are_split_until_little_else_is_fetched() {
    let (line, manifest) = copied().await;
    let spoil = "UPDATE t SET v = 'x' WHERE id % 200 = 1; DELETE FROM t WHERE id % 400 = 2;
                 INSERT INTO t SELECT -i FROM generate_series(1, 50) AS i";
    line.destination.execute(spoil).await;
    // Each of the 64 buckets of the first pass has some of the 200 rows, so that alone would fetch all.
    let few = RepairLimits { buckets_max: 64, rows_few: 0, keys_max: 2_000, ..RepairLimits::default() };
    let unsplit = line.repaired_within(&manifest, RepairLimits { splits_max: 0, ..few }).await;
    assert_eq!(unsplit, Repaired::LeftAlone("too much of it differs".to_owned()));
    // Too few for one pass to do it.
    let Repaired::Compared(found) = line.repaired_within(&manifest, RepairLimits { splits_max: 600, ..few }).await
    else {
        panic!("it is compared")
    };
    assert_eq!((found.rows, found.written, found.deleted), (20_000, 150, 50));
    assert!(found.fetched < 200 * 6, "{found:?}");
    line.assert_equal(&["t"]).await;
    let Repaired::Compared(found) = line.repaired_within(&manifest, few).await else { panic!("it is compared") };
    assert_eq!((found.fetched, found.written, found.deleted), (0, 0, 0));

    // Where everything differs a pass shows that more of them are of no use.
    line.destination.execute("UPDATE t SET v = 'y'").await;
    let all = line.repaired_within(&manifest, few).await;
    assert_eq!(all, Repaired::LeftAlone("too much of it differs".to_owned()));
    let Repaired::Compared(found) = line.repaired_within(&manifest, RepairLimits { keys_max: 50_000, ..few }).await
    else {
        panic!("it is compared")
    };
    assert_eq!((found.fetched, found.written), (40_000, 20_000));
    line.assert_equal(&["t"]).await;
}

/// `cargo nextest run --run-ignored only ten_million --no-capture`
#[tokio::test]
#[ignore = "a measurement"]
async fn ten_million_rows_with_twenty_thousand_differences() {
    let server = server().await;
    let line = Line { source: database_on(&server).await, destination: database_on(&server).await };
    line.source("CREATE TABLE t (id int8 PRIMARY KEY, v text, at timestamptz)").await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    line.lose().await;
    let fill = "INSERT INTO t SELECT i, 'row ' || i, timestamptz 'epoch' + i * interval '1 s' FROM generate_series(1, 10000000) i";
    tokio::join!(line.source(fill), line.destination.execute(fill));
    line.source(
        "UPDATE t SET v = v || '!' WHERE id % 1000 = 1; DELETE FROM t WHERE id % 2000 = 2;
         INSERT INTO t SELECT i, NULL, NULL FROM generate_series(20000001, 20005000) i",
    )
    .await;
    let begun = std::time::Instant::now();
    let Repaired::Compared(found) = line.repaired_within(&manifest, RepairLimits::default()).await else {
        panic!("it is compared")
    };
    eprintln!("{:.1} s: {found:?}", begun.elapsed().as_secs_f64());
    assert_eq!((found.written, found.deleted), (15_000, 5_000));
    let sum = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.t";
    line.assert_same(sum, sum).await;
}

#[tokio::test]
async fn a_slot_that_was_moved_on_and_another_cluster_are_losses_too() {
    let (line, manifest) = copied().await;
    line.source("UPDATE t SET v = 'x' WHERE id < 10").await;
    let advance = format!("SELECT pg_replication_slot_advance('{}', pg_current_wal_lsn())", line.source.name());
    line.source(&advance).await;
    let mut planned = line.repair(&manifest, &["--dry-run"]);
    assert_eq!(planned.run().await.code(), Some(0), "{}", planned.stderr());
    assert!(planned.stdout().contains("beyond the checkpoint") && planned.stdout().contains("would be brought back"));
    let said = line.repaired(&manifest).await;
    assert!(said.contains("9 rows written and 0 deleted"), "{said}");
    line.assert_equal(&["t"]).await;

    // As after a restore of another cluster, whose positions are anywhere.
    line.destination
        .execute("UPDATE rejot_data_store.flow SET system_identifier = 1, lsn = 'FF/0'; DELETE FROM t WHERE id = 3")
        .await;
    let said = line.stop(&manifest).await;
    assert!(said.contains("is another cluster") && said.contains("`pelton repair`"), "{said}");
    let said = line.repaired(&manifest).await;
    assert!(said.contains("another cluster") && said.contains("1 rows written and 0 deleted"), "{said}");
    line.source("INSERT INTO t VALUES (-1, 'after', 1)").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
    assert_eq!(line.destination.value("SELECT epoch FROM rejot_data_store.flow").await, "3");

    // A backup of this one: its log ends before the checkpoint.
    line.destination.execute("UPDATE rejot_data_store.flow SET lsn = 'FF/0'").await;
    let said = line.repaired(&manifest).await;
    assert!(said.contains("before the checkpoint FF/0"), "{said}");
    let said = line.repaired(&manifest).await;
    assert!(said.contains("nothing is lost"), "{said}");
}

#[tokio::test]
async fn projections_and_odd_names_are_compared_by_what_they_publish() {
    let line = Line::new().await;
    line.source(
        r#"CREATE SCHEMA "S a"; CREATE TABLE "S a"."T""x" ("Key 1" text, k2 int, "v;" text, secret text, j jsonb, b bytea,
               f float8, PRIMARY KEY ("Key 1", k2));
           INSERT INTO "S a"."T""x" SELECT 'é' || i, i, NULLIF('v' || i % 3, 'v0'), 's', jsonb_build_object('i', i),
               decode(md5(i::text), 'hex'), 1.0 / i FROM generate_series(1, 3000) i"#,
    )
    .await;
    let config = "publicSchemaType: table, table: '\"S a\".\"T\"\"x\"', \
                  columns: [{ v: 'v;' }, k2, { k1: 'Key 1' }, j, b, f]";
    let manifest = line.manifest(&[Flow::new("odd", config).into("odd", "createTable: true")]);
    line.catch_up(&manifest).await;
    line.lose().await;
    line.source(
        r#"UPDATE "S a"."T""x" SET secret = 'changed'; UPDATE "S a"."T""x" SET "v;" = '' WHERE k2 = 3;
           DELETE FROM "S a"."T""x" WHERE k2 = 7; UPDATE "S a"."T""x" SET k2 = 9001 WHERE k2 = 9"#,
    )
    .await;
    let said = line.repaired(&manifest).await;
    assert!(said.contains("2 rows written and 2 deleted"), "{said}");
    let source = r#"SELECT "v;", k2, "Key 1", j, b, f FROM "S a"."T""x" ORDER BY k2"#;
    line.assert_same(source, "SELECT v, k2, k1, j, b, f FROM public.odd ORDER BY k2").await;
}

#[tokio::test]
async fn changes_meanwhile_are_neither_lost_nor_done_twice() {
    let (line, manifest) = copied().await;
    line.lose().await;
    let writer = line.source.connect().await;
    let writing = tokio::spawn(async move {
        for i in 0..400 {
            let sql = format!(
                "UPDATE public.t SET n = n + 1 WHERE id % 100 = {i} % 100; INSERT INTO public.t VALUES (100000 + {i}, 'new', {i});
                 DELETE FROM public.t WHERE id = 1000 + {i}; UPDATE public.t SET id = -id WHERE id = 3000 + {i}"
            );
            writer.batch_execute(&sql).await.unwrap();
        }
    });
    line.repaired(&manifest).await;
    line.catch_up(&manifest).await;
    writing.await.unwrap();
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
}

#[tokio::test]
async fn a_repair_that_is_killed_begins_again() {
    let (line, manifest) = copied().await;
    line.lose().await;
    line.source("UPDATE t SET v = 'x' WHERE id < 10").await;
    let mut pelton = line.repair(&manifest, &[]).env("PELTON_FAULT", "before-repaired:1");
    assert_eq!(pelton.run().await.code(), None, "{}", pelton.stdout());
    // Nothing has come of it, and nothing is skipped.
    let said = line.stop(&manifest).await;
    assert!(said.contains("beyond the checkpoint"), "{said}");
    line.source("DELETE FROM t WHERE id = 11").await;
    let said = line.repaired(&manifest).await;
    assert!(said.contains("9 rows written and 1 deleted"), "{said}");
    line.assert_equal(&["t"]).await;
}

#[tokio::test]
async fn what_cannot_be_compared_is_copied_anew() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE keyless (v int); ALTER TABLE keyless REPLICA IDENTITY FULL; CREATE TABLE much (id int PRIMARY KEY, v text);
         INSERT INTO keyless SELECT i % 5 FROM generate_series(1, 50) i;
         INSERT INTO much SELECT i, 'a' FROM generate_series(1, 260000) i",
    )
    .await;
    let manifest = line.manifest(&[table("keyless"), table("much")]);
    line.catch_up(&manifest).await;
    line.lose().await;
    line.source("DELETE FROM keyless WHERE v = 2; UPDATE much SET v = 'b'").await;
    let said = line.repaired(&manifest).await;
    assert!(said.contains("copied anew: its table has no key"), "{said}");
    assert!(said.contains("copied anew: too much of it differs"), "{said}");
    line.catch_up(&manifest).await;
    line.assert_equal(&["keyless", "much"]).await;
}

#[tokio::test]
async fn it_says_what_keeps_it_from_repairing_and_leaves_all_as_it_is() {
    let (line, manifest) = copied().await;
    let mut sync = line.follow(&manifest);
    sync.start();
    sync.says("streaming").await;
    let mut pelton = line.repair(&manifest, &["--always"]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("a process runs this manifest"), "{}", pelton.stderr());
    sync.terminate();
    sync.ended().await;

    // One destination of two is away: the slot is not touched.
    let slot = format!("SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{}'", line.source.name());
    let away = manifest.replace(&line.destination.url(), &format!("{}x", line.destination.url()));
    let mut pelton = line.repair(&away, &["--always"]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("destination"), "{}", pelton.stderr());
    assert_eq!(line.source.value(&slot).await, "1");

    let only_new = manifest.replace("createTable: true", "createTable: true, backfill: false");
    assert_ne!(only_new, manifest);
    line.lose().await;
    let mut pelton = line.repair(&only_new, &[]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("--accept-gap"), "{}", pelton.stderr());
    assert_eq!(line.source.value(&slot).await, "0");
    let mut pelton = line.repair(&only_new, &["--accept-gap"]);
    assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
    assert!(pelton.stdout().contains("goes on without what it missed"), "{}", pelton.stdout());
    line.source("INSERT INTO t VALUES (-1, 'after', 1)").await;
    line.catch_up(&only_new).await;
    line.assert_equal(&["t"]).await;
}

#[tokio::test]
async fn a_sync_that_is_just_ending_is_waited_for() {
    let (line, manifest) = copied().await;
    let mut sync = line.follow(&manifest);
    sync.start();
    sync.says("streaming").await;
    let mut repair = line.repair(&manifest, &["--always"]);
    repair.start();
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    sync.kill().await;
    assert_eq!(repair.ended().await.code(), Some(0), "{}", repair.stderr());
}

/// A standby that lacks the end of its primary's log is promoted: positions go on as if nothing had happened.
#[tokio::test]
async fn a_promoted_standby_that_lacks_what_was_applied_is_noticed_and_compared() {
    let mut primary = server().await;
    let mut line = Line { source: database_on(&primary).await, destination: database().await };
    line.source(ROWS).await;
    let manifest = line.manifest(&[table("t")]);
    line.catch_up(&manifest).await;
    let (mut standby, mut promoted) = standby_of(&mut primary, &mut line.source).await;
    standby.stop(Shutdown::Fast).await.unwrap();
    line.source(
        "UPDATE t SET v = 'never happened' WHERE id <= 5; INSERT INTO t VALUES (-1, 'never', 0);
         CREATE TABLE much AS SELECT repeat('x', 1000) FROM generate_series(1, 5000)",
    )
    .await;
    line.catch_up(&manifest).await;
    primary.stop(Shutdown::Fast).await.unwrap();
    standby.start().await.unwrap();
    promoted.reconnect().await;
    promoted.execute("SELECT pg_promote(true)").await;
    promoted.execute("INSERT INTO t SELECT i, 'there', 0 FROM generate_series(30001, 30010) i").await;
    let manifest = manifest.replace(&line.source.url(), &promoted.url());
    let line = Line { source: promoted, destination: line.destination };
    let said = line.stop(&manifest).await;
    assert!(said.contains("is on timeline 2, which left timeline 1 at") && said.contains("`pelton repair`"), "{said}");
    // The log may have grown beyond the checkpoint before anybody looks.
    line.source("CREATE TABLE more AS SELECT repeat('x', 1000) FROM generate_series(1, 10000)").await;
    let said = line.stop(&manifest).await;
    assert!(said.contains("is on timeline 2, which left timeline 1 at"), "{said}");
    let said = line.repaired(&manifest).await;
    assert!(said.contains("it is on timeline 2") && said.contains("15 rows written and 1 deleted"), "{said}");
    line.assert_equal(&["t"]).await;
    line.source("INSERT INTO t VALUES (-2, 'after', 0)").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t"]).await;
    assert_eq!(line.destination.value("SELECT timeline FROM rejot_data_store.flow").await, "2");
}

/// Tables of a destination are mended together: neither order of the flows alone would pass the foreign key.
#[tokio::test]
async fn tables_that_refer_to_each_other_are_mended_together() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE parent (id int PRIMARY KEY, email text); CREATE TABLE child (id int PRIMARY KEY, parent int);
         INSERT INTO parent SELECT i, 'e' || i FROM generate_series(1, 100) i;
         INSERT INTO child SELECT i, i FROM generate_series(1, 100) i",
    )
    .await;
    let manifest = line.manifest(&[table("child"), table("parent")]);
    line.catch_up(&manifest).await;
    line.destination
        .execute("ALTER TABLE child ADD FOREIGN KEY (parent) REFERENCES parent; ALTER TABLE parent ADD UNIQUE (email)")
        .await;
    line.lose().await;
    line.source(
        "DELETE FROM child WHERE id <= 3; DELETE FROM parent WHERE id <= 3; INSERT INTO parent VALUES (200, 'new');
         INSERT INTO child VALUES (200, 200); UPDATE child SET parent = 200 WHERE id = 50",
    )
    .await;
    let said = line.repaired(&manifest).await;
    assert!(
        said.contains("to-child: 2 rows written and 3 deleted") && said.contains("to-parent: 1 rows written"),
        "{said}"
    );
    line.assert_equal(&["parent", "child"]).await;

    // A swap of unique values has no order that passes: nothing is half mended.
    line.lose().await;
    line.source("UPDATE parent SET email = CASE id WHEN 7 THEN 'e8' ELSE 'e7' END WHERE id IN (7, 8)").await;
    let said = line.repaired(&manifest).await;
    assert!(said.contains("will be copied anew: constraints of the destination refuse what differs"), "{said}");
    line.destination.execute("ALTER TABLE child DROP CONSTRAINT child_parent_fkey").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["parent", "child"]).await;
}

#[tokio::test]
async fn where_nothing_is_lost_nothing_is_given_up() {
    let line = Line::new().await;
    line.source(
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE n (id numeric PRIMARY KEY, v text);
         INSERT INTO t SELECT i, 'a' FROM generate_series(1, 1000) i; INSERT INTO n VALUES (1.50, 'a')",
    )
    .await;
    let manifest = line.manifest(&[table("t"), table("n")]);
    line.catch_up(&manifest).await;
    // A flow that the manifest does not name any more holds nothing back and is no loss.
    line.destination
        .execute(
            "INSERT INTO rejot_data_store.flow (manifest_slug, source_slug, flow, public_schema_name,
                 public_schema_major_version, epoch, lsn, system_identifier, slot_name)
             SELECT manifest_slug, source_slug, 'former', 'x', 1, 1, '0/1', 1, slot_name FROM rejot_data_store.flow LIMIT 1",
        )
        .await;
    let said = line.repaired(&manifest).await;
    assert!(said.contains("nothing is lost"), "{said}");
    let slot = "SELECT catalog_xmin, restart_lsn, confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = ";
    let slot = format!("{slot}'{}'", line.source.name());
    let before = line.source.rows(&slot).await;
    line.destination.execute("UPDATE t SET v = 'b' WHERE id = 7; DELETE FROM t WHERE id = 8").await;
    let mut pelton = line.repair(&manifest, &["--always"]);
    assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
    let said = pelton.stdout();
    assert!(said.contains("to-t: 2 rows written and 0 deleted"), "{said}");
    assert!(said.contains("to-n: left alone: equal keys of its table may be spelt in several ways"), "{said}");
    assert_eq!(line.source.rows(&slot).await, before);
    line.source("INSERT INTO n VALUES (2, 'b'); DELETE FROM t WHERE id = 9").await;
    line.catch_up(&manifest).await;
    line.assert_equal(&["t", "n"]).await;
    // Lost, it is copied anew.
    line.lose().await;
    line.source("UPDATE n SET v = 'c'").await;
    let said = line.repaired(&manifest).await;
    assert!(said.contains("to-n: will be copied anew: equal keys"), "{said}");
    line.catch_up(&manifest).await;
    line.assert_equal(&["t", "n"]).await;
}
