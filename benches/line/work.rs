//! What is to be replicated: tables, how they are filled, and the manifest that takes them over.

use std::fmt::Write;

/// What rows go through on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// `publicSchemaType: table`.
    Table,
    /// The guest that publishes `public.wide` as it is.
    Rust,
}

impl Through {
    pub fn name(self) -> &'static str {
        match self {
            Through::Table => "table schema",
            Through::Rust => "Rust guest",
        }
    }
}

/// A backlog.
pub struct Work {
    pub name: String,
    /// What is counted: rows or transactions.
    pub unit: &'static str,
    pub count: u64,
    /// Makes the tables, at both ends.
    pub ddl: String,
    /// Puts into them what is there before, at both ends alike.
    pub before: String,
    /// Writes the backlog; a call, for it commits by itself.
    pub fill: String,
    pub tables: &'static [&'static str],
    pub through: &'static [Through],
    /// What ours must reach, times native; design, section 10.
    pub goal: f64,
    /// A query whose result must be the same at both ends.
    pub sum: &'static str,
}

/// The guest's table.
pub const WIDE: &str = "CREATE TABLE public.wide (id bigint PRIMARY KEY, name text NOT NULL, city text, price numeric, \
                        active boolean, seen timestamptz, doc jsonb, ref uuid)";

/// Its last row says that everything before it has come.
pub const MARKER: &str = "CREATE TABLE public.marker (n integer PRIMARY KEY)";

/// Rows of the guest's table with the ids that `g` runs through.
pub fn rows_of_wide(ids: &str) -> String {
    format!(
        "INSERT INTO public.wide SELECT g, 'customer-' || (g % 1000), \
         'a note of about sixty characters, as an order would have it ' || g, (g % 100000) / 100.0, g % 2 = 0, now(), \
         jsonb_build_object('sku', 'sku-' || g, 'qty', g % 7, 'tags', jsonb_build_array('a', 'b', 'c'), \
         'who', 'someone@example.com'), gen_random_uuid() FROM generate_series({ids}) g"
    )
}

/// New rows, so many a transaction.
pub fn stream(rows: u64, per: u64) -> Work {
    let insert = rows_of_wide("i * per + 1, (i + 1) * per");
    let procedure = format!(
        "CREATE PROCEDURE public.fill(n bigint, per bigint) LANGUAGE plpgsql AS $$ BEGIN \
         FOR i IN 0 .. n / per - 1 LOOP {insert}; COMMIT; END LOOP; END $$"
    );
    let unit = if per == 1 { "tx" } else { "rows" };
    Work {
        name: if per == 1 { "1 row a transaction".to_owned() } else { format!("{per} rows a transaction") },
        unit,
        count: rows / per * per,
        ddl: format!("{WIDE}; {MARKER}; {procedure}"),
        before: String::new(),
        fill: format!("CALL public.fill({rows}, {per})"),
        tables: &["wide", "marker"],
        through: &[Through::Table, Through::Rust],
        goal: if per == 1 { 1.4 } else { 1.3 },
        sum: "SELECT count(*) || ' ' || sum(hashtextextended(t::text, 0)) FROM public.wide t",
    }
}

/// pgbench's own transactions (TPC-B), its scale 4, without the query; its history has a key.
pub fn pgbench(transactions: u64) -> Work {
    let ddl = "CREATE TABLE public.accounts (aid integer PRIMARY KEY, bid integer, abalance integer, filler char(84)); \
               CREATE TABLE public.tellers (tid integer PRIMARY KEY, bid integer, tbalance integer, filler char(84)); \
               CREATE TABLE public.branches (bid integer PRIMARY KEY, bbalance integer, filler char(88)); \
               CREATE TABLE public.history (hid bigint PRIMARY KEY, tid integer, bid integer, aid integer, delta integer, \
               mtime timestamp, filler char(22))";
    let procedure = "CREATE PROCEDURE public.fill(n bigint) LANGUAGE plpgsql AS $$ \
         DECLARE a integer; b integer; t integer; d integer; BEGIN FOR i IN 1 .. n LOOP \
         a := 1 + random() * 399999; b := 1 + random() * 3; t := 1 + random() * 39; d := random() * 10000 - 5000; \
         UPDATE public.accounts SET abalance = abalance + d WHERE aid = a; \
         UPDATE public.tellers SET tbalance = tbalance + d WHERE tid = t; \
         UPDATE public.branches SET bbalance = bbalance + d WHERE bid = b; \
         INSERT INTO public.history VALUES (i, t, b, a, d, now()); COMMIT; END LOOP; END $$";
    Work {
        name: "pgbench's mix".to_owned(),
        unit: "tx",
        count: transactions,
        ddl: format!("{ddl}; {MARKER}; {procedure}"),
        before: "INSERT INTO public.accounts SELECT g, (g - 1) / 100000 + 1, 0, '' FROM generate_series(1, 400000) g; \
                 INSERT INTO public.tellers SELECT g, (g - 1) / 10 + 1, 0, '' FROM generate_series(1, 40) g; \
                 INSERT INTO public.branches SELECT g, 0, '' FROM generate_series(1, 4) g; ANALYZE"
            .to_owned(),
        fill: format!("CALL public.fill({transactions})"),
        tables: &["accounts", "tellers", "branches", "history", "marker"],
        through: &[Through::Table],
        goal: 2.0,
        sum: "SELECT (SELECT sum(aid::bigint * abalance) FROM public.accounts) || ' ' || \
              (SELECT sum(tid * tbalance) FROM public.tellers) || ' ' || \
              (SELECT sum(bid * bbalance) FROM public.branches) || ' ' || (SELECT count(*) FROM public.history)",
    }
}

/// Writes the manifest of these tables.
pub fn manifest(slot: &str, tables: &[&str], through: Through, backfill: bool) -> String {
    let mut text = format!(
        "slug: bench
manifestVersion: 0
connections:
  - slug: source
    config: {{ connectionType: postgres, url: \"${{SOURCE_URL}}\" }}
  - slug: warehouse
    config: {{ connectionType: postgres, url: \"${{WAREHOUSE_URL}}\" }}
dataStores:
  - connectionSlug: source
    config: {{ connectionType: postgres, slotName: {slot}, publicationName: p, allTables: true }}
  - connectionSlug: warehouse
publicSchemas:
"
    );
    for table in tables {
        let config = match through {
            Through::Rust if *table == "wide" => "publicSchemaType: wasm, component: passthrough.wasm".to_owned(),
            _ => format!("publicSchemaType: table, table: public.{table}"),
        };
        writeln!(
            text,
            "  - name: {table}\n    version: {{ major: 1, minor: 0 }}\n    source: {{ dataStoreSlug: source }}\n    \
             config: {{ {config} }}"
        )
        .expect("writing to a String");
    }
    text.push_str("consumerSchemas:\n");
    for table in tables {
        writeln!(
            text,
            "  - name: warehouse-{table}\n    sourceManifestSlug: bench\n    \
             publicSchema: {{ name: {table}, majorVersion: 1 }}\n    config: {{ consumerSchemaType: table, \
             destinationDataStoreSlug: warehouse, table: public.{table}, backfill: {backfill} }}"
        )
        .expect("writing to a String");
    }
    text
}
