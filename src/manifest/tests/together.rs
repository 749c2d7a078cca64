//! Manifests that run together.

use super::*;

fn together(manifests: &[(&str, String)]) -> String {
    let manifests: Vec<Manifest> = manifests
        .iter()
        .map(|(file, text)| {
            let origin = Origin { file: (*file).to_owned(), folder: "/m".into() };
            parse(text.as_bytes(), &origin, &Outside).unwrap_or_else(|problems| panic!("{problems}"))
        })
        .collect();
    let problems = check_together(&manifests);
    problems.iter().map(|p| format!("{}:{} {} {}\n", p.file, p.at.line, p.code.as_str(), p.message)).collect()
}

/// A manifest `b` whose one consumer takes something of `shop`.
fn consumer(public_schema: &str) -> String {
    let connections = "[{ slug: w, config: { connectionType: postgres, url: \"${WAREHOUSE_URL}\" } }]";
    let config = "{ consumerSchemaType: table, destinationDataStoreSlug: w, table: other }";
    format!(
        "slug: b\nconnections: {connections}\ndataStores: [{{ connectionSlug: w }}]\nconsumerSchemas:\n  - {{ name: c, sourceManifestSlug: shop, publicSchema: {public_schema}, config: {config} }}\n"
    )
}

#[test]
fn consumers_find_public_schemas_of_other_manifests() {
    let with = |public_schema: &str| together(&[("a", SMALL.to_owned()), ("b", consumer(public_schema))]);
    assert_eq!(with("{ name: orders, majorVersion: 1 }"), "");
    assert_eq!(
        with("{ name: orders, majorVersion: 2 }"),
        "b:5 VERSION_MISMATCH public schema `orders` has no major version 2\n"
    );
    assert_eq!(
        with("{ name: items, majorVersion: 1 }"),
        "b:5 PUBLIC_SCHEMA_NOT_FOUND manifest `shop` has no public schema `items`\n"
    );
    let alone = [("b", consumer("{ name: orders, majorVersion: 1 }"))];
    assert_eq!(together(&alone), "b:5 MANIFEST_NOT_FOUND there is no manifest `shop` here\n");
    assert_eq!(
        together(&[(
            "b",
            alone[0].1.replace("consumerSchemas", "eventStores: [{ connectionSlug: w }]\nconsumerSchemas")
        )]),
        ""
    );
}

#[test]
fn manifests_do_not_share_slugs_slots_or_tables() {
    let other = small("slug: shop", "slug: b").replace("sourceManifestSlug: shop", "sourceManifestSlug: b");
    let found = together(&[("a", SMALL.to_owned()), ("b", other.clone())]);
    assert!(!found.contains("DUPLICATE_SLOT"));
    // Consumers tell them apart by the manifest, so it is no more than a warning.
    assert!(found.starts_with("b:12 DUPLICATE_PUBLIC_SCHEMA public schema `orders` 1.0 is in a too\n"), "{found}");
    let other = other.replace("config: { tables", "config: { slotName: pelton_shop, tables");
    assert_eq!(
        together(&[("a", SMALL.to_owned()), ("b", other)]),
        "b:12 DUPLICATE_PUBLIC_SCHEMA public schema `orders` 1.0 is in a too\n\
         b:20 DUPLICATE_DESTINATION table `public.orders` is written by a too\n\
         b:8 DUPLICATE_SLOT slot `pelton_shop` of the same server is read by a too\n"
    );
    let same = together(&[("a", SMALL.to_owned()), ("b", SMALL.to_owned())]);
    assert!(same.starts_with("b:1 DUPLICATE_MANIFEST_SLUG the slug `shop` is that of a too\n"), "{same}");
}

#[test]
fn a_consumer_that_runs_with_another_manifest_takes_no_name_that_is_taken_there() {
    let taken =
        small("- slug: warehouse", "- slug: b/w\n    config: { connectionType: in-memory }\n  - slug: warehouse");
    let found = together(&[("a", taken), ("b", consumer("{ name: orders, majorVersion: 1 }"))]);
    assert_eq!(found, "b:5 CONFLICT this consumer runs with a, which has a connection `b/w` already\n");
}
