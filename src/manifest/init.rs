//! The manifest that `pelton init` writes.

/// Returns a commented manifest that works once two URLs are set: it keeps one table equal, without any code.
///
/// `slug` must be one ([`is_slug`]); it goes into names in Postgres too, `-` and the like as `_`.
pub fn init_text(slug: &str) -> String {
    let name = super::build::default_name(slug);
    TEMPLATE.replace("SLUG", slug).replace("SLOT", &name)
}

/// Returns true for what may be the slug of a manifest: a-z, 0-9 and `-`, or `@scope/name` of the same.
pub fn is_slug(text: &str) -> bool {
    super::fields::is_manifest_slug(text)
}

const TEMPLATE: &str = r#"# What Pelton reads, transforms and writes. Every field: docs/manifest.md
#
#   export SOURCE_URL=postgresql://user:password@host:5432/database
#   export WAREHOUSE_URL=postgresql://user:password@host:5432/database
#   pelton check    # says what is wrong with this file and its components; touches no database
#   pelton sync     # runs it
#
# Any string may hold ${VARIABLE} or ${VARIABLE:-default}. Any password or url may be { file: /run/secrets/x }.

slug: "SLUG"
manifestVersion: 0

connections:
  # The source needs wal_level = logical, and a role with REPLICATION.
  - slug: source
    config: { connectionType: postgres, url: "${SOURCE_URL}" }

  - slug: warehouse
    config: { connectionType: postgres, url: "${WAREHOUSE_URL}" }
    # The same in single fields, TLS checked:
    # config:
    #   connectionType: postgres
    #   host: warehouse.example.com
    #   user: pelton
    #   password: { file: /run/secrets/warehouse }
    #   database: warehouse
    #   sslmode: verify-full

dataStores:
  # With a config it is read. Slot and publication are made when they are absent.
  - connectionSlug: source
    config:
      connectionType: postgres
      slotName: SLOT
      publicationName: SLOT
      tables: [public.orders]

  # Without one it is a destination alone.
  - connectionSlug: warehouse

publicSchemas:
  # A plain projection of one table. Name yours here and in `tables` above.
  - name: orders
    version: { major: 1, minor: 0 }
    source: { dataStoreSlug: source }
    config:
      publicSchemaType: table
      table: public.orders
      # All columns under their own names; or these alone, the second under a new name:
      # columns: [id, { label: title }]

  # A transform in WebAssembly:
  # - name: order-totals
  #   version: { major: 1, minor: 0 }
  #   source: { dataStoreSlug: source }
  #   config:
  #     publicSchemaType: wasm
  #     component: transforms/order-totals.wasm
  #     settings: { currency: EUR }
  #     limits: { memoryMib: 64, timeoutMs: 1000 }
  #     onError: stop

consumerSchemas:
  - name: warehouse-orders
    sourceManifestSlug: "SLUG"
    publicSchema: { name: orders, majorVersion: 1 }
    config:
      consumerSchemaType: table
      destinationDataStoreSlug: warehouse
      table: public.orders
      # Made from the public schema when it is absent, key included.
      createTable: true

  # - name: warehouse-order-totals
  #   sourceManifestSlug: "SLUG"
  #   publicSchema: { name: order-totals, majorVersion: 1 }
  #   config:
  #     consumerSchemaType: table
  #     destinationDataStoreSlug: warehouse
  #     table: public.order_totals
  #     createTable: true
"#;
