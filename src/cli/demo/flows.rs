//! What the demo publishes: its manifest, and in SQL what each destination table must hold in the end.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::show::talk;
use super::{DemoError, Result};
use crate::cli::build::{BuildError, build_component};

/// Where the example's transform is, in a checkout.
const EXAMPLE: &str = "examples/orders";

/// A flow of the demo, with what it takes to check it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// The public schema.
    pub name: &'static str,
    /// Its entry under `publicSchemas`, below the name.
    manifest: &'static str,
    /// The destination's table.
    pub table: &'static str,
    /// The columns of the key, at the destination.
    pub key: &'static str,
    /// The destination's columns.
    pub columns: &'static str,
    /// Those of them that are printed.
    pub shown: &'static str,
    /// A query at the source for exactly the rows and columns that the destination must have.
    pub expected: &'static str,
}

const CUSTOMERS: Flow = Flow {
    name: "customers",
    manifest: "
      publicSchemaType: table
      table: public.customers
      columns: [id, { full_name: name }, email, city, tags, profile, visits, { customer_since: since }]",
    table: "public.customers",
    key: "id",
    columns: "id, full_name, email, city, tags, profile, visits, customer_since",
    shown: "id, full_name, email, city",
    expected: "SELECT id, name AS full_name, email, city, tags, profile, visits, since AS customer_since FROM public.customers",
};

const ORDER_LINES: Flow = Flow {
    name: "order-lines",
    manifest: "
      publicSchemaType: table
      table: public.order_lines
      columns: [order_id, line_no, product, { quantity: qty }, price]",
    table: "public.order_lines",
    key: "order_id, line_no",
    columns: "order_id, line_no, product, quantity, price",
    shown: "order_id, line_no, product, quantity, price",
    expected: "SELECT order_id, line_no, product, qty AS quantity, price FROM public.order_lines",
};

/// The orders as the example's transform publishes them. What it says in Rust, `expected` says in SQL.
const ORDERS: Flow = Flow {
    name: "orders",
    manifest: "
      publicSchemaType: wasm
      component: orders.wasm",
    table: "public.orders",
    key: "id",
    columns: "id, customer_id, contact, price, note, ordered_at, label",
    shown: "id, label, contact, price, note",
    expected: "SELECT id, customer_id, left(email, 1) || '***@' || split_part(email, '@', 2) AS contact, \
               amount || ' ' || currency AS price, note, placed_at AS ordered_at, customer_name || ' #' || id AS label \
               FROM public.orders WHERE NOT is_test",
};

/// What the transform keeps in its state: a sum over rows that it no longer sees.
const CUSTOMER_TOTALS: Flow = Flow {
    name: "customer_totals",
    manifest: "
      publicSchemaType: wasm
      component: orders.wasm",
    table: "public.customer_totals",
    key: "customer_id",
    columns: "customer_id, orders, spent",
    shown: "customer_id, orders, spent",
    expected: "SELECT customer_id, count(*) AS orders, sum(amount) AS spent FROM public.orders WHERE NOT is_test GROUP BY 1",
};

/// The orders without a transform: what a projection alone can do.
const PLAIN_ORDERS: Flow = Flow {
    name: "orders",
    manifest: "
      publicSchemaType: table
      table: public.orders
      columns: [id, customer_id, { customer: customer_name }, amount, currency, note, { ordered_at: placed_at }]",
    table: "public.orders",
    key: "id",
    columns: "id, customer_id, customer, amount, currency, note, ordered_at",
    shown: "id, customer, amount, currency, note",
    expected: "SELECT id, customer_id, customer_name AS customer, amount, currency, note, placed_at AS ordered_at \
               FROM public.orders",
};

/// Returns the flows, the orders first: with the example's transform, or without.
pub(super) fn of_shop(transform: bool) -> Vec<Flow> {
    let orders = if transform { vec![ORDERS, CUSTOMER_TOTALS] } else { vec![PLAIN_ORDERS] };
    [orders, vec![CUSTOMERS, ORDER_LINES]].concat()
}

/// Writes the manifest of these flows. The URLs stay in the environment.
pub(super) fn manifest(flows: &[Flow]) -> String {
    let mut text = String::from(
        "# What `pelton demo` streams.
slug: shop
manifestVersion: 0
connections:
  - slug: source
    config: { connectionType: postgres, url: \"${SOURCE_URL}\" }
  - slug: warehouse
    config: { connectionType: postgres, url: \"${WAREHOUSE_URL}\" }
dataStores:
  - connectionSlug: source
    config:
      connectionType: postgres
      slotName: pelton_shop
      publicationName: pelton_shop
      tables: [public.customers, public.orders, public.order_lines]
  - connectionSlug: warehouse
publicSchemas:
",
    );
    for flow in flows {
        let Flow { name, manifest, .. } = flow;
        writeln!(
            text,
            "  - name: {name}\n    version: {{ major: 1, minor: 0 }}\n    source: {{ dataStoreSlug: source }}\n    config:{manifest}"
        )
        .expect("writing to a String");
    }
    text.push_str("consumerSchemas:\n");
    for flow in flows {
        let Flow { name, table, .. } = flow;
        writeln!(
            text,
            "  - name: warehouse-{name}
    sourceManifestSlug: shop
    publicSchema: {{ name: {name}, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: warehouse, table: {table}, createTable: true }}"
        )
        .expect("writing to a String");
    }
    text
}

/// Puts the orders' transform into `folder`: the one that was named, else the example's, built when run in a checkout.
///
/// `None` where there is nothing to build it from or with; that is said, and the demo goes on without.
pub(super) async fn component(chosen: Option<&Path>, folder: &Path) -> Result<Option<PathBuf>> {
    let target = folder.join("orders.wasm");
    if let Some(chosen) = chosen {
        if !chosen.is_file() {
            return Err(DemoError::NoComponent { path: chosen.to_owned() });
        }
        fs::copy(chosen, &target).map_err(|source| DemoError::Io { act: "copy", path: chosen.to_owned(), source })?;
        return Ok(Some(target));
    }
    let example = Path::new(EXAMPLE);
    if !example.join("Cargo.toml").is_file() {
        talk(format!(
            "{EXAMPLE} is not in this folder, so orders are projected without a transform; --component names one."
        ));
        return Ok(None);
    }
    talk(format!("Building the transform in {EXAMPLE}."));
    let to = target.clone();
    let build = tokio::task::spawn_blocking(move || build_component(example, Some(&to)));
    match build.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
        Ok(_) => Ok(Some(target)),
        Err(error @ BuildError::NoTarget) => {
            let hint = error.hint().unwrap_or_default();
            talk(format!("{error}, so orders are projected without a transform.\nHint: {hint}"));
            Ok(None)
        }
        Err(error) => Err(DemoError::Build(error)),
    }
}
