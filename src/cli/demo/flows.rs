//! What the demo publishes: its manifest, and in SQL what each destination table must hold in the end.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use super::{DemoError, Result};

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
    expected: "SELECT order_id, line_no, product, qty AS quantity, price FROM public.order_lines",
};

/// The orders without a transform: what a projection alone can do.
const PLAIN_ORDERS: Flow = Flow {
    name: "orders",
    manifest: "
      publicSchemaType: table
      table: public.orders
      columns: [id, customer_id, { customer: customer_name }, amount, currency, note, placed_at]",
    table: "public.orders",
    key: "id",
    columns: "id, customer_id, customer, amount, currency, note, placed_at",
    expected: "SELECT id, customer_id, customer_name AS customer, amount, currency, note, placed_at FROM public.orders",
};

/// Returns the flows, the orders first.
pub(super) fn of_shop(_transform: bool) -> Vec<Flow> {
    vec![PLAIN_ORDERS, CUSTOMERS, ORDER_LINES]
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
pub(super) async fn component(chosen: Option<&Path>, folder: &Path) -> Result<Option<PathBuf>> {
    let Some(chosen) = chosen else { return Ok(None) };
    if !chosen.is_file() {
        return Err(DemoError::NoComponent { path: chosen.to_owned() });
    }
    let copy = folder.join("orders.wasm");
    fs::copy(chosen, &copy).map_err(|source| DemoError::Io { act: "copy", path: chosen.to_owned(), source })?;
    Ok(Some(copy))
}
