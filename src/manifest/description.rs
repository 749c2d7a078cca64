//! Every field of a manifest: its name, what it holds, what it is for. See [`super::fields`] for who reads this.

use super::fields::{
    Choice, Field, Kind, Object, Variant, any_text, manifest_slug, name, service_url, slot_name, some_text,
};

/// `rejot_events` keeps the major version in a smallint.
const VERSION_MAX: u64 = i16::MAX as u64;

pub(crate) static MANIFEST: Object = Object {
    name: "manifest",
    doc: "What Pelton reads, transforms and writes. YAML or JSON; a ReJot manifest is valid as it stands. Any string may hold `${VARIABLE}`, `${VARIABLE:-default}`, and `$${` for a literal `${`; any password or url may be `{ file: /run/secrets/x }`. Paths are relative to the manifest's folder.",
    fields: &[
        Field::new("$schema", any_text(), "The JSON Schema that editors complete and check this file with."),
        Field::new("slug", manifest_slug(), "The name of this manifest. Checkpoints and events are kept under it, so it stays as it is once the manifest runs.").required(),
        Field::new("manifestVersion", Kind::Integer { min: 0, max: 0 }, "The version of this format.").or("0"),
        Field::new("workspaces", Kind::List(&Kind::Path), "Manifests that are one with this one: files, or folders that have one. They are checked and run together, and consumers of one may take public schemas of another.").or("none"),
        Field::new("connections", Kind::List(&Kind::Object(&CONNECTION)), "The databases, each with how it is reached.").or("none"),
        Field::new("dataStores", Kind::List(&Kind::Object(&DATA_STORE)), "The databases that are read from or written to.").or("none"),
        Field::new("eventStores", Kind::List(&Kind::Object(&EVENT_STORE)), "The databases that hold the log of public-schema events. Without one a flow goes straight to its destination.").or("none"),
        Field::new("syncServices", Kind::List(&Kind::Object(&SYNC_SERVICE)), "Where public schemas of other manifests are read over HTTP.").or("none; see docs/http.md for what the environment may say"),
        Field::new("publicSchemas", Kind::List(&Kind::Object(&PUBLIC_SCHEMA)), "What is published, and how it is made.").or("none"),
        Field::new("consumerSchemas", Kind::List(&Kind::Object(&CONSUMER_SCHEMA)), "What is written, and where.").or("none"),
    ],
    any_of: &[],
    example: "slug: shop\nmanifestVersion: 0\nconnections: […]\ndataStores: […]\npublicSchemas: […]\nconsumerSchemas: […]",
};

static CONNECTION: Object = Object {
    name: "connection",
    doc: "A database.",
    fields: &[
        Field::new("slug", name(), "The name by which data stores and event stores refer to this connection.")
            .required(),
        Field::new("config", Kind::Variant(&CONNECTION_CONFIG), "How the database is reached.").required(),
    ],
    any_of: &[],
    example: "slug: source\nconfig: { connectionType: postgres, url: \"${SOURCE_URL}\" }",
};

static CONNECTION_CONFIG: Variant = Variant {
    tag: "connectionType",
    doc: "The kind of database.",
    cases: &[("postgres", &POSTGRES_CONNECTION), ("in-memory", &IN_MEMORY_CONNECTION)],
    default: None,
};

static POSTGRES_CONNECTION: Object = Object {
    name: "postgres connection",
    doc: "A Postgres, by `url`, or by `host` and `user` and what else is needed. Fields beside a `url` complete it: a password in a file, a certificate.",
    fields: &[
        Field::new(
            "url",
            Kind::Url,
            "The connection URL, `postgresql://user:password@host:5432/database?sslmode=require`. Special characters are percent-encoded; a unix socket's folder goes into `?host=/var/run/postgresql`; parameters are `host port user password dbname sslmode sslrootcert sslcert sslkey`.",
        ),
        Field::new(
            "host",
            some_text(),
            "A host name, an address, or the folder of a unix socket when it begins with `/`.",
        ),
        Field::new("port", Kind::Integer { min: 1, max: 65535 }, "The port.").or("5432"),
        Field::new("user", some_text(), "The role to log in as. A source's needs `REPLICATION`."),
        Field::new("password", Kind::Secret, "The password.").or("none"),
        Field::new("database", some_text(), "The database.").or("the user's name"),
        Field::new("sslmode", Kind::Choice(SSL_MODES), "Whether TLS is used, and what is checked.").or("\"prefer\""),
        Field::new("sslrootcert", Kind::Path, "The certificates (PEM) that the server's is checked against. `system` stands for the web's own roots, and takes no `sslmode` but `verify-full`.")
            .or("the web's own roots"),
        Field::new("sslcert", Kind::Path, "The client's certificate (PEM)."),
        Field::new("sslkey", Kind::Path, "The client's private key (PEM)."),
    ],
    any_of: &[&["url"], &["host", "user"]],
    example: "connectionType: postgres\nhost: db.example.com\nuser: pelton\npassword: { file: /run/secrets/shop }\ndatabase: shop\nsslmode: verify-full",
};

const SSL_MODES: &[Choice] = &[
    Choice { name: "disable", doc: "no TLS", supported: true },
    Choice { name: "prefer", doc: "TLS where the server has it, unchecked", supported: true },
    Choice {
        name: "require",
        doc: "TLS or nothing; the certificate is checked only if `sslrootcert` is given",
        supported: true,
    },
    Choice { name: "verify-ca", doc: "TLS, and the certificate must be signed by `sslrootcert`", supported: true },
    Choice { name: "verify-full", doc: "and it must be for this host", supported: true },
];

static IN_MEMORY_CONNECTION: Object = Object {
    name: "in-memory connection",
    doc: "ReJot's, for its tests. An event store in memory keeps nothing, so flows go as if it were not there; a data store in memory is read, and can't be run.",
    fields: &[],
    any_of: &[],
    example: "connectionType: in-memory",
};

static DATA_STORE: Object = Object {
    name: "data store",
    doc: "A database that is read from or written to.",
    fields: &[
        Field::new("connectionSlug", name(), "The connection; it is the data store's name too.").required(),
        Field::new(
            "config",
            Kind::Variant(&DATA_STORE_CONFIG),
            "How it is read. A data store without `config` is a destination alone.",
        ),
    ],
    any_of: &[],
    example: "connectionSlug: source\nconfig: { connectionType: postgres, slotName: pelton_shop, publicationName: pelton_shop, tables: [public.orders] }",
};

static DATA_STORE_CONFIG: Variant = Variant {
    tag: "connectionType",
    doc: "The kind of database, the same as that of the connection.",
    cases: &[("postgres", &POSTGRES_SOURCE), ("in-memory", &IN_MEMORY_SOURCE)],
    default: Some("postgres"),
};

static POSTGRES_SOURCE: Object = Object {
    name: "postgres source",
    doc: "How a Postgres is read: through a replication slot and a publication. Both are made when they are absent, and taken as they are when they exist.",
    fields: &[
        Field::new("slotName", slot_name(), "The replication slot.").or("`pelton_` and the manifest's slug, with `_` for what is not a-z, 0-9 or `_`"),
        Field::new("publicationName", slot_name(), "The publication.").or("`pelton_` and the manifest's slug, with `_` for what is not a-z, 0-9 or `_`"),
        Field::new("tables", Kind::List(&Kind::Table), "The tables that a new publication holds, `schema.table` or `table` in `public`. Names are taken as they stand; quotes are needed for dots and spaces: '\"My Schema\".\"T\"'.").or("the tables that the public schemas read"),
        Field::new("allTables", Kind::Bool, "A new publication holds all tables, those of tomorrow too.").or("false"),
        Field::new("detachedWalMax", Kind::Size, "How much WAL a stopped flow may hold back at the source, such as `10GB`. Beyond it the flow is released: the log moves on without it, and once mended it is copied anew. Units are Postgres's: `kB`, `MB`, `GB`, `TB`.").or("no limit"),
    ],
    any_of: &[],
    example: "connectionType: postgres\nslotName: pelton_shop\npublicationName: pelton_shop\ntables: [public.orders, public.customers]\ndetachedWalMax: 10GB",
};

static IN_MEMORY_SOURCE: Object = Object {
    name: "in-memory source",
    doc: "ReJot's, for its tests: it is read, and can't be run.",
    fields: &[],
    any_of: &[],
    example: "connectionType: in-memory",
};

static EVENT_STORE: Object = Object {
    name: "event store",
    doc: "A database that holds the log of public-schema events.",
    fields: &[
        Field::new("connectionSlug", name(), "The connection.").required(),
        Field::new("mirrorOf", name(), "Another event store of this manifest, all of whose events are kept here too, at the same positions. This manifest's public schemas are not published here themselves.").or("it is no mirror"),
        Field::new("retention", Kind::Object(&RETENTION), "What is not kept for ever. What a registered consumer has not read is kept all the same.").or("everything is kept"),
    ],
    any_of: &[],
    example: "connectionSlug: events\nretention: { maxAge: 30d, maxSize: 50GB }",
};

static RETENTION: Object = Object {
    name: "retention",
    doc: "What an event store does not keep for ever.",
    fields: &[
        Field::new("maxAge", Kind::Age, "How long events stay as they were published. Units are `s`, `min`, `h`, `d`, `w`.").or("no limit"),
        Field::new("maxSize", Kind::Size, "How much room they take, with their index; the oldest go first. Merged events don't count.").or("no limit"),
        Field::new("compact", Kind::Bool, "Events that go are merged into the newest of each key, so that a consumer that starts late still gets every row. Otherwise they are removed, as those without a key always are.").or("true"),
    ],
    any_of: &[&["maxAge"], &["maxSize"]],
    example: "maxAge: 30d\nmaxSize: 50GB",
};

static SYNC_SERVICE: Object = Object {
    name: "sync service",
    doc: "The `pelton sync --http` of another manifest, from which that one's public schemas are read.",
    fields: &[
        Field::new("manifestSlug", manifest_slug(), "The manifest that publishes there.").required(),
        Field::new("url", service_url(), "The service, `https://host:port` or `host:port`.").required(),
        Field::new("token", Kind::Secret, "The token that the service asks for.").or("none"),
        Field::new("sslrootcert", Kind::Path, "The certificates (PEM) that the service's is checked against.")
            .or("the web's own roots"),
    ],
    any_of: &[],
    example: "manifestSlug: shop\nurl: https://shop.example.com:3000\ntoken: { file: /run/secrets/shop-token }",
};

static PUBLIC_SCHEMA: Object = Object {
    name: "public schema",
    doc: "What an owner exposes.",
    fields: &[
        Field::new("name", name(), "The name that consumers ask for.").required(),
        Field::new("version", Kind::Object(&VERSION), "The version. Consumers name the major version; the minor one never matters to them.").required(),
        Field::new("source", Kind::Object(&SOURCE), "Where it is made from.").required(),
        Field::new("outputSchema", Kind::Json, "A JSON Schema of the rows. It is held against the columns, and against the rows where their types do not prove it: what does not hold is counted by field and rule, in the log and in `pelton status`, never with its values. Variables are not put in.").or("derived from the component or the table"),
        Field::new("strict", Kind::Bool, "Rows that are not what `outputSchema` says stop the flow, where they are counted otherwise.").or("false"),
        Field::new("definitionFile", Kind::Path, "The file that ReJot collected it from."),
        Field::new("config", Kind::Variant(&PUBLIC_SCHEMA_CONFIG), "How it is made.").required(),
    ],
    any_of: &[],
    example: "name: orders\nversion: { major: 1, minor: 0 }\nsource: { dataStoreSlug: source }\nconfig: { publicSchemaType: table, table: public.orders }",
};

static VERSION: Object = Object {
    name: "version",
    doc: "A version.",
    fields: &[
        Field::new("major", Kind::Integer { min: 0, max: VERSION_MAX }, "It grows when consumers must be told.")
            .required(),
        Field::new("minor", Kind::Integer { min: 0, max: VERSION_MAX }, "It grows when they need not.").required(),
    ],
    any_of: &[],
    example: "{ major: 1, minor: 0 }",
};

static SOURCE: Object = Object {
    name: "source",
    doc: "Where a public schema is made from.",
    fields: &[Field::new("dataStoreSlug", name(), "The data store; it must have a `config`.").required()],
    any_of: &[],
    example: "{ dataStoreSlug: source }",
};

static PUBLIC_SCHEMA_CONFIG: Variant = Variant {
    tag: "publicSchemaType",
    doc: "How the public schema is made: by a WebAssembly component, as a plain projection of one table, or by ReJot's SQL.",
    cases: &[("table", &TABLE_PROJECTION), ("wasm", &WASM), ("postgres", &SQL_TRANSFORMATIONS)],
    default: None,
};

static TABLE_PROJECTION: Object = Object {
    name: "table schema",
    doc: "A plain projection of one table, without code.",
    fields: &[
        Field::new("table", Kind::Table, "The table, `schema.table` or `table` in `public`.").required(),
        Field::new("columns", Kind::Columns, "The columns, in order. Each is the name of a column, or a pair `public name: source column`, as in `[id, { label: title }]`.").or("all columns"),
        Field::new("key", Kind::List(&COLUMN_NAME), "The public names of the columns that tell rows apart.").or("the primary key, or the replica identity"),
    ],
    any_of: &[],
    example: "publicSchemaType: table\ntable: public.orders\ncolumns:\n  - id\n  - label: title    # public name: source column\nkey: [id]",
};

static COLUMN_NAME: Kind = some_text();

static WASM: Object = Object {
    name: "wasm schema",
    doc: "A transform in WebAssembly. Public schemas with the same source, component and settings are one transform, which runs once for all of them.",
    fields: &[
        Field::new("component", Kind::Path, "The component, a `.wasm` file.").required(),
        Field::new("settings", Kind::Settings, "What the transform is set up with: names and texts. Numbers, `true` and `false` are handed over as their text.").or("none"),
        Field::new("limits", Kind::Object(&LIMITS), "What the transform may use.").or("those below"),
        Field::new("onError", Kind::Choice(ON_ERROR), "What happens at a change that the transform refuses.").or("\"stop\""),
        Field::new("parallel", Kind::Integer { min: 1, max: 64 }, "The number of instances, each with the changes of its share of the keys. The component must allow it.").or("1"),
        Field::new("shadow", Kind::Path, "A candidate, another `.wasm` file, that runs beside the component on the same changes. What it makes is compared and not written; `pelton status` shows how often it differs, and where.").or("none"),
    ],
    any_of: &[],
    example: "publicSchemaType: wasm\ncomponent: transforms/orders.wasm\nsettings: { currency: EUR }\nlimits: { memoryMib: 64, timeoutMs: 1000 }\nonError: stop",
};

static LIMITS: Object = Object {
    name: "limits",
    doc: "What a transform may use.",
    fields: &[
        Field::new("memoryMib", Kind::Integer { min: 1, max: 4096 }, "The memory of one instance, in MiB; what the host keeps for it of a transaction larger than a batch has the same bound.").or("64"),
        Field::new("timeoutMs", Kind::Integer { min: 1, max: 3_600_000 }, "The time of one call, in milliseconds.")
            .or("1000"),
    ],
    any_of: &[],
    example: "{ memoryMib: 64, timeoutMs: 1000 }",
};

const ON_ERROR: &[Choice] = &[
    Choice { name: "stop", doc: "the flow stops there, the others go on", supported: true },
    Choice { name: "park", doc: "the change is put aside, to be run again", supported: false },
];

static SQL_TRANSFORMATIONS: Object = Object {
    name: "postgres schema",
    doc: "ReJot's SQL: statements of your own that make the public rows, run by the source for each change. See [ReJot's SQL](rejot.md).",
    fields: &[
        Field::new("transformations", Kind::List(&Kind::Object(&SQL_TRANSFORMATION)), "The statements.").required()
    ],
    any_of: &[],
    example: "publicSchemaType: postgres\ntransformations:\n  - { operation: insert, table: orders, sql: \"SELECT id, label FROM orders WHERE id = :id\" }",
};

static SQL_TRANSFORMATION: Object = Object {
    name: "transformation",
    doc: "A statement for one operation on one table.",
    fields: &[
        Field::new("operation", Kind::Choice(OPERATIONS), "The operation.").required(),
        Field::new("table", some_text(), "The table, `schema.table` or `table` in `public`.").required(),
        Field::new("sql", some_text(), "The SELECT that gives the public row, with `:column` of the changed table, or `$1`, `$2` … in the order of its key's columns, never both.")
            .required(),
    ],
    any_of: &[],
    example: "operation: insert\ntable: orders\nsql: \"SELECT id, label FROM orders WHERE id = :id\"",
};

const OPERATIONS: &[Choice] = &[
    Choice { name: "insert", doc: "a new row", supported: true },
    Choice { name: "update", doc: "a changed row", supported: true },
    Choice { name: "delete", doc: "a row that went", supported: true },
];

static CONSUMER_SCHEMA: Object = Object {
    name: "consumer schema",
    doc: "How a destination takes a public schema.",
    fields: &[
        Field::new("name", name(), "The name of the flow.").required(),
        Field::new(
            "sourceManifestSlug",
            manifest_slug(),
            "The slug of the manifest that has the public schema, this one or another.",
        )
        .required(),
        Field::new("publicSchema", Kind::Object(&PUBLIC_SCHEMA_REFERENCE), "The public schema.").required(),
        Field::new(
            "eventStore",
            name(),
            "The event store that it reads. It goes on where it was in any mirror of the store that it has read.",
        )
        .or("the first of `eventStores`"),
        Field::new("definitionFile", Kind::Path, "The file that ReJot collected it from."),
        Field::new("config", Kind::Variant(&CONSUMER_CONFIG), "How it is written.").required(),
    ],
    any_of: &[],
    example: "name: warehouse-orders\nsourceManifestSlug: shop\npublicSchema: { name: orders, majorVersion: 1 }\nconfig: { consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: public.orders, createTable: true }",
};

static PUBLIC_SCHEMA_REFERENCE: Object = Object {
    name: "public schema reference",
    doc: "A public schema and its major version.",
    fields: &[
        Field::new("name", name(), "The name of the public schema.").required(),
        Field::new("majorVersion", Kind::Integer { min: 0, max: VERSION_MAX }, "Its major version.").required(),
    ],
    any_of: &[],
    example: "{ name: orders, majorVersion: 1 }",
};

static CONSUMER_CONFIG: Variant = Variant {
    tag: "consumerSchemaType",
    doc: "How a public schema is written: into a table that is kept equal by key, or by ReJot's SQL.",
    cases: &[("table", &TABLE_DESTINATION), ("postgres", &SQL_DESTINATION)],
    default: None,
};

static TABLE_DESTINATION: Object = Object {
    name: "table consumer",
    doc: "A table whose rows are kept equal by key, written in bulk.",
    fields: &[
        Field::new("destinationDataStoreSlug", name(), "The data store that is written to.").required(),
        Field::new("table", Kind::Table, "The table, `schema.table` or `table` in `public`.").required(),
        Field::new("createTable", Kind::Bool, "Make the table from the public schema when it is absent, key included.")
            .or("false"),
        Field::new("backfill", Kind::Bool, "Copy the rows that existed before the flow. Where it is `false`, rows may be missing: a change that needs one that is not there is left out, where it would stop the flow otherwise.").or("true"),
    ],
    any_of: &[],
    example: "consumerSchemaType: table\ndestinationDataStoreSlug: warehouse\ntable: public.orders\ncreateTable: true",
};

static SQL_DESTINATION: Object = Object {
    name: "postgres consumer",
    doc: "ReJot's SQL: a statement of your own, run at the destination for each row, in the order of the source. It commits together with the position of the flow, so it takes effect exactly once.",
    fields: &[
        Field::new("destinationDataStoreSlug", name(), "The data store that is written to.").required(),
        Field::new(
            "sql",
            some_text(),
            "The statement for a new or changed row, with `:field` or `$1`, `$2` … in the order of the public schema's columns, never both. A changed row comes as a new one does: `INSERT … ON CONFLICT … DO UPDATE`.",
        )
        .required(),
        Field::new("deleteSql", some_text(), "The statement for a row that went, with the fields of its key. Without one, such rows stay."),
        Field::new("backfill", Kind::Bool, "Run `sql` for the rows that existed before the flow, too.").or("true"),
    ],
    any_of: &[],
    example: "consumerSchemaType: postgres\ndestinationDataStoreSlug: warehouse\nsql: \"INSERT INTO orders VALUES (:id, :label) ON CONFLICT (id) DO UPDATE SET label = :label\"\ndeleteSql: \"DELETE FROM orders WHERE id = :id\"",
};
