//! Manifests and what is done to them: workspaces, diagnostics for scripts, commands that edit.

use serde_json::Value;

use crate::support::{Database, Pelton, assert_same, database};

/// Two manifests, one of which takes what the other publishes, and one that names both.
struct Workspace {
    source: Database,
    destination: Database,
}

impl Workspace {
    async fn new() -> Workspace {
        let workspace = Workspace { source: database().await, destination: database().await };
        let ddl = "CREATE TABLE items (id int PRIMARY KEY, v int); INSERT INTO items SELECT i, i FROM generate_series(1, 500) AS i";
        workspace.source.execute(ddl).await;
        workspace
    }

    fn owner(&self, more: &str) -> String {
        let (slot, url) = (self.source.name(), self.source.url());
        format!(
            "slug: shop
connections:
  - {{ slug: db, config: {{ connectionType: postgres, url: \"{url}\" }} }}
dataStores:
  - {{ connectionSlug: db, config: {{ slotName: {slot}, publicationName: {slot} }} }}
publicSchemas:
  - name: items
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: db }}
    config: {{ publicSchemaType: table, table: items }}
{more}"
        )
    }

    fn taker(&self) -> String {
        format!(
            "slug: crm
connections:
  - {{ slug: db, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores: [{{ connectionSlug: db }}]
consumerSchemas:
  - name: items
    sourceManifestSlug: shop
    publicSchema: {{ name: items, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: db, table: copied, createTable: true }}
",
            self.destination.url()
        )
    }

    fn pelton(&self, arguments: &[&str], owner: &str) -> Pelton {
        Pelton::new(arguments)
            .file("pelton.yaml", "slug: \"@acme/\"\nworkspaces: [shop/pelton.yaml, crm]\n")
            .file("shop/pelton.yaml", owner)
            .file("crm/rejot-manifest.json", self.taker())
    }

    async fn catch_up(&self, owner: &str) {
        let mut pelton = self.pelton(&["sync", "--until-caught-up"], owner);
        assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
        assert_same(&self.source, "SELECT * FROM items", &self.destination, "SELECT * FROM copied").await;
    }
}

#[tokio::test]
async fn a_consumer_of_another_manifest_of_the_workspace_is_fed_straight_from_its_source() {
    let workspace = Workspace::new().await;
    let owner = workspace.owner("");
    workspace.catch_up(&owner).await;
    workspace.source.execute("UPDATE items SET v = -v WHERE id < 10; DELETE FROM items WHERE id = 11").await;
    workspace.catch_up(&owner).await;
    let flow = "SELECT manifest_slug || ' ' || source_slug || ' ' || flow FROM rejot_data_store.flow";
    assert_eq!(workspace.destination.value(flow).await, "shop db crm/items");
    // Commands for one manifest find the one that runs, and see the flow.
    let mut status = workspace.pelton(&["status"], &owner);
    assert_eq!(status.run().await.code(), Some(0), "{}", status.stderr());
    assert!(status.stdout().contains("crm/items"), "{}", status.stdout());
}

#[tokio::test]
async fn a_consumer_of_another_manifest_reads_the_event_store_that_the_owner_has() {
    let workspace = Workspace::new().await;
    let events = database().await;
    let owner = workspace.owner("eventStores: [{ connectionSlug: events }]\n").replace(
        "dataStores:",
        &format!(
            "  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}\ndataStores:",
            events.url()
        ),
    );
    workspace.catch_up(&owner).await;
    assert_eq!(events.value("SELECT count(*) FROM rejot_events.events").await, "500");
    // One in memory is as none, and what goes straight is another flow, which begins with a copy.
    workspace.destination.execute("DROP TABLE copied").await;
    let memory = workspace
        .owner("eventStores: [{ connectionSlug: events }]\n")
        .replace("dataStores:", "  - { slug: events, config: { connectionType: in-memory } }\ndataStores:");
    let mut teardown = workspace.pelton(&["teardown", "--yes"], &owner);
    assert_eq!(teardown.run().await.code(), Some(0), "{}", teardown.stderr());
    workspace.catch_up(&memory).await;
}

#[tokio::test]
async fn a_consumer_that_the_owner_ran_without_says_so_and_is_mended() {
    let workspace = Workspace::new().await;
    let own = "consumerSchemas:
  - name: own
    sourceManifestSlug: shop
    publicSchema: { name: items, majorVersion: 1 }
    config: { consumerSchemaType: table, destinationDataStoreSlug: dw, table: own, createTable: true }
";
    let connection = format!(
        "  - {{ slug: dw, config: {{ connectionType: postgres, url: \"{}\" }} }}\ndataStores:\n  - {{ connectionSlug: dw }}\n",
        workspace.destination.url()
    );
    let owner = workspace.owner(own).replace("dataStores:\n", &connection);
    workspace.catch_up(&owner).await;
    workspace.source.execute("UPDATE items SET v = 0 WHERE id < 100").await;
    let mut alone = workspace.pelton(&["sync", "--until-caught-up", "shop/pelton.yaml"], &owner);
    assert_eq!(alone.run().await.code(), Some(0), "{}", alone.stderr());
    let mut both = workspace.pelton(&["sync", "--until-caught-up"], &owner);
    assert_eq!(both.run().await.code(), Some(1), "{}", both.stderr());
    assert!(both.stderr().contains("pelton repair"), "{}", both.stderr());
    let mut repair = workspace.pelton(&["repair", "pelton.yaml#shop"], &owner);
    assert_eq!(repair.run().await.code(), Some(0), "{}{}", repair.stdout(), repair.stderr());
    workspace.catch_up(&owner).await;
}

/// Runs `pelton check --json` and returns `type path:line` of everything that it tells.
async fn checked(mut pelton: Pelton, code: i32) -> Vec<String> {
    assert_eq!(pelton.run().await.code(), Some(code), "{}", pelton.stderr());
    let document: Value = serde_json::from_str(&pelton.stdout()).expect("JSON");
    assert_eq!(document["isValid"], code == 0);
    let diagnostics = document["diagnostics"].as_array().expect("a list");
    let one = |found: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        assert!(!text(&found["message"]).is_empty());
        assert!(found["hint"].is_null() || found["hint"]["message"].is_string(), "{found}");
        let (place, line) = (&found["location"], &found["location"]["line"]);
        let (slug, path) = (text(&place["manifestSlug"]), text(&place["manifestPath"]));
        format!("{} {} {slug} {path}:{line}", text(&found["severity"]), text(&found["type"]))
    };
    diagnostics.iter().map(one).collect()
}

#[tokio::test]
async fn check_tells_scripts_what_rejot_tells() {
    let check = |files: &[(&str, &str)]| {
        files.iter().fold(Pelton::new(["check", "--json"]), |pelton, (name, text)| pelton.file(name, text))
    };
    let broken = "slug: a
connections:
  - { slug: used, config: { connectionType: postgres, host: h, user: u } }
  - { slug: memory, config: { connectionType: in-memory } }
  - { slug: spare, config: { connectionType: postgres, host: h, user: u } }
dataStores:
  - { connectionSlug: used }
  - { connectionSlug: used }
  - { connectionSlug: nowhere }
  - { connectionSlug: memory, config: { slotName: s } }
publicSchemas:
  - { name: p, version: { major: 1, minor: 0 }, source: { dataStoreSlug: used }, config: { publicSchemaType: table, table: t } }
  - { name: p, version: { major: 1, minor: 1 }, source: { dataStoreSlug: gone }, config: { publicSchemaType: table, table: t } }
consumerSchemas:
  - { name: c, sourceManifestSlug: a, publicSchema: { name: q, majorVersion: 1 }, config: { consumerSchemaType: table, destinationDataStoreSlug: used, table: x } }
  - { name: d, sourceManifestSlug: a, publicSchema: { name: p, majorVersion: 2 }, config: { consumerSchemaType: table, destinationDataStoreSlug: used, table: y } }
";
    let found = checked(check(&[("pelton.yaml", broken)]), 1).await;
    let expected = [
        "warning UNUSED_CONNECTION a pelton.yaml:5",
        "error DUPLICATE_DATA_STORE a pelton.yaml:8",
        "error CONNECTION_NOT_FOUND a pelton.yaml:9",
        "error CONNECTION_TYPE_MISMATCH a pelton.yaml:10",
        "error DATA_STORE_MISSING_CONFIG a pelton.yaml:12",
        "error DUPLICATE_PUBLIC_SCHEMA a pelton.yaml:13",
        "error DATA_STORE_NOT_FOUND a pelton.yaml:13",
        "error PUBLIC_SCHEMA_NOT_FOUND a pelton.yaml:15",
        "error VERSION_MISMATCH a pelton.yaml:16",
    ];
    for line in expected {
        assert!(found.iter().any(|found| found == line), "{line} is not among {found:#?}");
    }
    let store = "connections:\n  - { slug: d, config: { connectionType: postgres, host: h, user: u } }\ndataStores:\n  - { connectionSlug: d, config: {} }\n";
    let public = "publicSchemas:\n  - { name: p, version: { major: 1, minor: 0 }, source: { dataStoreSlug: d }, config: { publicSchemaType: table, table: t } }\n";
    let consumer = |of: &str, table: &str| {
        format!(
            "consumerSchemas:\n  - {{ name: c, sourceManifestSlug: {of}, publicSchema: {{ name: p, majorVersion: 1 }}, config: {{ consumerSchemaType: table, destinationDataStoreSlug: d, table: {table} }} }}\n"
        )
    };
    let root = ("pelton.yaml", "slug: root\nworkspaces: [a.yaml, b.yaml]\n");
    let a = format!("slug: a\n{store}{public}");
    let b = format!("slug: b\n{store}{public}{}", consumer("c", "x"))
        .replace("config: {} }", "config: { slotName: other } }");
    let found = checked(check(&[root, ("a.yaml", &a), ("b.yaml", &b)]), 1).await;
    assert_eq!(found, ["error MANIFEST_NOT_FOUND b b.yaml:9", "warning DUPLICATE_PUBLIC_SCHEMA b b.yaml:7"]);
    let b = b.replace("sourceManifestSlug: c,", "sourceManifestSlug: a,");
    let found = checked(check(&[root, ("a.yaml", &a), ("b.yaml", &b)]), 0).await;
    assert_eq!(found, ["warning DUPLICATE_PUBLIC_SCHEMA b b.yaml:7"]);
    let found = checked(check(&[root, ("a.yaml", &a), ("b.yaml", &b.replace("slug: b\n", "slug: a\n"))]), 1).await;
    assert!(found.contains(&"error DUPLICATE_MANIFEST_SLUG a b.yaml:1".to_owned()), "{found:#?}");
    let found = checked(check(&[root, ("a.yaml", &a)]), 1).await;
    assert_eq!(found, ["error WORKSPACE_NOT_FOUND root pelton.yaml:2"]);
    let missing = Pelton::new(["check", "--json", "gone.yaml"]);
    assert_eq!(checked(missing, 1).await, ["error MANIFEST_UNREADABLE - gone.yaml:null"]);
}

#[tokio::test]
async fn a_data_store_in_memory_is_right_and_cannot_be_run() {
    let manifest = "slug: a
connections:
  - { slug: m, config: { connectionType: in-memory } }
  - { slug: d, config: { connectionType: postgres, host: h, user: u } }
dataStores: [{ connectionSlug: m, config: { connectionType: in-memory } }, { connectionSlug: d }]
publicSchemas:
  - { name: p, version: { major: 1, minor: 0 }, source: { dataStoreSlug: m }, config: { publicSchemaType: table, table: t } }
consumerSchemas:
  - { name: c, sourceManifestSlug: a, publicSchema: { name: p, majorVersion: 1 }, config: { consumerSchemaType: table, destinationDataStoreSlug: d, table: t } }
";
    let mut check = Pelton::new(["check"]).file("pelton.yaml", manifest);
    assert_eq!(check.run().await.code(), Some(0), "{}", check.stderr());
    assert!(check.stderr().contains("warning: consumer schema `c`: connection `m` is in memory"), "{}", check.stderr());
    let mut sync = Pelton::new(["sync"]).file("pelton.yaml", manifest);
    assert_eq!(sync.run().await.code(), Some(1));
    assert!(sync.stderr().contains("Hint: use connectionType `postgres`"), "{}", sync.stderr());
}

#[tokio::test]
async fn a_command_for_one_manifest_asks_which_of_a_workspace() {
    let one = |slug: &str, port: u16| {
        format!(
            "slug: {slug}\nconnections:\n  - {{ slug: d, config: {{ connectionType: postgres, host: localhost, port: {port}, user: u }} }}\ndataStores: [{{ connectionSlug: d, config: {{}} }}]\neventStores: [{{ connectionSlug: d }}]\npublicSchemas:\n  - {{ name: {slug}, version: {{ major: 1, minor: 0 }}, source: {{ dataStoreSlug: d }}, config: {{ publicSchemaType: table, table: t }} }}\n"
        )
    };
    let status = |manifest: &[&str]| {
        Pelton::new(["status"].iter().chain(manifest))
            .file("pelton.yaml", "slug: root\nworkspaces: [a.yaml, b.yaml]\n")
            .file("a.yaml", one("a", 1))
            .file("b.yaml", one("b", 2))
    };
    let mut pelton = status(&[]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("Hint: name one of them: pelton.yaml#a, pelton.yaml#b"), "{}", pelton.stderr());
    let mut pelton = status(&["pelton.yaml#b"]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(
        pelton.stdout().contains("localhost:2") || pelton.stdout().contains("port 2"),
        "{}{}",
        pelton.stdout(),
        pelton.stderr()
    );
    let mut pelton = status(&["pelton.yaml#c"]);
    assert_eq!(pelton.run().await.code(), Some(1));
    assert!(pelton.stderr().contains("has no manifest `c`\nHint: it has root, a, b"), "{}", pelton.stderr());
}
