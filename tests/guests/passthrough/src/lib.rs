//! Publishes a table of eight columns as it is: what a transform costs that does nothing.

use pelton_sdk::prelude::*;

/// `CREATE TABLE public.wide (id bigint PRIMARY KEY, name text NOT NULL, city text, price numeric, active boolean,
/// seen timestamptz, doc jsonb, ref uuid)`
#[derive(Source)]
#[source(table = "public.wide")]
struct Wide<'a> {
    #[key]
    id: i64,
    name: Toasted<&'a str>,
    city: Toasted<Option<&'a str>>,
    price: Option<Decimal<&'a str>>,
    active: Option<bool>,
    seen: Option<Timestamptz<&'a str>>,
    doc: Toasted<Option<Jsonb<&'a str>>>,
    r#ref: Option<Uuid<&'a str>>,
}

#[derive(Public)]
#[public(name = "wide", version = "1.0")]
struct PublicWide<'a> {
    #[key]
    id: i64,
    name: Toasted<&'a str>,
    city: Toasted<Option<&'a str>>,
    price: Option<Decimal<&'a str>>,
    active: Option<bool>,
    seen: Option<Timestamptz<&'a str>>,
    doc: Toasted<Option<Jsonb<&'a str>>>,
    r#ref: Option<Uuid<&'a str>>,
}

#[transform(name = "passthrough", publishes(PublicWide), parallel)]
fn passthrough(change: Change<Wide<'_>>, out: &mut Out) -> Result<()> {
    out.map(change, |Wide { id, name, city, price, active, seen, doc, r#ref }| {
        Some(PublicWide { id, name, city, price, active, seen, doc, r#ref })
    })
}
