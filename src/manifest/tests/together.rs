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

/// What is read over HTTP is published elsewhere.
#[test]
fn a_service_stands_in_for_a_manifest_that_is_not_here() {
    let services = "syncServices: [{ manifestSlug: shop, url: \"https://shop:3000\" }]\nconsumerSchemas";
    let text = consumer("{ name: orders, majorVersion: 1 }");
    assert_eq!(together(&[("b", text.replace("consumerSchemas", services))]), "");
    // The environment of these tests has one of `rented`, in ReJot's way, and one of `@team/my-shop`, with a token in a file.
    for (slug, expected) in [
        ("rented", "http://rented:4000 None"),
        ("\"@team/my-shop\"", "https://team:443/pelton Some(Secret(…))"),
        ("shop", "-"),
    ] {
        let manifest = valid(&text.replace("sourceManifestSlug: shop", &format!("sourceManifestSlug: {slug}")));
        let found = manifest.sync_service(slug.trim_matches('"'));
        let found = found.map(|service| format!("{} {:?}", service.url, service.token));
        assert_eq!(found.as_deref().unwrap_or("-"), expected, "{slug}");
    }
    // What the manifest says counts, and a token from outside completes it.
    let ours = "syncServices: [{ manifestSlug: \"@team/my-shop\", url: \"a:1\" }]\nconsumerSchemas";
    let ours = text
        .replace("consumerSchemas", ours)
        .replace("sourceManifestSlug: shop", "sourceManifestSlug: \"@team/my-shop\"");
    let service = valid(&ours).sync_services.remove(0);
    assert_eq!((service.url.to_string().as_str(), service.token), ("http://a:1", Some(Secret::new("hunter2"))));
}

#[test]
fn a_variable_that_stands_for_two_manifests_is_refused() {
    let text = consumer("{ name: orders, majorVersion: 1 }");
    let one = &text[text.find("  - { name").expect("a consumer")..];
    let both = |a: &str, b: &str| {
        let reads = |text: &str, slug: &str| {
            text.replace("sourceManifestSlug: shop", &format!("sourceManifestSlug: \"{slug}\""))
        };
        reads(&text, a) + &reads(one, b).replace("name: c,", "name: d,").replace("table: other", "table: another")
    };
    let told = read(&both("@team/my-shop", "-team-my-shop")).unwrap_err().to_string();
    let said = "`PELTON_SYNC_SERVICE__TEAM_MY_SHOP` stands for `@team/my-shop` and for `-team-my-shop`";
    assert!(told.contains(said), "{told}");
    assert!(told.contains("REJOT_SYNC_SERVICE_@team/my-shop"), "{told}");
    // Nobody has set that one.
    valid(&both("@a/b", "-a-b"));
}

#[test]
fn a_service_on_this_machine_is_what_is_left() {
    let text = consumer("{ name: orders, majorVersion: 1 }");
    let resolved = |text: &str, resolver, together: &[String]| {
        let mut manifest = valid(text);
        manifest.resolve(resolver, together);
        manifest.sync_services.iter().map(|service| service.url.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(resolved(&text, Resolver::Env, &[]), [""; 0]);
    assert_eq!(resolved(&text, Resolver::Localhost, &[]), ["http://localhost:3000"]);
    assert_eq!(resolved(&text, Resolver::Localhost, &["shop".to_owned()]), [""; 0]);
    let store = text.replace("consumerSchemas", "eventStores: [{ connectionSlug: w }]\nconsumerSchemas");
    assert_eq!(resolved(&store, Resolver::Localhost, &[]), [""; 0]);
}

#[test]
fn services_are_checked() {
    let services = |text: &str| small("publicSchemas", &format!("syncServices: {text}\npublicSchemas"));
    check(
        &services(
            "[{ manifestSlug: a, url: \"a:1\" }, { manifestSlug: a, url: \"b:1\" }, { manifestSlug: shop, url: \"c:1\" }]",
        ),
        "
        11 «a» DUPLICATE_SYNC_SERVICE the service of manifest `a` again; line 11 has it already
        → a manifest is read at one service; remove one
        11 «shop» BAD_VALUE `shop` is this manifest itself
        → name the manifest that publishes what is read there",
    );
    let wrong = services("[{ manifestSlug: a, url: \"http://me:hunter2@a:1\" }]");
    check(
        &wrong,
        "
        11 «\"http» BAD_VALUE `syncServices[0].url`: expected the address of a service, found something else
        → write for example https://shop.example.com:3000, and a token into `token`",
    );
    assert!(!read(&wrong).unwrap_err().to_string().contains("hunter2"));
    let wrong =
        consumer("{ name: orders, majorVersion: 1 }").replace("sourceManifestSlug: shop", "sourceManifestSlug: wrong");
    let told = read(&wrong).unwrap_err().to_string();
    assert!(told.contains("PELTON_SYNC_SERVICE_WRONG") && !told.contains("hunter2"), "{told}");
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
