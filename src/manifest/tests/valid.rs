//! What is read of valid manifests.

use super::*;

#[test]
fn a_small_manifest_is_read_with_its_defaults() {
    let manifest = valid(SMALL);
    assert_eq!(manifest.slug, "shop");
    assert!(manifest.warnings.is_empty());
    assert_eq!(manifest.postgres("source").unwrap().to_string(), "me@db:5432/me");
    assert_eq!(manifest.postgres("warehouse").unwrap().password.as_ref().unwrap().reveal(), "hunter2");
    let expected = SourceConfig {
        slot_name: "pelton_shop".to_owned(),
        publication_name: "pelton_shop".to_owned(),
        tables: Tables::Listed(vec![TableName::new("public", "orders")]),
        detached_wal_max_bytes: None,
    };
    assert_eq!(manifest.sources().map(|(_, source)| source.clone()).collect::<Vec<_>>(), [expected]);
    let orders = manifest.public_schema("orders", 1).unwrap();
    assert_eq!((orders.version, orders.at), (Version { major: 1, minor: 0 }, Place { line: 12, column: 5 }));
    assert!(manifest.public_schema("orders", 2).is_none());
    let ConsumerConfig::Table(table) = &manifest.consumer_schemas[0].config else { panic!() };
    assert_eq!((table.table.to_string().as_str(), table.create_table, table.backfill), ("public.orders", false, true));
}

#[test]
fn json_is_read_as_yaml_is() {
    let json = r#"{
	"$schema": "https://example.com/schema.json",
	"slug":	"shop",
	"connections": [{ "slug": "source", "config": { "connectionType": "postgres", "url": "${SOURCE_URL}" } }],
	"dataStores": [{ "connectionSlug": "source", "config": { "connectionType": "postgres", "allTables": true, "detachedWalMax": "10GB" } }],
	"publicSchemas": [{
		"name": "smile \ud83d\ude00", "version": { "major": 1, "minor": 2 }, "source": { "dataStoreSlug": "source" },
		"outputSchema": { "type": "object", "properties": { "id": { "minimum": -1.5, "pattern": "${not a variable}" } } },
		"config": { "publicSchemaType": "table", "table": "\"My Schema\".\"T\"", "columns": ["id", { "label": "title" }], "key": ["label"] }
	}]
}"#;
    let manifest = valid(json);
    let source = manifest.data_stores[0].source.as_ref().unwrap();
    assert_eq!((&source.tables, source.detached_wal_max_bytes), (&Tables::All, Some(10 << 30)));
    let schema = &manifest.public_schemas[0];
    assert_eq!(schema.name, "smile 😀");
    let output = &schema.output_schema.as_ref().unwrap().schema;
    assert_eq!(output["properties"]["id"].to_string(), r#"{"minimum":-1.5,"pattern":"${not a variable}"}"#);
    let PublicSchemaConfig::Table(table) = &schema.config else { panic!() };
    assert_eq!(table.table, TableName::new("My Schema", "T"));
    let columns: Vec<_> =
        table.columns.as_ref().unwrap().iter().map(|c| (c.name.as_str(), c.source.as_str())).collect();
    assert_eq!(columns, [("id", "id"), ("label", "title")]);
    assert_eq!(table.key.as_deref(), Some(&["label".to_owned()][..]));
}

#[test]
fn a_wasm_schema_is_read_with_its_settings() {
    let config = "config: { publicSchemaType: wasm, component: t/o.wasm, settings: { b: EUR, a: 1.50, c: true, d: \"${WORD}\" }, limits: { memoryMib: 128 }, parallel: 4 }";
    let manifest = valid(&small("config: { publicSchemaType: table, table: public.orders }", config));
    let PublicSchemaConfig::Wasm(wasm) = &manifest.public_schemas[0].config else { panic!() };
    assert_eq!(wasm.component.to_str(), Some("/m/t/o.wasm"));
    let settings: Vec<_> = wasm.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(settings, [("b", "EUR"), ("a", "1.50"), ("c", "true"), ("d", "hunter2")]);
    assert_eq!(wasm.limits, WasmLimits { memory_mib: Some(128), timeout_ms: None });
    assert_eq!((wasm.on_error, wasm.parallel), (OnError::Stop, 4));
}

#[test]
fn a_manifest_of_rejot_is_valid_as_it_stands() {
    let manifest = valid(
        r#"{
  "$schema": "https://rejot.dev/schema/manifest.json",
  "slug": "@rejot/shop",
  "manifestVersion": 0,
  "workspaces": ["./a/rejot-manifest.json"],
  "connections": [
    { "slug": "db", "config": { "connectionType": "postgres", "host": "localhost", "port": 5432, "user": "postgres", "password": "postgres", "database": "shop" } },
    { "slug": "dest", "config": { "connectionType": "postgres", "host": "localhost", "port": 5433, "user": "postgres", "password": "", "database": "shop" } },
    { "slug": "events", "config": { "connectionType": "in-memory" } }
  ],
  "dataStores": [
    { "connectionSlug": "db", "config": { "connectionType": "postgres", "slotName": "rejot_slot", "publicationName": "rejot_publication" } },
    { "connectionSlug": "dest" }
  ],
  "eventStores": [{ "connectionSlug": "events" }],
  "publicSchemas": [{
    "name": "public-account", "source": { "dataStoreSlug": "db" },
    "outputSchema": { "type": "object", "properties": { "id": { "type": "number" } } },
    "version": { "major": 1, "minor": 0 }, "definitionFile": "schema.ts",
    "config": { "publicSchemaType": "postgres", "transformations": [
      { "operation": "insert", "table": "account", "sql": "SELECT id FROM account WHERE id = :id" },
      { "operation": "delete", "table": "account", "sql": "SELECT $1 AS id" }
    ] }
  }],
  "consumerSchemas": [{
    "name": "accounts", "sourceManifestSlug": "@rejot/shop", "publicSchema": { "name": "public-account", "majorVersion": 1 },
    "definitionFile": "schema.ts",
    "config": { "consumerSchemaType": "postgres", "destinationDataStoreSlug": "dest", "sql": "INSERT INTO a VALUES (:id)", "deleteSql": "DELETE FROM a WHERE id = :id" }
  }]
}"#,
    );
    assert!(manifest.warnings.is_empty(), "{:?}", manifest.warnings);
    assert_eq!(manifest.workspaces[0].path.to_str(), Some("/m/a/rejot-manifest.json"));
    assert!(matches!(manifest.connection("events").unwrap().config, ConnectionConfig::InMemory));
    assert!(manifest.postgres("events").is_none() && manifest.postgres("dest").unwrap().password.is_none());
    assert_eq!(manifest.data_stores[0].source.as_ref().unwrap().tables, Tables::Needed);
    let PublicSchemaConfig::Postgres(transformations) = &manifest.public_schemas[0].config else { panic!() };
    assert_eq!(transformations[1].operation, SqlOperation::Delete);
    let ConsumerConfig::Postgres(sql) = &manifest.consumer_schemas[0].config else { panic!() };
    assert_eq!(sql.delete_sql.as_deref(), Some("DELETE FROM a WHERE id = :id"));
    assert_eq!(manifest.consumer_schemas[0].config.destination(), "dest");
}

#[test]
fn connections_are_put_together_from_url_and_fields() {
    let connection = |config: &str| {
        let manifest = valid(&format!("slug: s\nconnections: [{{ slug: a, config: {config} }}]"));
        manifest.postgres("a").unwrap().clone()
    };
    let shown = |config: &str| connection(config).to_string();
    assert_eq!(shown("{ connectionType: postgres, url: { file: url } }"), "me@source:5432/shop");
    assert_eq!(shown("{ connectionType: postgres, host: h, user: u, port: \"${PORT}\" }"), "u@h:6000/u");
    let both = connection(
        "{ connectionType: postgres, url: 'postgres://u@h?sslrootcert=ca.pem', password: { file: ./pw }, sslmode: verify-ca, sslcert: c, sslkey: k }",
    );
    assert_eq!(both.password.unwrap().reveal(), "hunter2");
    assert_eq!(both.sslmode, SslMode::VerifyCa);
    let paths = [both.sslrootcert, both.sslcert, both.sslkey].map(|path| path.unwrap().display().to_string());
    assert_eq!(paths, ["/m/ca.pem", "/m/c", "/m/k"]);
}

#[test]
fn fields_with_nothing_behind_them_are_left_out() {
    let manifest = valid("slug: s\nconnections:\npublicSchemas:\n  # - name: later\nconsumerSchemas: ~\n");
    assert!(manifest.connections.is_empty() && manifest.public_schemas.is_empty());
}

#[test]
fn public_schemas_of_one_component_and_setting_are_one_transform() {
    let schema = |name: &str, settings: &str| {
        format!(
            "  - name: {name}\n    version: {{ major: 1, minor: 0 }}\n    source: {{ dataStoreSlug: source }}\n    config: {{ publicSchemaType: wasm, component: t.wasm, settings: {settings} }}\n"
        )
    };
    let schemas = schema("a", "{ x: 1, y: 2 }") + &schema("b", "{ x: 1 }") + &schema("c", "{ y: 2, x: 1 }");
    let manifest = valid(&small("consumerSchemas:", &format!("{schemas}consumerSchemas:")));
    let transforms: Vec<Vec<&str>> =
        manifest.transforms().iter().map(|t| t.public_schemas.iter().map(|s| s.name.as_str()).collect()).collect();
    assert_eq!(transforms, [vec!["a", "c"], vec!["b"]]);
}

#[test]
fn what_init_writes_is_valid() {
    for slug in ["shop", "@team/my-shop"] {
        let manifest = valid(&init_text(slug));
        assert_eq!(manifest.slug, slug);
        assert!(manifest.warnings.is_empty(), "{:?}", manifest.warnings);
        assert_eq!(manifest.consumer_schemas.len(), 1);
    }
    // What is commented out is valid too once it is taken in.
    let text = init_text("shop");
    let taken_in: Vec<String> = text
        .lines()
        .map(|line| match line.find("  # - name: ").or_else(|| line.find("  #   ")) {
            Some(at) if !line.contains("connectionType") => format!("{}  {}", &line[..at], &line[at + 4..]),
            _ => line.to_owned(),
        })
        .collect();
    let taken_in = taken_in
        .join("\n")
        .lines()
        .filter(|l| {
            !l.starts_with("      host")
                && !l.starts_with("      user")
                && !l.starts_with("      password")
                && !l.starts_with("      database")
                && !l.starts_with("      sslmode")
        })
        .collect::<Vec<_>>()
        .join("\n");
    let manifest = valid(&taken_in);
    assert_eq!((manifest.public_schemas.len(), manifest.consumer_schemas.len()), (2, 2), "{taken_in}");
}
