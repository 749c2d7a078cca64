//! Versions of public schemas: what a minor version may change, and major versions beside each other.

use std::process::Command;

use crate::guest::{Guest, INT64, TEXT};
use crate::support::{Database, Pelton, assert_same, database};

/// A component that publishes the table `t` with these columns.
fn component(
    version: (u32, u32),
    subscribed: &'static [&'static str],
    columns: &'static [(&str, u8, bool, bool)],
) -> Vec<u8> {
    Guest { version, subscribed, columns, ..Guest::default() }.component()
}

fn first() -> Vec<u8> {
    component((1, 0), &["id", "v"], &[("id", INT64, false, true), ("v", TEXT, false, false)])
}

/// Adds a column.
fn grown() -> Vec<u8> {
    let columns = &[("id", INT64, false, true), ("v", TEXT, false, false), ("w", TEXT, true, false)];
    component((1, 1), &["id", "v", "w"], columns)
}

/// Names a column otherwise.
fn renamed(version: (u32, u32)) -> Vec<u8> {
    component(version, &["id", "v"], &[("id", INT64, false, true), ("label", TEXT, false, false)])
}

struct Shop {
    source: Database,
    events: Database,
    destination: Database,
}

impl Shop {
    async fn new() -> Shop {
        let shop = Shop { source: database().await, events: database().await, destination: database().await };
        let ddl = "CREATE TABLE t (id bigint PRIMARY KEY, v text NOT NULL, w text);
                   INSERT INTO t SELECT i, 'v' || i, 'w' || i FROM generate_series(1, 700) AS i";
        shop.source.execute(ddl).await;
        shop
    }

    /// A manifest that publishes `t` in these versions, `<major>.wasm` each, and consumes each into `t<major>`.
    fn manifest(&self, versions: &[(u32, u32)]) -> String {
        let slot = self.source.name();
        let mut text = format!(
            "slug: shop
connections:
  - {{ slug: source, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}
  - {{ slug: warehouse, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores:
  - {{ connectionSlug: source, config: {{ slotName: {slot}, publicationName: {slot} }} }}
  - {{ connectionSlug: warehouse }}
eventStores: [{{ connectionSlug: events }}]
publicSchemas:
",
            self.source.url(),
            self.events.url(),
            self.destination.url()
        );
        for (major, minor) in versions {
            text += &format!(
                "  - name: t
    version: {{ major: {major}, minor: {minor} }}
    source: {{ dataStoreSlug: source }}
    config: {{ publicSchemaType: wasm, component: {major}.wasm }}
"
            );
        }
        text += "consumerSchemas:\n";
        for (major, _) in versions {
            text += &format!(
                "  - name: t{major}
    sourceManifestSlug: shop
    publicSchema: {{ name: t, majorVersion: {major} }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: t{major}, createTable: true }}
"
            );
        }
        text
    }

    fn pelton(&self, arguments: &[&str], versions: &[(u32, u32)], components: &[(&str, &[u8])]) -> Pelton {
        let pelton = Pelton::new(arguments).file("pelton.yaml", self.manifest(versions));
        components.iter().fold(pelton, |pelton, (name, component)| pelton.file(name, component))
    }

    async fn catch_up(&self, versions: &[(u32, u32)], components: &[(&str, &[u8])]) {
        let mut pelton = self.pelton(&["sync", "--until-caught-up"], versions, components);
        assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
    }
}

#[tokio::test]
async fn a_new_major_version_is_copied_by_its_own_component_while_the_old_one_goes_on() {
    let shop = Shop::new().await;
    shop.catch_up(&[(1, 0)], &[("1.wasm", &first())]).await;
    shop.source.execute("UPDATE t SET v = 'changed' WHERE id <= 10; DELETE FROM t WHERE id = 11").await;
    let both = &[("1.wasm", &first()[..]), ("2.wasm", &renamed((2, 0))[..])];
    let mut pelton = shop.pelton(&["sync"], &[(1, 0), (2, 0)], both);
    pelton.start();
    // The old one goes on while the new one is copied.
    for id in 1000..1020 {
        shop.source
            .execute(&format!("INSERT INTO t VALUES ({id}, 'live', NULL); DELETE FROM t WHERE id = {id} - 900"))
            .await;
    }
    shop.destination.wait_until("to_regclass('public.t2') IS NOT NULL").await;
    for table in ["t1", "t2"] {
        shop.destination.wait_until(&format!("EXISTS (SELECT FROM {table} WHERE id = 1019)")).await;
    }
    shop.destination.wait_until("(SELECT count(*) FROM t2) = (SELECT count(*) FROM t1)").await;
    pelton.terminate();
    assert_eq!(pelton.ended().await.code(), Some(0), "{}", pelton.stderr());
    shop.catch_up(&[(1, 0), (2, 0)], both).await;
    assert_same(&shop.source, "SELECT id, v FROM t", &shop.destination, "SELECT id, v FROM t1").await;
    assert_same(&shop.source, "SELECT id, v FROM t", &shop.destination, "SELECT id, label FROM t2").await;
    // Each has events of its own, made by its own component; the old one was not copied a second time.
    let copied = "SELECT string_agg(format('%s:%s:%s', major, n, components), ' ' ORDER BY major) FROM (
                    SELECT public_schema_major_version AS major, count(DISTINCT component_digest) AS components,
                      (count(*) FILTER (WHERE xid = 0) > 0)::text AS n FROM rejot_events.events GROUP BY 1) AS e";
    assert_eq!(shop.events.value(copied).await, "1:true:1 2:true:1");
    let old = "SELECT count(*) FROM rejot_events.events WHERE public_schema_major_version = 1 AND xid = 0";
    assert_eq!(shop.events.value(old).await, "700");
    // Once nobody reads it, the old one goes.
    shop.source.execute("INSERT INTO t VALUES (2000, 'last', NULL)").await;
    shop.catch_up(&[(2, 0)], &[("2.wasm", &renamed((2, 0)))]).await;
    assert_eq!(shop.destination.value("SELECT count(*) FROM t2 WHERE id = 2000").await, "1");
}

#[tokio::test]
async fn a_minor_version_that_breaks_its_readers_is_not_published() {
    let shop = Shop::new().await;
    shop.catch_up(&[(1, 0)], &[("1.wasm", &first())]).await;
    shop.source.execute("INSERT INTO t VALUES (1000, 'x', 'y')").await;
    let events = "SELECT count(*) FROM rejot_events.events";
    for version in [(1, 0), (1, 1)] {
        let mut pelton = shop.pelton(&["sync", "--until-caught-up"], &[version], &[("1.wasm", &renamed(version))]);
        assert_eq!(pelton.run().await.code(), Some(1), "{}", pelton.stderr());
        let would =
            format!("public schema `t` 1.{} would break those who read 1.0: column `v` (text) is gone", version.1);
        assert!(pelton.stderr().contains(&would), "{}", pelton.stderr());
        assert!(pelton.stderr().contains("publish it as `t` 2.0"), "{}", pelton.stderr());
        assert_eq!(shop.events.value(events).await, "700");
    }
    // One that adds a column is; and it may be rolled back.
    shop.destination.execute("ALTER TABLE t1 ADD COLUMN w text").await;
    shop.catch_up(&[(1, 1)], &[("1.wasm", &grown())]).await;
    assert_eq!(shop.destination.value("SELECT w FROM t1 WHERE id = 1000").await, "y");
    shop.source.execute("INSERT INTO t VALUES (1001, 'x', 'y')").await;
    shop.catch_up(&[(1, 0)], &[("1.wasm", &first())]).await;
    assert_same(&shop.source, "SELECT id, v FROM t", &shop.destination, "SELECT id, v FROM t1").await;
}

#[tokio::test]
async fn check_compares_with_what_the_event_store_remembers() {
    let shop = Shop::new().await;
    let check = |version, component: &[u8]| {
        shop.pelton(&["check", "--against", "deployed"], &[version], &[("1.wasm", component)])
    };
    let mut nothing = check((1, 0), &first());
    assert_eq!(nothing.run().await.code(), Some(0), "{}", nothing.stderr());
    assert!(nothing.stdout().contains("t@1: new, the event store does not have it."), "{}", nothing.stdout());
    shop.catch_up(&[(1, 0)], &[("1.wasm", &first())]).await;
    let mut same = check((1, 0), &first());
    assert_eq!(same.run().await.code(), Some(0), "{}", same.stderr());
    let mut more = check((1, 1), &grown());
    assert_eq!(more.run().await.code(), Some(0), "{}", more.stderr());
    let told = "t@1: 1.0 → 1.1, adds `w`; those who read it can go on.";
    assert!(more.stdout().contains(told), "{}", more.stdout());
    let mut broken = check((1, 1), &renamed((1, 1)));
    assert_eq!(broken.run().await.code(), Some(1));
    let would = "would break those who read 1.0 of the event store:\n  - column `v` (text) is gone\nHint: publish it as `t` 2.0";
    assert!(broken.stderr().contains(would), "{}", broken.stderr());
}

#[tokio::test]
async fn check_compares_with_git_and_with_files() {
    let shop = Shop::new().await;
    let git = |pelton: &Pelton, arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(pelton.folder()).args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(arguments);
        let output = git.output().expect("git is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let mut pelton = shop.pelton(&["check", "--against", "git:HEAD"], &[(1, 0)], &[("1.wasm", &first())]);
    git(&pelton, &["init", "--quiet"]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("git knows no revision `HEAD` here"), "{}", pelton.stderr());
    git(&pelton, &["add", "."]);
    git(&pelton, &["commit", "--quiet", "-m", "first"]);
    assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
    let mut pelton = pelton.file("1.wasm", renamed((1, 1))).file("pelton.yaml", shop.manifest(&[(1, 1)]));
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(
        pelton.stderr().contains("1.1 would break those who read 1.0 of HEAD:\n  - column `v`"),
        "{}",
        pelton.stderr()
    );
    // Tables, of which the sources tell the columns, and schemas of rows.
    let table = |columns: &str, minor: u32, more: &str| {
        shop.manifest(&[(1, minor)]).replace(
            "    config: { publicSchemaType: wasm, component: 1.wasm }",
            &format!("{more}    config: {{ publicSchemaType: table, table: t, columns: {columns} }}"),
        )
    };
    let check = |old: String, new: String| {
        Pelton::new(["check", "--against", "old.yaml"]).file("old.yaml", old).file("pelton.yaml", new)
    };
    let mut grown = check(table("[id, v]", 0, ""), table("[id, v, w]", 1, ""));
    assert_eq!(grown.run().await.code(), Some(0), "{}", grown.stderr());
    assert!(grown.stdout().contains("adds `w`"), "{}", grown.stdout());
    let mut retyped = check(table("[id, v]", 0, ""), table("[id, { v: id }]", 1, ""));
    assert_eq!(retyped.run().await.code(), Some(1));
    assert!(retyped.stderr().contains("column `v` was text and is bigint"), "{}", retyped.stderr());
    let nullable = check(table("[id, v]", 0, ""), table("[id, { v: w }]", 1, "")).run().await;
    assert_eq!(nullable.code(), Some(1));
    let output = |required: &str| {
        format!(
            "    outputSchema: {{ required: [{required}], properties: {{ id: {{ type: integer }}, v: {{ type: string }} }} }}\n"
        )
    };
    let mut looser = check(table("[id, v]", 0, &output("id, v")), table("[id, v]", 1, &output("id")));
    assert_eq!(looser.run().await.code(), Some(1));
    assert!(looser.stderr().contains("outputSchema: `v` need not be there any more"), "{}", looser.stderr());
    // Without the source the manifests alone are compared.
    let away = |text: String| text.replace(&shop.source.url().to_string(), "postgres://nobody@127.0.0.1:1/none");
    let mut gone = check(away(table("[id, v]", 0, "")), away(table("[id]", 1, "")));
    assert_eq!(gone.run().await.code(), Some(1));
    assert!(gone.stderr().contains("column `v` is gone"), "{}", gone.stderr());
}
