//! `pelton dev`: what its author sees while writing a transform, on fixtures and on what passes by at a source.

use std::path::PathBuf;
use std::time::Instant;

use tempfile::TempDir;

use crate::support::{self, Database, PATIENCE, Pelton};

const SOURCE: &str = r##"#include <pelton.h>

#define ORDER(X)             \
    X(key, bigint, id)       \
    X(plain, text, customer) \
    X(plain, boolean, is_test)
PELTON_SOURCE(order, "public.orders", ORDER)

#define PUBLIC_ORDER(X) \
    X(key, bigint, id)  \
    X(plain, text, label)
PELTON_PUBLIC(public_order, "orders", 1, 0, PUBLIC_ORDER)

static pelton_result published(const order *order, public_order *to) {
    if (order->is_test) return PELTON_NONE;
    to->id = order->id;
    to->label = pelton_concat(order->customer, PELTON_TEXT(" #"), pelton_text_of_bigint(order->id));
    return PELTON_OK;
}
PELTON_MAP(orders, order, public_order, published)
PELTON_TABLE(order, orders)

PELTON_TRANSFORM(.name = "shop", .version = "1.0.0", .tables = {&orders_table}, .publishes = {public_order_schema})
"##;

const FIXTURE: &str = "tables:
  orders:
    columns: { id: bigint key, customer: text not null, is_test: boolean not null }
transactions:
  - changes:
      - insert: orders
        new: { id: 17, customer: Ann, is_test: false }
      - insert: orders
        new: { id: 18, customer: Bob, is_test: true }
";

const TABLE: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL, is_test boolean NOT NULL)";

/// A project in C, which compiles fast, beside the SDK of this repository.
struct Project(TempDir);

impl Project {
    fn new() -> Project {
        let project = Project(tempfile::tempdir().unwrap());
        let sdk = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("guest-sdk/c");
        project.put("compile_flags.txt", &format!("-I{}\n", sdk.display()));
        project.put("shop.c", SOURCE);
        project.put("tests/shop.yaml", FIXTURE);
        project
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `pelton dev` of it.
    fn dev(&self, arguments: &[&str]) -> Pelton {
        Pelton::new([&["dev", self.0.path().to_str().unwrap()][..], arguments].concat())
    }
}

/// Waits until it has printed that on stdout so many times, and returns what came behind the one before.
async fn prints(pelton: &mut Pelton, text: &str, times: usize) -> String {
    let begun = Instant::now();
    loop {
        let stdout = pelton.stdout();
        let ends: Vec<usize> = stdout.match_indices(text).map(|(at, _)| at + text.len()).collect();
        if ends.len() >= times {
            let from = if times > 1 { ends[times - 2] } else { 0 };
            return stdout[from..ends[times - 1]].to_owned();
        }
        assert!(!pelton.has_ended(), "it ended: {stdout}{}", pelton.stderr());
        assert!(begun.elapsed() < PATIENCE, "it does not print `{text}`: {stdout}{}", pelton.stderr());
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn ends_by(signal: &str, pelton: &mut Pelton) {
    pelton.signal(signal);
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
}

#[tokio::test]
async fn each_save_shows_the_rows_that_changed() {
    let project = Project::new();
    let mut pelton = project.dev(&[]);
    pelton.start();
    let first = prints(&mut pelton, " s\n", 2).await;
    assert!(first.contains("transaction 1\n  insert orders id=\"17\" label=\"Ann #17\"\n"), "{first}");
    assert!(first.contains("1 row from 1 transaction (1 fixture); "), "{first}");

    project.put("shop.c", &SOURCE.replace("\" #\"", "\" No. \""));
    let second = prints(&mut pelton, "1 changed, 0 gone, 0 added: 1 row from 1 transaction", 1).await;
    assert!(
        second.contains(": insert public.orders (id=\"17\")\n  insert orders id=\"17\"\n  - label=\"Ann #17\"\n  + label=\"Ann No. 17\"\n"),
        "{second}"
    );
    // What is no change of rows says so, and is compared with the last build, not the first.
    project.put("shop.c", &SOURCE.replace("\" #\"", "\" No. \"").replace("#include", "// saved\n#include"));
    prints(&mut pelton, "nothing changed: 1 row from 1 transaction (1 fixture)", 1).await;

    project.put("shop.c", &SOURCE.replace("return PELTON_OK;", "return PELTON_FINE;"));
    pelton.says("did not compile").await;
    assert!(pelton.stderr().contains("PELTON_FINE"), "the compiler's own words: {}", pelton.stderr());
    // The last build that there was counts.
    project.put("shop.c", &SOURCE.replace("if (order->is_test) return PELTON_NONE;", ""));
    let mended = prints(&mut pelton, "1 changed, 0 gone, 1 added: 2 rows from 1 transaction", 1).await;
    assert!(mended.contains("  + insert orders id=\"18\" label=\"Bob #18\"\n"), "{mended}");

    project.put("tests/shop.yaml", &FIXTURE.replace("customer: Ann", "customer: Eve"));
    let fixture = prints(&mut pelton, "label=\"Eve #17\"", 1).await;
    assert!(fixture.ends_with("transaction 1\n  insert orders id=\"17\" label=\"Eve #17\""), "{fixture}");
    project.put("tests/shop.yaml", "tables: { orders: { columns: { id: bigint key } } }\ntransactions: []\n");
    pelton.says("does not fit the transform: the transform reads column `customer`").await;
    assert!(!pelton.stdout().contains('\u{1b}'), "nothing is coloured or cleared without a terminal");
    ends_by("INT", &mut pelton).await;
}

async fn left_behind(database: &Database) -> String {
    let left = "SELECT (SELECT count(*) FROM pg_replication_slots WHERE database = current_database()) || ' ' || \
                (SELECT count(*) FROM pg_publication) || ' ' || \
                (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'pelton_dev%')";
    database.value(left).await
}

#[tokio::test]
async fn what_passes_by_at_a_source_is_replayed_and_nothing_is_left_behind() {
    let database = support::database().await;
    database.execute(TABLE).await;
    let project = Project::new();
    let mut pelton = project.dev(&["--from", &database.url(), "--last", "2", "--live", "--to", &database.url()]);
    pelton.start();
    prints(&mut pelton, "the rows are in schema \"pelton_dev_shop\": orders", 1).await;
    // Without anything recorded, those of the fixtures.
    let rows = "SELECT string_agg(id || ' ' || label, ', ' ORDER BY id) FROM pelton_dev_shop.orders";
    assert_eq!(database.value(rows).await, "17 Ann #17");
    assert_eq!(left_behind(&database).await, "1 1 1");
    for id in 1..=3 {
        database.execute(&format!("INSERT INTO orders VALUES ({id}, 'c{id}', false)")).await;
    }
    database
        .execute("BEGIN; UPDATE orders SET customer = 'Zoe' WHERE id = 3; DELETE FROM orders WHERE id = 1; COMMIT")
        .await;
    // It arrives within moments; each save looks again.
    let begun = Instant::now();
    let mut saves = 0;
    while !pelton.stdout().contains("(1 fixture and 2 recorded)") || !pelton.stdout().contains("4 rows from") {
        assert!(begun.elapsed() < 3 * PATIENCE, "{}{}", pelton.stdout(), pelton.stderr());
        saves += 1;
        project.put("shop.c", &SOURCE.replace("#include", &format!("// {saves}\n#include")));
        prints(&mut pelton, "the rows are in schema", saves + 1).await;
    }
    assert_eq!(database.value(rows).await, "3 Zoe #3", "the last two transactions alone");
    project.put("shop.c", &SOURCE.replace("\" #\"", "\" No. \""));
    let changed = prints(&mut pelton, "the rows are in schema", saves + 2).await;
    assert!(changed.contains("transaction at ") && changed.contains("+ label=\"Zoe No. 3\""), "{changed}");
    assert_eq!(database.value(rows).await, "3 Zoe No. 3");
    ends_by("TERM", &mut pelton).await;
    assert_eq!(left_behind(&database).await, "0 0 0");
}

#[tokio::test]
async fn the_scratch_schema_is_kept_where_it_is_asked_for_and_never_somebody_elses() {
    let database = support::database().await;
    let project = Project::new();
    let url = database.url();
    let live = ["--once", "--live", "--keep", "--to", &url];
    let rows = "SELECT string_agg(id || ' ' || label, ', ' ORDER BY id) FROM pelton_dev_shop.orders";
    for label in ["Ann #17", "Ann No. 17"] {
        let mut pelton = project.dev(&live);
        assert_eq!(pelton.run().await.code(), Some(0), "{}{}", pelton.stdout(), pelton.stderr());
        assert_eq!(database.value(rows).await, format!("17 {label}"));
        project.put("shop.c", &SOURCE.replace("\" #\"", "\" No. \""));
    }
    // What somebody made on top of it stays.
    database.execute("CREATE VIEW mine AS SELECT * FROM pelton_dev_shop.orders").await;
    let mut pelton = project.dev(&live);
    assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stdout());
    assert!(pelton.stderr().contains("other objects depend on"), "{}", pelton.stderr());
    assert_eq!(database.value("SELECT count(*) FROM mine").await, "1");
    // So does what somebody made beside it.
    database
        .execute("DROP VIEW mine; CREATE TABLE pelton_dev_shop.saved AS SELECT * FROM pelton_dev_shop.orders")
        .await;
    let mut pelton = project.dev(&["--once", "--live", "--to", &url]);
    assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stdout());
    assert!(pelton.stderr().contains("other objects depend on"), "{}", pelton.stderr());
    assert_eq!(database.value("SELECT count(*) FROM pelton_dev_shop.saved").await, "1");

    database
        .execute("DROP TABLE pelton_dev_shop.saved; CREATE SCHEMA theirs; CREATE TABLE theirs.orders (id int)")
        .await;
    let mut pelton = project.dev(&[&live[..], &["--scratch", "theirs"]].concat());
    assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stdout());
    let said = pelton.stderr();
    assert!(said.contains("schema \"theirs\" is there, and pelton dev did not make it"), "{said}");
    assert_eq!(
        database.value("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'theirs'").await,
        "1"
    );

    // Two programs don't share one.
    let mut first = project.dev(&["--live", "--to", &url]);
    first.start();
    prints(&mut first, "the rows are in schema", 1).await;
    let mut second = project.dev(&live);
    assert_eq!(second.run().await.code(), Some(1));
    assert!(
        second.stderr().contains("another pelton dev writes into schema \"pelton_dev_shop\""),
        "{}",
        second.stderr()
    );
    ends_by("INT", &mut first).await;
    assert_eq!(left_behind(&database).await, "0 0 0");
}

#[tokio::test]
async fn a_manifest_says_what_is_recorded_by_which_publication_and_where_rows_go() {
    let (source, warehouse) = (support::database().await, support::database().await);
    source.execute(TABLE).await;
    source.execute("CREATE PUBLICATION shop FOR TABLE orders").await;
    let manifest = format!(
        "slug: shop
manifestVersion: 0
connections:
  - {{ slug: source, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: warehouse, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores:
  - {{ connectionSlug: source, config: {{ connectionType: postgres, slotName: s, publicationName: shop }} }}
  - {{ connectionSlug: warehouse }}
publicSchemas:
  - name: orders
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: source }}
    config: {{ publicSchemaType: wasm, component: shop.wasm }}
consumerSchemas:
  - name: orders-there
    sourceManifestSlug: shop
    publicSchema: {{ name: orders, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: public.orders, createTable: true }}
",
        source.url(),
        warehouse.url()
    );
    let project = Project::new();
    project.put("pelton.yaml", &manifest);
    let path = project.0.path().join("pelton.yaml");
    let mut pelton = project.dev(&["--manifest", path.to_str().unwrap(), "--transform", "orders", "--live"]);
    pelton.start();
    prints(&mut pelton, "the rows are in schema", 1).await;
    assert_eq!(source.value("SELECT count(*) FROM pg_publication").await, "1", "the manifest's is there, and will do");
    assert_eq!(warehouse.value("SELECT label FROM pelton_dev_shop.orders").await, "Ann #17");
    // An altered table: what was recorded before has other columns, and is not replayed.
    source.execute("INSERT INTO orders VALUES (1, 'one', false)").await;
    source.execute("ALTER TABLE orders ADD COLUMN note text; INSERT INTO orders VALUES (2, 'two', false, 'n')").await;
    let begun = Instant::now();
    let mut saves = 0;
    while !pelton.stdout().contains("and 1 recorded); ") || !pelton.stderr().contains("was altered") {
        assert!(begun.elapsed() < 3 * PATIENCE, "{}{}", pelton.stdout(), pelton.stderr());
        saves += 1;
        project.put("shop.c", &SOURCE.replace("#include", &format!("// {saves}\n#include")));
        prints(&mut pelton, "the rows are in schema", saves + 1).await;
    }
    let reads_more = SOURCE
        .replace("X(plain, boolean, is_test)", "X(plain, boolean, is_test) X(plain, text, note)")
        .replace("PELTON_TEXT(\" #\"), pelton_text_of_bigint(order->id)", "PELTON_TEXT(\" \"), order->note");
    project.put("shop.c", &reads_more);
    prints(&mut pelton, "the rows are in schema", saves + 2).await;
    assert_eq!(
        warehouse.value("SELECT string_agg(id || ' ' || label, ', ') FROM pelton_dev_shop.orders").await,
        "2 two n"
    );
    ends_by("INT", &mut pelton).await;
    assert_eq!((left_behind(&source).await, left_behind(&warehouse).await), ("0 1 0".to_owned(), "0 0 0".to_owned()));
}

#[tokio::test]
async fn once_says_by_its_exit_code_whether_all_is_well_and_wrong_input_is_told() {
    let database = support::database().await;
    let project = Project::new();
    let mut pelton = project.dev(&["--once"]);
    assert_eq!(pelton.run().await.code(), Some(0), "{}{}", pelton.stdout(), pelton.stderr());
    assert!(pelton.stdout().contains("insert orders id=\"17\""), "{}", pelton.stdout());

    let bare =
        "slug: shop\nmanifestVersion: 0\nconnections: []\ndataStores: []\npublicSchemas: []\nconsumerSchemas: []\n";
    let unreachable = "postgres://nobody@127.0.0.1:1/none";
    let url = database.url();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--live"], 1, "nothing says where --live writes"),
        (&["--live", "--manifest", "bare.yaml"], 1, "manifest `shop` has no destination"),
        (&["--live", "--once", "--to", unreachable], 1, "127.0.0.1:1/none"),
        (&["--from", unreachable], 1, "127.0.0.1:1/none"),
        (&["--from", &url], 1, "orders"),
        (&["--from", &url, "--once"], 2, "cannot be used with"),
        (&["--publication", "p"], 1, "there is nothing to record by --publication"),
        (&["--from", &url, "--publication", "p"], 1, "p"),
        (&["--manifest", "bare.yaml", "--data-store", "x"], 1, "the manifest reads no database"),
        (&["--scratch", "x"], 2, "--live"),
        (&["--last", "0"], 2, "0 is not in"),
        (&["--once", "--setting", "x=1"], 1, "the transform knows no setting `x`"),
        (&["--manifest", "none.yaml"], 1, "none.yaml"),
    ];
    for (arguments, expected, text) in cases {
        let mut pelton = project.dev(arguments).file("bare.yaml", bare);
        let code = pelton.run().await.code();
        let said = pelton.stderr();
        assert_eq!((code, said.contains(text)), (Some(*expected), true), "{arguments:?}: {said}");
        assert!(
            *expected == 2 || said.contains("Hint: ") || said.contains("hint"),
            "{arguments:?} has no hint: {said}"
        );
    }
    assert_eq!(left_behind(&database).await, "0 0 0");

    for (folder, text) in [("none", "there is no folder none"), (".", "holds no transform")] {
        let mut pelton = Pelton::new(["dev", folder, "--once"]);
        assert_eq!(pelton.run().await.code(), Some(1));
        assert!(pelton.stderr().contains(text), "{}", pelton.stderr());
    }
    project.put("shop.c", "#include <pelton.h>\nint x = y;\n");
    let mut pelton = project.dev(&["--once"]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("did not compile"), "{}", pelton.stderr());
}
