//! What one field can get wrong, and where it is said.

use super::*;

#[test]
fn unknown_fields_name_the_nearest_known_one() {
    changed(
        "connectionSlug: source\n",
        "conectionSlug: source\n",
        "
        8 «conectionSlug» UNKNOWN_FIELD unknown field `conectionSlug` in `dataStores[0]`
        → did you mean `connectionSlug`?",
    );
    changed("slug: shop\n", "slug: shop\ncolour: red\n", "
        2 «colour» UNKNOWN_FIELD unknown field `colour` in the manifest
        → known here: $schema, slug, manifestVersion, workspaces, connections, dataStores, eventStores, syncServices, publicSchemas, consumerSchemas");
    changed(
        "table: orders }",
        "table: orders, create_table: true }",
        "
        20 «create_table» UNKNOWN_FIELD unknown field `create_table` in `consumerSchemas[0].config`
        → did you mean `createTable`?",
    );
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = small("host: db, user: me", "user: 5, port: 0")
        .replace("name: orders\n", "nam: orders\n")
        .replace("minor: 0", "minor: x");
    check(
        &text,
        "
        4 «{» MISSING_FIELD `connections[0].config` needs `url`, or `host` and `user`
        → add `url`: The connection URL, `postgresql://user:password@host:5432/database?sslmode=require`
        4 «5» WRONG_TYPE `connections[0].config.user`: expected text, found a number `5`
        → put it in quotes
        4 «0» BAD_VALUE `connections[0].config.port`: expected a whole number from 1 to 65535, found 0
        12 «nam» UNKNOWN_FIELD unknown field `nam` in `publicSchemas[0]`
        → did you mean `name`?
        13 «x» WRONG_TYPE `publicSchemas[0].version.minor`: expected a whole number, found text `x`",
    );
}

#[test]
fn missing_fields_say_what_they_are_for() {
    check(
        "connections: []",
        "
        1 «connections» MISSING_FIELD the manifest has no `slug`
        → add `slug`: The name of this manifest",
    );
    changed(
        "{ major: 1, minor: 0 }",
        "{ major: 1 }",
        "
        13 «{» MISSING_FIELD `publicSchemas[0].version` has no `minor`
        → add `minor`: It grows when they need not",
    );
    changed(
        "{ publicSchemaType: table, table",
        "{ table",
        "
        15 «{» MISSING_FIELD `publicSchemas[0].config` has no `publicSchemaType`
        → add `publicSchemaType`, one of `table`, `wasm`, `postgres`",
    );
    changed(
        "name: flow",
        "name:",
        "
        17 «» WRONG_TYPE `consumerSchemas[0].name`: expected text, found nothing",
    );
}

#[test]
fn wrong_types_say_what_was_found_and_what_is_expected() {
    changed(
        "{ major: 1, minor: 0 }",
        "1",
        "
        13 «1» WRONG_TYPE `publicSchemas[0].version`: expected a map, found a number
        → write `{ major: 1, minor: 0 }`",
    );
    changed(
        "{ tables: [public.orders] }",
        "{ tables: public.orders }",
        "
        9 «public.orders» WRONG_TYPE `dataStores[0].config.tables`: expected a list, found text
        → write it as a list: `[ … ]`, or one item a line after `- `",
    );
    changed(
        "table: orders }",
        "table: orders, createTable: yes }",
        "
        20 «yes» WRONG_TYPE `consumerSchemas[0].config.createTable`: expected `true` or `false`, found text `yes`
        → write `true`, without quotes",
    );
    changed(
        "majorVersion: 1",
        "majorVersion: \"1\"",
        "
        19 «\"1\"» WRONG_TYPE `consumerSchemas[0].publicSchema.majorVersion`: expected a whole number, found text `1`
        → write it without quotes",
    );
    check(
        "slug: s\nconnections: { a: b }",
        "
        2 «{» WRONG_TYPE `connections`: expected a list, found a map
        → write it as a list: `[ … ]`, or one item a line after `- `",
    );
    check("- a\n- b\n", "
        1 «-» WRONG_TYPE the manifest: expected a map, found a list
        → its fields are $schema, slug, manifestVersion, workspaces, connections, dataStores, eventStores, syncServices, publicSchemas, consumerSchemas");
}

#[test]
fn words_patterns_and_bounds_are_held() {
    changed(
        "slug: shop",
        "slug: My_Shop",
        "
        1 «My_Shop» BAD_VALUE `slug`: expected a slug, found `My_Shop`
        → use a-z, 0-9 and `-`, such as `shop` or `@team/shop`",
    );
    changed(
        "user: me }",
        "user: me, sslmode: required }",
        "
        4 «required» BAD_VALUE `connections[0].config.sslmode`: unknown word `required`
        → did you mean `require`?",
    );
    changed(
        "tables: [public.orders]",
        "slotName: My-Slot, detachedWalMax: 10",
        "
        9 «My-Slot» BAD_VALUE `dataStores[0].config.slotName`: expected 1 to 63 of a-z, 0-9 and `_`, found `My-Slot`
        → use a-z, 0-9 and `_`, such as `pelton_shop`
        9 «10» WRONG_TYPE `dataStores[0].config.detachedWalMax`: expected a size such as `10GB`, found a number `10`
        → write a number and its unit: kB, MB, GB or TB",
    );
    changed(
        "publicSchemaType: table,",
        "publicSchemaType: tabel,",
        "
        15 «tabel» BAD_VALUE `publicSchemas[0].config`: unknown publicSchemaType `tabel`
        → did you mean `table`?",
    );
    changed(
        "publicSchemaType: table, table: public.orders",
        "publicSchemaType: wasm, component: x, onError: park, parallel: 0",
        "
        15 «park» NOT_SUPPORTED `publicSchemas[0].config.onError`: `park` is not supported yet
        → only `stop` for now
        15 «0» BAD_VALUE `publicSchemas[0].config.parallel`: expected a whole number from 1 to 64, found 0",
    );
    changed(
        "slug: shop\n",
        "slug: shop\nmanifestVersion: 1\n",
        "
        2 «1» BAD_VALUE `manifestVersion`: expected 0, found 1",
    );
    changed(
        "major: 1,",
        "major: 40000,",
        "
        13 «40000» BAD_VALUE `publicSchemas[0].version.major`: expected a whole number from 0 to 32767, found 40000",
    );
}

#[test]
fn names_of_tables_are_checked() {
    changed(
        "[public.orders]",
        "[a.b.c, public.orders]",
        "
        9 «a.b.c» BAD_VALUE `dataStores[0].config.tables[0]`: `a.b.c` is no table: the name has more than two parts
        → write `schema.table`, such as `public.orders`",
    );
    changed(
        "warehouse, table: orders }",
        "warehouse, table: Orders }",
        "
        20 «Orders» UNQUOTED_NAME `consumerSchemas[0].config.table`: SQL reads `Orders` otherwise without quotes
        → it is taken as `public.\"Orders\"`; write it so, or in lower case if that is the table",
    );
}

#[test]
fn columns_of_a_projection_are_names_or_single_pairs() {
    changed(
        "table: public.orders }",
        "table: public.orders, columns: [id, { a: b, c: d }, [x], { e: }] }",
        "
        15 «{» BAD_VALUE `publicSchemas[0].config.columns[1]`: expected the name of a column, or one pair, found a map
        → write `name`, or `public name: source column`, one item each
        15 «[x» BAD_VALUE `publicSchemas[0].config.columns[2]`: expected the name of a column, or one pair, found a list
        → write `name`, or `public name: source column`, one item each
        15 «» WRONG_TYPE `publicSchemas[0].config.columns[3]`: expected text, found nothing",
    );
    changed(
        "table: public.orders }",
        "table: public.orders, columns: [id, { id: title }], key: [id, id, title] }",
        "
        15 «{» BAD_VALUE public column `id` again; line 15 has it already
        → give it another public name: `public name: source column`
        15 «id» BAD_VALUE key column `id` again; line 15 has it already
        → remove one
        15 «title» BAD_VALUE key column `title` is not among `columns`
        → add it to `columns`; a key names public columns; known are id",
    );
    changed(
        "table: public.orders }",
        "table: public.orders, columns: [] }",
        "
        15 «[» BAD_VALUE `publicSchemas[0].config.columns` is empty
        → name a column, or leave the field out",
    );
}

#[test]
fn files_that_are_no_manifest_say_so() {
    let bytes = |content: &[u8]| {
        let problems = parse(content, &Origin::of(Path::new("m.yaml")), &Outside).unwrap_err().0;
        problems.iter().map(|p| format!("{}:{} {}", p.at.line, p.at.column, p.message)).collect::<Vec<_>>().join("\n")
    };
    for empty in ["", "  \n\n", "# only a comment\n", "---\n", "~"] {
        assert_eq!(bytes(empty.as_bytes()), "1:1 the manifest is empty");
    }
    assert_eq!(bytes(b"slug: a\nx: \xc3\xa9\xff\n"), "2:5 the file is not UTF-8 from here on");
    assert_eq!(bytes(b"\xff\xfes\0"), "1:1 the file is UTF-16");
    assert_eq!(bytes(&vec![b' '; 9 << 20]), "1:1 the file is larger than 8388608 bytes");
    assert_eq!(bytes(b"\xef\xbb\xbfslug: s\nslug: s"), "2:1 `slug` stands here a second time");
    assert!(bytes(b"\x7fELF\0\0").contains("not valid YAML"));
    assert!(parse(b"\xef\xbb\xbfslug: s", &Origin::of(Path::new("m.yaml")), &Outside).is_ok());
}

#[test]
fn json_files_that_are_broken_are_told_in_jsons_words() {
    let message = |file: &str| {
        let content = b"{ \"slug\": \"s\"\n  \"connections\": [] }";
        let problem = parse(content, &Origin::of(Path::new(file)), &Outside).unwrap_err().0.remove(0);
        format!("{}:{} {}", problem.at.line, problem.at.column, problem.message)
    };
    assert_eq!(message("m.json"), "2:3 this is not valid JSON: expected `,` or `}`");
    assert!(message("m.yaml").contains("not valid YAML"), "{}", message("m.yaml"));
}

#[test]
fn a_file_that_is_not_there_names_init() {
    let error = load(Path::new("/nowhere/pelton.yaml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the manifest /nowhere/pelton.yaml");
    assert!(error.hint().unwrap().contains("pelton init"));
}
