//! What the parts of a manifest can get wrong between them.

use super::*;

#[test]
fn references_to_nothing_say_what_there_is() {
    changed(
        "connectionSlug: warehouse\n",
        "connectionSlug: warehous\n",
        "
        5 «warehouse» UNUSED_CONNECTION no data store and no event store uses connection `warehouse`
        → add `- connectionSlug: warehouse` to `dataStores`, or remove the connection
        10 «warehous» CONNECTION_NOT_FOUND there is no connection `warehous`
        → did you mean `warehouse`?
        20 «warehouse» DATA_STORE_NOT_FOUND there is no data store `warehouse`
        → the connection is there; add `- connectionSlug: warehouse` to `dataStores`",
    );
    changed(
        "dataStoreSlug: source",
        "dataStoreSlug: elsewhere",
        "
        14 «elsewhere» DATA_STORE_NOT_FOUND there is no data store `elsewhere`
        → add it to `dataStores`; known are source, warehouse",
    );
    changed(
        "dataStoreSlug: source",
        "dataStoreSlug: warehouse",
        "
        14 «warehouse» DATA_STORE_MISSING_CONFIG data store `warehouse` is not read: it has no `config`
        → give it `config: { connectionType: postgres }`; slot and publication are named for it then
        20 «orders» DESTINATION_IS_SOURCE table `public.orders` would be written with what is read from it
        → write to another table, or to another database",
    );
    changed(
        "publicSchema: { name: orders,",
        "publicSchema: { name: order,",
        "
        19 «order» PUBLIC_SCHEMA_NOT_FOUND there is no public schema `order` in this manifest
        → did you mean `orders`?",
    );
    changed(
        "majorVersion: 1",
        "majorVersion: 2",
        "
        19 «2» VERSION_MISMATCH public schema `orders` has no major version 2
        → it has 1",
    );
    changed(
        "publicSchemas:",
        "eventStores: [{ connectionSlug: events }]\npublicSchemas:",
        "
        11 «events» CONNECTION_NOT_FOUND there is no connection `events`
        → add it to `connections`; known are source, warehouse",
    );
}

#[test]
fn a_public_schema_of_another_manifest_is_not_looked_for_here() {
    changed(
        "sourceManifestSlug: shop\n    publicSchema: { name: orders,",
        "sourceManifestSlug: other\n    publicSchema: { name: x,",
        "",
    );
}

#[test]
fn a_name_that_could_not_be_read_is_no_ground_for_not_found() {
    changed(
        "- slug: warehouse",
        "- slug: 5",
        "
        5 «5» WRONG_TYPE `connections[1].slug`: expected text, found a number `5`
        → put it in quotes",
    );
}

#[test]
fn what_is_there_twice_is_named_with_its_line() {
    changed(
        "- slug: warehouse",
        "- slug: source",
        "
        5 «source» DUPLICATE_CONNECTION connection `source` again; line 3 has it already
        → give it a slug of its own, or remove one
        10 «warehouse» CONNECTION_NOT_FOUND there is no connection `warehouse`
        → add it to `connections`; known are source",
    );
    changed(
        "- connectionSlug: warehouse\n",
        "- connectionSlug: warehouse\n  - connectionSlug: warehouse\n",
        "
        11 «warehouse» DUPLICATE_DATA_STORE data store `warehouse` again; line 10 has it already
        → a connection is one data store; put both into one",
    );
    let schema = &SMALL[SMALL.find("  - name: orders").unwrap()..SMALL.find("consumerSchemas").unwrap()];
    changed(
        "consumerSchemas:",
        &format!("{}consumerSchemas:", schema.replace("minor: 0", "minor: 1")),
        "
        16 «orders» DUPLICATE_PUBLIC_SCHEMA public schema `orders` 1 again; line 12 has it already
        → consumers ask for name and major version alone; raise one, or rename it",
    );
    let flow = &SMALL[SMALL.find("  - name: flow").unwrap()..];
    check(
        &format!("{SMALL}{flow}"),
        "
        21 «flow» DUPLICATE_CONSUMER_SCHEMA consumer schema `flow` again; line 17 has it already
        → give it a name of its own
        24 «orders» DUPLICATE_DESTINATION table `public.orders` is written on line 20 already
        → give each consumer schema a table of its own",
    );
    changed(
        "[public.orders]",
        "[public.orders, orders]",
        "
        9 «orders» BAD_VALUE table `public.orders` again; line 9 has it already
        → remove one",
    );
}

#[test]
fn a_flow_into_its_own_source_is_refused() {
    changed(
        "{ consumerSchemaType: table, destinationDataStoreSlug: warehouse,",
        "{ consumerSchemaType: table, destinationDataStoreSlug: source,",
        "
        20 «orders» DESTINATION_IS_SOURCE table `public.orders` would be written with what is read from it
        → write to another table, or to another database",
    );
    // The same database under another slug.
    changed(
        "url: \"${WAREHOUSE_URL}\"",
        "host: db, user: you, database: me",
        "
        20 «orders» DESTINATION_IS_SOURCE table `public.orders` would be written with what is read from it
        → write to another table, or to another database",
    );
}

#[test]
fn a_table_that_is_not_replicated_can_not_be_published() {
    changed(
        "tables: [public.orders]",
        "tables: [shop.orders]",
        "
        15 «public.orders» TABLE_NOT_REPLICATED table `public.orders` is not among the `tables` of its data store
        → add it to `dataStores[0].config.tables`: [public.orders]",
    );
    changed("tables: [public.orders]", "allTables: true", "");
    changed("tables: [public.orders]", "connectionType: postgres", "");
    changed(
        "tables: [public.orders]",
        "allTables: true, tables: [public.orders]",
        "
        9 «true» CONFLICT `allTables` and `tables` exclude each other
        → remove one of them",
    );
    changed(
        "publicSchemaType: table, table: public.orders",
        "publicSchemaType: postgres, transformations: [{ operation: insert, table: items, sql: x }]",
        "
        15 «items» TABLE_NOT_REPLICATED table `items` is not among the `tables` of its data store
        → add it to `dataStores[0].config.tables`: [items]",
    );
}

#[test]
fn one_slot_is_read_once() {
    let two = "slotName: s } }\n  - { connectionSlug: warehouse, config: { slotName: s";
    let text = small(
        "tables: [public.orders] }\n  - connectionSlug: warehouse",
        "slotName: s }\n  - connectionSlug: warehouse\n    config: { slotName: s }",
    );
    assert!(!two.is_empty() && problems(&text).is_empty(), "two servers: {}", problems(&text));
    check(
        &text.replace("url: \"${WAREHOUSE_URL}\"", "host: db, user: you"),
        "
        11 «s» DUPLICATE_SLOT slot `s` of the same server is read on line 9 already
        → give each data store a `slotName` of its own",
    );
}

#[test]
fn connections_of_another_kind_do_not_match() {
    changed(
        "{ connectionType: postgres, host: db, user: me }",
        "{ connectionType: in-memory }",
        "
        9 «{» CONNECTION_TYPE_MISMATCH the connection is `in-memory`, this data store is `postgres`
        → make both the same, or remove this `config`",
    );
}

#[test]
fn public_schemas_of_one_transform_agree_about_how_it_runs() {
    let schema = |name: &str, more: &str| {
        format!(
            "  - {{ name: {name}, version: {{ major: 1, minor: 0 }}, source: {{ dataStoreSlug: source }}, config: {{ publicSchemaType: wasm, component: t.wasm{more} }} }}\n"
        )
    };
    let text =
        |a: &str, b: &str| small("consumerSchemas:", &format!("{}{}consumerSchemas:", schema("a", a), schema("b", b)));
    check(
        &text("", ", parallel: 2"),
        "
        17 «2» TRANSFORM_CONFLICT `parallel` is not what the same transform has on line 16
        → public schemas with the same source, component and settings run as one; write the same in all of them",
    );
    check(&text(", parallel: 2, limits: { timeoutMs: 5 }", ", limits: { timeoutMs: 5 }, parallel: 2"), "");
    check(&text("", ", settings: { a: 1 }, parallel: 2"), "");
}

#[test]
fn urls_and_fields_do_not_repeat_each_other() {
    changed(
        "url: \"${WAREHOUSE_URL}\"",
        "url: \"${WAREHOUSE_URL}\", host: h, password: p",
        "
        6 «h» CONFLICT `connections[1].config.host` says again what the `url` beside it says
        → leave `host` out here or in the `url`
        6 «p» CONFLICT `connections[1].config.password` says again what the `url` beside it says
        → leave `password` out here or in the `url`",
    );
    changed(
        "url: \"${WAREHOUSE_URL}\"",
        "url: 'postgres://host/db'",
        "
        6 «{» MISSING_FIELD `connections[1].config`: the connection has no user
        → name the user: `postgresql://user@host/database`; the environment is not asked for one",
    );
    changed(
        "host: db, user: me",
        "host: db, user: me, sslcert: c.pem",
        "
        4 «{» MISSING_FIELD `connections[0].config`: the connection has `sslcert` without `sslkey`
        → a client certificate needs both `sslcert` and `sslkey`",
    );
}
