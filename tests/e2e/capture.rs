//! `pelton capture`: what passes by becomes a fixture, and nothing stays at the source.

use std::time::{Duration, Instant};

use crate::support::{Database, PATIENCE, Pelton, database};

const TABLES: &str = "CREATE TYPE mood AS ENUM ('sad', 'ok');
    CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL, email text, m mood, amount numeric(12,2), big text);
    ALTER TABLE orders ALTER big SET STORAGE EXTERNAL;
    CREATE SCHEMA shop;
    CREATE TABLE shop.notes (a int, b jsonb); ALTER TABLE shop.notes REPLICA IDENTITY FULL;
    CREATE TABLE keyless (x text)";

fn capture(database: &Database, arguments: &[&str]) -> Pelton {
    let url = database.url();
    Pelton::new([&["capture", "--url", &url][..], arguments].concat())
}

async fn begun(pelton: &mut Pelton) {
    pelton.start();
    pelton.says("Recording up to").await;
}

/// Demands that the source has no publication, and no slot of this database.
async fn left_nothing(database: &Database) {
    let begun = Instant::now();
    loop {
        let left = "SELECT (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE \
                    database = current_database())";
        if database.value(left).await == "0" {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "something stays at the source");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn live_transactions_become_a_fixture_and_nothing_stays() {
    let source = database().await;
    source.execute(TABLES).await;
    source.execute("INSERT INTO orders VALUES (1, 'Ann', NULL, 'ok', 12.50, repeat('x', 9000))").await;
    let mut pelton = capture(&source, &["--limit", "4", "--out", "live.yaml"]);
    begun(&mut pelton).await;
    source.execute("INSERT INTO keyless VALUES ('not recorded')").await;
    source
        .execute(
            "BEGIN; UPDATE orders SET customer = E'B\\nob' WHERE id = 1; UPDATE orders SET id = 2 WHERE id = 1; \
             SELECT pg_logical_emit_message(true, 'audit', 'by me'); COMMIT",
        )
        .await;
    source.execute("INSERT INTO shop.notes VALUES (NULL, '{\"a\": 1.10}'), (2, NULL)").await;
    source.execute("UPDATE shop.notes SET a = 3 WHERE a = 2; DELETE FROM orders; TRUNCATE shop.notes").await;
    source.execute("SELECT pg_logical_emit_message(false, 'tick', E'\\\\xff00'::bytea)").await;
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    left_nothing(&source).await;
    let said = pelton.stderr();
    assert!(said.contains("Left out: table public.keyless has no primary key"), "{said}");
    assert!(said.contains("Recorded 4 transactions, 9 changes into live.yaml"), "{said}");

    let text = std::fs::read_to_string(pelton.folder().join("live.yaml")).unwrap();
    let mut lines =
        text.lines().map(str::trim).filter(|line| !line.starts_with("- xid") && !line.starts_with("commitTime"));
    let mut expect = |wanted: &str| {
        let found = lines.next();
        assert_eq!(found, Some(wanted), "{text}");
    };
    expect(&format!("# Recorded by `pelton capture` from {}: 4 transactions, 9 changes.", address(&source)));
    expect("# It holds values of real rows.");
    expect("tables:");
    expect("public.orders:");
    expect("columns:");
    expect("id: bigint key");
    expect("customer: text not null");
    expect("email: text");
    expect("m: { type: enum, labels: [\"sad\", \"ok\"] }");
    expect("amount: numeric");
    expect("big: text");
    expect("shop.notes:");
    expect("identity: full");
    expect("columns:");
    expect("a: integer");
    expect("b: jsonb");
    expect("transactions:");
    expect("changes:");
    expect("- update: orders");
    let row = "customer: \"B\\nob\", email: null, m: \"ok\", amount: 12.50, big: { unchanged: true } }";
    expect(&format!("new: {{ id: 1, {row}"));
    expect("- update: orders");
    expect("old: { id: 1 }");
    expect(&format!("new: {{ id: 2, {row}"));
    expect("- message: audit");
    expect("content: \"by me\"");
    expect("changes:");
    expect("- insert: shop.notes");
    expect("new: { a: null, b: \"{\\\"a\\\": 1.10}\" }");
    expect("- insert: shop.notes");
    expect("new: { a: 2, b: null }");
    expect("changes:");
    expect("- update: shop.notes");
    expect("old: { a: 2, b: null }");
    expect("new: { a: 3, b: null }");
    expect("- delete: orders");
    expect("old: { id: 2 }");
    expect("- truncate: shop.notes");
    expect("changes:");
    expect("- message: tick");
    expect("content: { bytes: \"ff00\" }");
    expect("transactional: false");
    assert_eq!(lines.next(), None, "{text}");
}

fn address(database: &Database) -> String {
    let url = database.url();
    let at = url.split('@').next_back().unwrap();
    at.split('?').next().unwrap().to_owned()
}

#[tokio::test]
async fn what_may_tell_who_somebody_is_is_masked() {
    let source = database().await;
    source.execute(TABLES).await;
    source.execute("CREATE TABLE people (name text PRIMARY KEY, city text, born date, n int)").await;
    let arguments = ["--limit", "3", "--anonymise", "--keep", "people.city", "--mask", "people.born,public.people.n"];
    let mut pelton = capture(&source, &arguments);
    begun(&mut pelton).await;
    source.execute("INSERT INTO people VALUES ('Ada Lovelace', 'London', '1815-12-10', 4711)").await;
    source
        .execute(
            "INSERT INTO orders VALUES (17, 'Ada Lovelace', 'ada@example.com', 'sad', 99.50); \
             SELECT pg_logical_emit_message(false, 'audit', '{\"user\": \"Ada Lovelace\"}')",
        )
        .await;
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    let text = pelton.stdout();
    for gone in ["Ada", "Lovelace", "ada@", "example", "12-10", "4711"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    for kept in ["city: \"London\"", "born: \"1815-", "id: 17", "m: \"sad\"", "amount: 99.50"] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    for said in ["#   public.orders: big, customer, email", "#   public.people: born, n, name"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // The same value everywhere.
    let name = text.split("name: \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(text.contains(&format!("customer: \"{name}\"")), "{text}");
    assert!(text.contains(&format!("{{\\\"user\\\": \\\"{name}\\\"}}")), "{text}");
    left_nothing(&source).await;
}

#[tokio::test]
async fn it_ends_by_time_by_signal_and_when_the_source_goes() {
    let source = database().await;
    source.execute(TABLES).await;
    let one = "INSERT INTO orders SELECT max(id) + 1, 'x' FROM (SELECT id FROM orders UNION ALL SELECT 0) AS o";
    let mut timed = capture(&source, &["--for", "2s", "--tables", "orders"]);
    let mut signalled = capture(&source, &["--out", "s.yaml"]);
    let mut lost = capture(&source, &[]);
    for pelton in [&mut timed, &mut signalled, &mut lost] {
        begun(pelton).await;
    }
    source.execute("SELECT pg_logical_emit_message(true, 'audit', 'without a table')").await;
    source.execute(one).await;
    // What is too large for a fixture is counted and left out.
    source.execute("INSERT INTO orders SELECT g, repeat('x', 1000) FROM generate_series(1000, 9000) g").await;
    source.execute(one).await;
    assert_eq!(timed.ended().await.code(), Some(0), "{}", timed.stderr());
    let said = timed.stderr();
    assert!(said.contains("Recorded 2 transactions, 2 changes"), "{said}");
    assert!(said.contains("Left out: a transaction of 8001 changes, which take more than 6 MiB"), "{said}");
    assert!(!timed.stdout().contains("audit"), "{}", timed.stdout());

    signalled.signal("INT");
    assert_eq!(signalled.ended().await.code(), Some(0), "{}", signalled.stderr());
    let text = std::fs::read_to_string(signalled.folder().join("s.yaml")).unwrap();
    assert!(text.contains("3 transactions, 3 changes"), "{text}");

    source
        .execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()",
        )
        .await;
    assert_eq!(lost.ended().await.code(), Some(1), "{}", lost.stderr());
    assert!(lost.stdout().contains("3 transactions, 3 changes"), "what there was is written: {}", lost.stdout());
    left_nothing(&source).await;
}

#[tokio::test]
async fn what_a_killed_one_left_behind_is_removed_by_the_next_and_nothing_else() {
    let source = database().await;
    source.execute(TABLES).await;
    source.execute("CREATE PUBLICATION pelton_record_mine FOR TABLE orders").await;
    let mut other = capture(&source, &[]);
    begun(&mut other).await;
    let mut killed = capture(&source, &[]);
    begun(&mut killed).await;
    let publications = "SELECT count(*) FROM pg_publication";
    assert_eq!(source.value(publications).await, "3");
    killed.kill().await;
    // Its session ends a moment later.
    let begun_at = Instant::now();
    loop {
        let mut next = capture(&source, &["--for", "1s"]);
        next.start();
        assert_eq!(next.ended().await.code(), Some(0), "{}", next.stderr());
        if source.value(publications).await == "2" {
            break;
        }
        assert!(begun_at.elapsed() < PATIENCE, "the publication stays");
    }
    // The one that goes on was not harmed.
    source.execute("INSERT INTO orders VALUES (1, 'x')").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.terminate();
    assert_eq!(other.ended().await.code(), Some(0), "{}", other.stderr());
    assert!(other.stdout().contains("- insert: orders"), "{}", other.stdout());
    assert_eq!(source.value("SELECT string_agg(pubname, ',') FROM pg_publication").await, "pelton_record_mine");
}

#[tokio::test]
async fn one_that_is_stopped_before_it_begins_leaves_nothing() {
    let source = database().await;
    source.execute(TABLES).await;
    let other = source.connect().await;
    other.batch_execute("BEGIN; INSERT INTO keyless VALUES ('it goes on')").await.unwrap();
    let mut pelton = capture(&source, &["--out", "s.yaml"]);
    pelton.start();
    let begun = Instant::now();
    // Its slot is being made, and waits for that transaction.
    let waits =
        "SELECT count(*) FROM pg_replication_slots WHERE database = current_database() AND active_pid IS NOT NULL";
    while source.value(waits).await == "0" {
        assert!(begun.elapsed() < PATIENCE, "{}", pelton.stderr());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    pelton.signal("INT");
    assert_eq!(pelton.ended().await.code(), Some(1));
    assert!(pelton.stderr().contains("stopped before anything was recorded"), "{}", pelton.stderr());
    assert!(!pelton.folder().join("s.yaml").exists(), "the file that was claimed is gone");
    left_nothing(&source).await;
}

#[tokio::test]
async fn a_table_that_is_altered_ends_it() {
    let source = database().await;
    source.execute(TABLES).await;
    let mut pelton = capture(&source, &[]);
    begun(&mut pelton).await;
    source.execute("INSERT INTO orders VALUES (1, 'x')").await;
    source.execute("ALTER TABLE orders ADD z int").await;
    source.execute("INSERT INTO orders VALUES (2, 'y')").await;
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    assert!(pelton.stderr().contains("Table public.orders was altered"), "{}", pelton.stderr());
    let text = pelton.stdout();
    assert!(text.contains("1 transaction, 1 change.") && !text.contains("z: integer"), "{text}");
    left_nothing(&source).await;
}

#[tokio::test]
async fn the_manifests_publication_serves_where_it_has_the_tables() {
    let source = database().await;
    source.execute(TABLES).await;
    source.execute("CREATE PUBLICATION of_manifest FOR TABLE orders").await;
    let manifest = format!(
        "slug: m\nconnections:\n  - {{ slug: a, config: {{ connectionType: postgres, url: '{0}' }} }}\n  - {{ slug: b, \
         config: {{ connectionType: postgres, url: '{0}' }} }}\ndataStores:\n  - {{ connectionSlug: a, config: {{ \
         connectionType: postgres, slotName: pelton_a, publicationName: of_manifest }} }}\n  - {{ connectionSlug: b, \
         config: {{ connectionType: postgres, slotName: pelton_b, publicationName: absent }} }}\n",
        source.url()
    );
    let with = |arguments: &[&str]| Pelton::new([&["capture"][..], arguments].concat()).file("pelton.yaml", &manifest);
    let mut which = with(&[]);
    assert_eq!(which.run().await.code(), Some(1));
    assert!(which.stderr().contains("choose one with --data-store: a, b"), "{}", which.stderr());
    for (arguments, publications) in [
        (&["--data-store", "a"][..], "of_manifest"),
        // It lacks the table, so one is made.
        (&["--data-store", "a", "--tables", "orders,shop.notes"][..], "2"),
        (&["--data-store", "b", "--tables", "orders"][..], "2"),
    ] {
        let mut pelton = with(arguments);
        begun(&mut pelton).await;
        let names = source.value("SELECT string_agg(pubname, ',') FROM pg_publication").await;
        match publications {
            "2" => assert_eq!(names.split(',').count(), 2, "{names}"),
            name => assert_eq!(names, name),
        }
        source.execute("INSERT INTO orders SELECT coalesce(max(id), 0) + 1, 'x' FROM orders").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        pelton.terminate();
        assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
        assert!(pelton.stdout().contains("- insert: orders"), "{}", pelton.stdout());
    }
    assert_eq!(source.value("SELECT string_agg(pubname, ',') FROM pg_publication").await, "of_manifest");
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_made() {
    let source = database().await;
    source.execute(TABLES).await;
    source.execute("CREATE PUBLICATION p FOR TABLE orders").await;
    source
        .execute(
            "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id); \
             CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (10); CREATE PUBLICATION leaves FOR TABLE parted; \
             CREATE TABLE loose (id int) PARTITION BY RANGE (id); ALTER TABLE loose REPLICA IDENTITY FULL; \
             CREATE TABLE loose_1 PARTITION OF loose FOR VALUES FROM (0) TO (10); ALTER TABLE loose_1 REPLICA IDENTITY FULL",
        )
        .await;
    for (arguments, said) in [
        (&["--tables", "ordres"][..], "there is no table public.ordres\nHint: did you mean public.orders?"),
        (&["--tables", "a.b.c"], "`a.b.c` is no name of a table"),
        (&["--tables", "keyless"], "table public.keyless has no primary key"),
        (&["--anonymise", "--keep", "orders.emial"], "no column emial\nHint: did you mean public.orders.email?"),
        (&["--anonymise", "--mask", "email"], "`email` is no name of a column"),
        (&["--anonymise", "--mask", "orders.m"], "column public.orders.m is enum, of which there are too few values"),
        (&["--anonymise", "--mask", "parted_1.id"], "public.parted_1 is a partition, and is recorded as public.parted"),
        (&["--tables", "loose"], "public.loose is partitioned and has no primary key"),
        (&["--publication", "leaves", "--anonymise", "--mask", "parted.id"], "under the names of its partitions"),
        (&["--keep", "orders.email"], "--anonymise"),
        (&["--publication", "q"], "publication \"q\" does not exist"),
        (&["--publication", "p", "--tables", "shop.notes"], "publication \"p\" does not have shop.notes"),
        (&["--out", "no/such/folder.yaml"], "make the folder first"),
        (&["--for", "soon"], "write a number and its unit"),
        (&["--limit", "0"], "--limit"),
    ] {
        let mut pelton = capture(&source, arguments);
        let code = pelton.run().await.code();
        assert!(matches!(code, Some(1 | 2)), "{arguments:?}: {code:?}");
        assert!(pelton.stderr().contains(said), "{arguments:?}: {}", pelton.stderr());
    }
    let mut there = capture(&source, &["--out", "there.yaml"]).file("there.yaml", "mine");
    assert_eq!(there.run().await.code(), Some(1));
    assert!(there.stderr().contains("name another file"), "{}", there.stderr());
    assert_eq!(std::fs::read_to_string(there.folder().join("there.yaml")).unwrap(), "mine");
    assert_eq!(source.value("SELECT string_agg(pubname, ',' ORDER BY pubname) FROM pg_publication").await, "leaves,p");
}
