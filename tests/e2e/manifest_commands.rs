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

/// The destination is in the workspace's own manifest alone; the consumer's has no connection at all.
#[tokio::test]
async fn a_destination_that_only_another_manifest_has_is_written() {
    let workspace = Workspace::new().await;
    let events = database().await;
    let root = format!(
        "slug: infra
workspaces: [shop/pelton.yaml, crm]
connections:
  - {{ slug: warehouse, config: {{ connectionType: postgres, url: \"{}\" }} }}
dataStores: [{{ connectionSlug: warehouse }}]
",
        workspace.destination.url()
    );
    let taker = "slug: crm
consumerSchemas:
  - name: items
    sourceManifestSlug: shop
    publicSchema: { name: items, majorVersion: 1 }
    config: { consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: copied, createTable: true }
";
    let store = format!("  - {{ slug: events, config: {{ connectionType: postgres, url: \"{}\" }} }}\n", events.url());
    let owner = workspace.owner("eventStores: [{ connectionSlug: events }]\n");
    let publishes = owner.replace("dataStores:", &format!("{store}dataStores:"));
    let reads = format!("{taker}connections:\n{store}eventStores: [{{ connectionSlug: events }}]\n");
    let run = async |arguments: &[&str], root: &str, owner: &str, taker: &str, code: i32| {
        let mut pelton = Pelton::new(arguments)
            .file("pelton.yaml", root)
            .file("shop/pelton.yaml", owner)
            .file("crm/pelton.yaml", taker);
        assert_eq!(pelton.run().await.code(), Some(code), "{}{}", pelton.stdout(), pelton.stderr());
        format!("{}{}", pelton.stdout(), pelton.stderr())
    };
    let catch_up = &["sync", "--until-caught-up"];
    // Straight from the source, by way of the owner's event store, and by one of the consumer's own.
    for (owner, taker) in [(&workspace.owner(""), taker), (&publishes, taker), (&publishes, &reads[..])] {
        run(catch_up, &root, owner, taker, 0).await;
        assert_same(&workspace.source, "SELECT * FROM items", &workspace.destination, "SELECT * FROM copied").await;
        run(&["teardown", "--yes", "pelton.yaml#shop"], &root, owner, taker, 0).await;
        workspace.destination.execute("DROP TABLE copied; DROP SCHEMA IF EXISTS rejot_data_store CASCADE").await;
        events
            .execute("DROP SCHEMA IF EXISTS rejot_events CASCADE; DROP SCHEMA IF EXISTS rejot_data_store CASCADE")
            .await;
    }
    let said = run(&["check"], &root.replace("warehouse", "warehouses"), &publishes, taker, 1).await;
    assert!(said.contains("there is no data store `warehouse`"), "{said}");
    assert!(said.contains("crm/pelton.yaml:6:"), "{said}");
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

/// Runs a command on a manifest, and returns what came of it: exit code, the file, and what was said.
async fn edited(file: &str, text: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut pelton = Pelton::new(["manifest"].iter().chain(arguments)).file(file, text);
    let code = pelton.run().await.code();
    let text = std::fs::read_to_string(pelton.folder().join(file)).expect("it is there");
    (code, text, format!("{}{}", pelton.stdout(), pelton.stderr()))
}

const YAML: &str = "# The shop.
slug: shop # never changes
connections:
  # Ours.
  - slug: db
    config: { connectionType: postgres, url: \"${SHOP_DB}\" } # set by the platform

dataStores: [] # none yet
";

#[tokio::test]
async fn commands_edit_yaml_and_keep_what_else_is_there() {
    let flags =
        ["connection", "add", "--slug", "dw", "--host", "h", "--user", "me", "--password", "${PW}", "--port", "5433"];
    let (code, text, said) = edited("pelton.yaml", YAML, &flags).await;
    assert_eq!(code, Some(0), "{said}");
    let added = "
  - slug: dw
    config:
      connectionType: postgres
      host: h
      port: 5433
      user: me
      password: \"${PW}\"";
    assert_eq!(text, YAML.replace(" # set by the platform", &format!(" # set by the platform{added}")));
    assert_eq!(said, "Added connection `dw` to pelton.yaml.\n");
    let (code, text, said) =
        edited("pelton.yaml", YAML, &["connection", "update", "db", "--connection-string", "${OTHER}"]).await;
    assert_eq!((code, text), (Some(0), YAML.replace("${SHOP_DB}", "${OTHER}")), "{said}");
    let (code, text, said) =
        edited("pelton.yaml", YAML, &["connection", "update", "db", "--host", "h", "--user", "u"]).await;
    let fields = "{ connectionType: postgres, host: h, user: u }";
    assert_eq!(
        (code, text),
        (Some(0), YAML.replace("{ connectionType: postgres, url: \"${SHOP_DB}\" }", fields)),
        "{said}"
    );
    let (code, text, said) =
        edited("pelton.yaml", YAML, &["datastore", "add", "--connection", "db", "--slot", "s", "--publication", "p"])
            .await;
    let store = "[{ connectionSlug: db, config: { connectionType: postgres, slotName: s, publicationName: p } }]";
    assert_eq!((code, text), (Some(0), YAML.replace("[]", store)), "{said}");
    let (code, text, said) = edited("pelton.yaml", YAML, &["eventstore", "add", "--connection", "db"]).await;
    assert_eq!((code, text), (Some(0), format!("{YAML}eventStores:\n  - connectionSlug: db\n")), "{said}");
    let (code, text, said) = edited("pelton.yaml", YAML, &["connection", "remove", "db"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(
        text,
        "# The shop.\nslug: shop # never changes\nconnections: []\n  # Ours.\n\ndataStores: [] # none yet\n"
    );
}

#[tokio::test]
async fn commands_edit_json_as_it_was_written() {
    let json = "{\n    \"slug\": \"shop\",\n    \"connections\": [],\n    \"dataStores\": []\n}\n";
    let add = ["connection", "add", "--slug", "db", "--type", "in-memory"];
    let (code, text, said) = edited("rejot-manifest.json", json, &add).await;
    assert_eq!(code, Some(0), "{said}");
    let item = "[
        {
            \"slug\": \"db\",
            \"config\": {
                \"connectionType\": \"in-memory\"
            }
        }
    ]";
    assert_eq!(text, json.replacen("[]", item, 1));
}

#[tokio::test]
async fn a_change_that_would_break_the_manifest_is_not_written() {
    let used = YAML.replace("[] # none yet", "[{ connectionSlug: db }]");
    let refused = |arguments: &'static [&'static str], part: &'static str| {
        let used = used.clone();
        async move {
            let (code, text, said) = edited("pelton.yaml", &used, arguments).await;
            assert_eq!((code, &text), (Some(1), &used), "{said}");
            assert!(said.contains(part) && said.contains("Hint: "), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    };
    refused(&["connection", "remove", "db"], "there is no connection `db`").await;
    refused(&["connection", "update", "db", "--connection-string", "mysql://u:hunter2@h/d"], "would break").await;
    refused(&["connection", "update", "db"], "nothing is to be changed").await;
    refused(&["connection", "update", "nope", "--host", "h"], "Hint: it has db").await;
    refused(&["connection", "add", "--slug", "db", "--type", "in-memory"], "there is a connection `db` already").await;
    refused(&["connection", "add", "--slug", "x"], "it is not said how the database is reached").await;
    refused(&["datastore", "add", "--connection", "db"], "`db` is a data store already").await;
    refused(&["datastore", "add", "--connection", "gone"], "there is no connection `gone`").await;
    refused(&["datastore", "remove", "gone"], "Hint: it has db").await;
    refused(&["eventstore", "remove", "db"], "Hint: it has none").await;
    let (code, text, said) = edited("pelton.yaml", "slug: [", &["connection", "list"]).await;
    assert_eq!((code, text.as_str()), (Some(1), "slug: ["));
    assert!(said.contains("pelton.yaml:1:"), "{said}");
}

#[tokio::test]
async fn a_password_on_the_command_line_is_warned_of_and_shown_to_nobody() {
    let url = "postgresql://me:hunter2@h/d";
    let (code, text, said) =
        edited("pelton.yaml", YAML, &["connection", "add", "--slug", "x", "--connection-string", url]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(text.contains(url));
    let hint = "Hint: pelton manifest connection update x --connection-string '${DB_URL}'";
    assert!(said.contains("Warning: the password stands in pelton.yaml") && said.contains(hint), "{said}");
    for arguments in [&["connection", "list"][..], &["connection", "list", "--json"], &["info"], &["info", "--json"]] {
        let (_, same, said) = edited("pelton.yaml", &text, arguments).await;
        assert_eq!(same, text);
        assert!(said.contains("x") && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn init_writes_what_the_other_commands_go_on_with() {
    for (what, file) in
        [("manifest", "pelton.yaml"), ("manifest", "a.json"), ("workspace", "w.yaml"), ("workspace", "w.json")]
    {
        let flag = if what == "manifest" { "--manifest" } else { "--filename" };
        let mut init = Pelton::new([what, "init", "--slug", "@team/shop", flag, file]);
        assert_eq!(init.run().await.code(), Some(0), "{}", init.stderr());
        let text = std::fs::read_to_string(init.folder().join(file)).expect("it is there");
        assert_eq!(init.run().await.code(), Some(1));
        assert!(
            init.stderr().contains("File exists") && init.stderr().contains("it is left as it is"),
            "{}",
            init.stderr()
        );
        let manifest = ["--manifest", file];
        let add = ["connection", "add", "--slug", "db", "--connection-string", "postgres://u@h/d"];
        let (code, text, said) = edited(file, &text, &[&manifest[..], &add].concat()).await;
        assert_eq!(code, Some(0), "{said}");
        let (code, text, said) =
            edited(file, &text, &[&manifest[..], &["datastore", "add", "--connection", "db", "--source"]].concat())
                .await;
        assert_eq!(code, Some(0), "{said}");
        let (code, _, said) = edited(file, &text, &[&manifest[..], &["datastore", "list"]].concat()).await;
        assert!(code == Some(0) && said.contains("db          source"), "{said}");
    }
    let mut bad = Pelton::new(["manifest", "init", "--slug", "My Shop"]);
    assert_eq!(bad.run().await.code(), Some(1));
    assert!(bad.stderr().contains("`My Shop` is no slug\nHint: use a-z"), "{}", bad.stderr());
}

#[tokio::test]
async fn info_shows_a_workspace_from_within() {
    let mut info = Pelton::new(["workspace", "info"])
        .file("pelton.yaml", "slug: root\nworkspaces: [a.yaml]\n")
        .file("a.yaml", YAML.replace("${SHOP_DB}", "postgres://u@h/d"));
    assert_eq!(info.run().await.code(), Some(0), "{}", info.stderr());
    let expected = "pelton.yaml: root\n  workspace        a.yaml\n\na.yaml: shop\n  connection       db (postgres)\n";
    assert_eq!(info.stdout(), expected);
    assert!(info.stderr().contains("a.yaml:5:11: warning: no data store and no event store uses connection `db`"));
    let mut none = Pelton::new(["workspace", "info", "--filename", "nowhere.yaml"]);
    assert_eq!(none.run().await.code(), Some(1));
    assert!(none.stderr().contains("Hint: write one with `pelton workspace init"), "{}", none.stderr());
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_edited_keeps_its_mode_and_its_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mut pelton = Pelton::new(["manifest", "eventstore", "add", "--connection", "db"]).file("real.yaml", YAML);
    let folder = pelton.folder().to_owned();
    std::fs::set_permissions(folder.join("real.yaml"), std::fs::Permissions::from_mode(0o640)).expect("it may");
    symlink("real.yaml", folder.join("pelton.yaml")).expect("a link");
    assert_eq!(pelton.run().await.code(), Some(0), "{}", pelton.stderr());
    assert!(std::fs::symlink_metadata(folder.join("pelton.yaml")).expect("it is there").is_symlink());
    let real = std::fs::metadata(folder.join("real.yaml")).expect("it is there");
    assert_eq!(real.permissions().mode() & 0o777, 0o640);
    assert!(std::fs::read_to_string(folder.join("real.yaml")).expect("text").ends_with("- connectionSlug: db\n"));
}
