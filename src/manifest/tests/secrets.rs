//! Variables and secret files, and that no problem tells what is in them.

use super::*;

const CONNECTION: &str = "{ connectionType: postgres, host: db, user: me }";

#[test]
fn what_is_missing_outside_is_named() {
    changed(
        CONNECTION,
        "{ connectionType: postgres, host: \"${HOST}\", user: \"${USER:-me}\", password: \"$${WORD} ${PW}\" }",
        "
        4 «\"${HOST» MISSING_VARIABLE `connections[0].config.host`: the environment variable `HOST` is not set
        → set it before you start pelton, or give it a default: `${HOST:-default}`
        4 «\"$${WORD» MISSING_VARIABLE `connections[0].config.password`: the environment variable `PW` is not set
        → set it before you start pelton, or give it a default: `${PW:-default}`",
    );
    changed(
        CONNECTION,
        "{ connectionType: postgres, url: { file: gone } }",
        "
        4 «{» SECRET_UNREADABLE `connections[0].config.url`: cannot read the secret in /m/gone: entity not found
        → relative paths begin at the manifest's folder; check that the file is there and readable",
    );
    changed(
        CONNECTION,
        "{ connectionType: postgres, url: { file: empty } }",
        "
        4 «{» BAD_VALUE `connections[0].config.url`: the secret is empty or holds a NUL
        → fill it in, or leave the field out",
    );
    changed(
        "user: me }",
        "user: me, password: { path: pw } }",
        "
        4 «{» MISSING_FIELD `connections[0].config.password` has no `file`
        → add `file`: The file that holds the secret; a line break at its end is cut
        4 «path» UNKNOWN_FIELD unknown field `path` in `connections[0].config.password`
        → known here: file",
    );
}

#[test]
fn a_variable_in_the_wrong_place_is_not_told() {
    changed(CONNECTION, "{ connectionType: postgres, host: db, user: me, port: \"${WORD}\", sslmode: \"${WORD}\" }", "
        4 «\"${WORD» BAD_VALUE `connections[0].config.port`: expected a whole number from 1 to 65535, found what the environment gives
        4 «\"${WORD» BAD_VALUE `connections[0].config.sslmode`: unknown word what the environment gives
        → one of `disable`, `prefer`, `require`, `verify-ca`, `verify-full`");
}

/// Puts the same secret wherever a user may put one, rightly or wrongly, and looks for it in what is printed.
#[test]
fn no_problem_tells_a_secret() {
    let url = "postgres://me:hunter2@db/x";
    for config in [
        "{ connectionType: postgres, host: db, usr: me, password: hunter2 }".to_owned(),
        "{ connectionType: postgres, host: db, user: me, pasword: hunter2 }".to_owned(),
        "{ connectionType: postgres, host: db, user: me, password: hunter2, password: hunter2, x: 1 }".to_owned(),
        "{ connectionType: postgres, host: db, user: me, password: [hunter2], x: [{ y: hunter2 }] }".to_owned(),
        "{ connectionType: postgrs, password: hunter2 }".to_owned(),
        "{ conectionType: postgres, password: hunter2 }".to_owned(),
        "{ password: hunter2 }".to_owned(),
        "{ connectionType: in-memory, password: hunter2 }".to_owned(),
        "{ connectionType: postgres, url: \"${SOURCE_URL}x%zz\" }".to_owned(),
        "{ connectionType: postgres, url: hunter2 }".to_owned(),
        "{ connectionType: postgres, url: 'postgres://me:hun@ter2@db', host: hunter, port: x }".to_owned(),
        format!("{{ connectionType: postgres, hst: '{url}' }}"),
        format!("{{ connectionType: '{url}' }}"),
        format!("'{url}'"),
        format!("['{url}', password: hunter2]"),
        "\n      connectionType: postgres\n      host: db\n      user: me\n      password: |\n        hunter2\n        hunter2\n      passwort: >-\n        hunter2\n".to_owned(),
        // No YAML at all.
        "{ connectionType: postgres, password: hunter2, host: ${HOST} }".to_owned(),
        "{ connectionType: postgres, password: 'hunter2 }".to_owned(),
        "\n      password: hunter2: x".to_owned(),
        "\n      password: |\n        hunter2\n     hunter2 }: x: y".to_owned(),
    ] {
        let Err(problems) = read(&small(CONNECTION, &config)) else { panic!("{config} is valid") };
        let told = problems.to_string().replace("hunter:", "");
        assert!(!told.contains("hunter2") && !told.contains("ter2"), "{config}\n{told}");
        assert!(!format!("{problems:?}").contains("hunter2"));
    }
    for (from, to) in [
        ("connectionSlug: source", "connectionSlug: 'URL'"),
        ("slug: shop", "slug: 'URL'"),
        ("public.orders]", "'URL']"),
    ] {
        let problems = read(&small(from, &to.replace("URL", url))).unwrap_err().to_string();
        assert!(!problems.contains("hunter2"), "{problems}");
    }
    let settings = small(
        "publicSchemaType: table, table: public.orders",
        "publicSchemaType: wasm, settings: { salt: hunter2, x: [hunter2] }",
    );
    assert!(!read(&settings).unwrap_err().to_string().contains("hunter2"));
    assert!(!format!("{:?}", valid(SMALL)).contains("hunter2"));
}

#[test]
fn problems_are_printed_with_their_line_and_a_caret() {
    let text = small("user: me }", "user: me, pasword: hunter2 }").replace("- slug: warehouse\n", "- slg: warehouse\n");
    let expected = "\
m.yaml:4:61: error: unknown field `pasword` in `connections[0].config`
  4 |     config: { connectionType: postgres, host: db, user: me, pasword: … }
    |                                                             ^
  Hint: did you mean `password`?
m.yaml:5:5: error: unknown field `slg` in `connections[1]`
  5 |   - slg: …
    |     ^
  Hint: did you mean `slug`?
2 errors";
    assert_eq!(read(&text).unwrap_err().to_string(), expected);
}
