//! `pelton collect`: schemas that are defined in code, by Node and Python as they are on this machine.

use std::process::Command;

use crate::support::Pelton;

/// What `createPublicSchema` and `createConsumerSchema` of ReJot's packages return.
const SCHEMAS: &str = r#"
console.log("said on the way");
const accounts = {
  name: "accounts",
  source: { dataStoreSlug: "db" },
  outputSchema: { type: "object", required: ["id", "name"], properties: { id: { type: "integer" }, name: { type: "string" } } },
  version: { major: 1, minor: 0 },
  config: { publicSchemaType: "postgres", transformations: [
    { operation: "insert", table: "account", sql: "SELECT id,\n  name\nFROM account WHERE id = :id" },
  ] },
};
export const consumer = {
  name: "take-accounts", sourceManifestSlug: "shop", publicSchema: { name: "accounts", majorVersion: 1 }, definitionFile: undefined,
  config: { consumerSchemaType: "postgres", destinationDataStoreSlug: "db", sql: "INSERT INTO a VALUES (:id)", deleteSql: null },
};
export default { accounts, again: [accounts], other: () => 1 };
setInterval(() => {}, 1000);
"#;

const MANIFEST: &str = "# The shop's.
slug: shop
connections:
  - { slug: db, config: { connectionType: postgres, host: h, user: u } }
dataStores:
  - { connectionSlug: db, config: { slotName: s } } # read
publicSchemas:
  # By hand.
  - name: orders
    version: { major: 1, minor: 0 }
    source: { dataStoreSlug: db }
    config: { publicSchemaType: table, table: orders }
";

fn needs(program: &str) {
    let there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(there, "{program} is not here, and `pelton collect` needs it: install it to run this test");
}

/// Runs `pelton collect` and returns its exit code, the manifest, and what was said.
async fn collect(manifest: &str, file: (&str, &str), flags: &[&str]) -> (Option<i32>, String, String) {
    let arguments = [&["collect", file.0], flags].concat();
    let mut pelton = Pelton::new(arguments).file("pelton.yaml", manifest).file(file.0, file.1);
    let code = pelton.run().await.code();
    let text = std::fs::read_to_string(pelton.folder().join("pelton.yaml")).expect("it is there");
    (code, text, format!("{}{}", pelton.stdout(), pelton.stderr()))
}

#[tokio::test]
async fn javascript_is_collected_into_the_manifest() {
    needs("node");
    let file = ("src/schemas.mjs", SCHEMAS);
    let (code, text, said) = collect(MANIFEST, file, &[]).await;
    assert_eq!((code, text.as_str()), (Some(0), MANIFEST), "{said}");
    let told = "consumer schema  take-accounts  src/schemas.mjs\npublic schema    accounts 1.0  src/schemas.mjs\n";
    assert_eq!(said, told);
    let (code, text, said) = collect(MANIFEST, file, &["--check"]).await;
    assert_eq!((code, text.as_str()), (Some(0), MANIFEST), "{said}");
    assert!(said.contains("Added public schema `accounts` (not written)"), "{said}");
    let (code, written, said) = collect(MANIFEST, file, &["--write"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(written.starts_with(MANIFEST), "{written}");
    let added = "  - name: accounts\n    source:\n      dataStoreSlug: db\n";
    assert!(written.contains(added) && written.contains("definitionFile: src/schemas.mjs\n"), "{written}");
    let sql =
        "          sql: |-\n            SELECT id,\n              name\n            FROM account WHERE id = :id\n";
    assert!(written.contains(sql), "{written}");
    // Once more it is all there; what changes in the file changes here, and nothing else.
    let (code, text, said) = collect(&written, file, &["--write"]).await;
    assert_eq!((code, &text), (Some(0), &written));
    assert_eq!(said, "pelton.yaml has all of it already.\n");
    let commented = written.replace("name: accounts\n", "name: accounts # ours\n");
    let changed = SCHEMAS.replace("INSERT INTO a VALUES (:id)", "INSERT INTO b VALUES (:id)");
    let (code, text, said) = collect(&commented, (file.0, &changed), &["--write", "--check"]).await;
    assert_eq!((code, text), (Some(0), commented.replace("INTO a", "INTO b")), "{said}");
    assert_eq!(said, "Updated consumer schema `take-accounts`\n");
    // What the file defines no more goes; what is not of the file stays.
    let gone = SCHEMAS.replace("export default { accounts, again: [accounts],", "export default {");
    let (code, text, said) = collect(&written, (file.0, &gone), &["--write"]).await;
    assert_eq!((code, &text), (Some(1), &written), "its consumer is still there: {said}");
    assert!(said.contains("there is no public schema `accounts`") && said.contains("would break"), "{said}");
    let empty = "export default [];";
    let (code, text, said) = collect(&written, (file.0, empty), &["--write"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(text.starts_with(MANIFEST) && !text.contains("accounts"), "{text}");
}

#[tokio::test]
async fn a_minor_change_that_breaks_readers_is_refused_by_check() {
    needs("node");
    let (_, written, _) = collect(MANIFEST, ("s.mjs", SCHEMAS), &["--write"]).await;
    let looser = SCHEMAS.replace("required: [\"id\", \"name\"]", "required: [\"id\"]");
    let (code, text, said) = collect(&written, ("s.mjs", &looser), &["--check", "--write"]).await;
    assert_eq!((code, &text), (Some(1), &written));
    assert!(said.contains("`name` need not be there any more") && said.contains("give it version 2.0"), "{said}");
}

#[tokio::test]
async fn python_is_collected() {
    needs("python3");
    let python = r#"
print("said on the way")

class Model:
    def model_dump(self, by_alias=False):
        return {"name": "people", "source": {"dataStoreSlug": "db"}, "outputSchema": {"type": "object"},
                "version": {"major": 2, "minor": 1}, "definitionFile": None,
                "config": {"publicSchemaType": "postgres", "transformations": [
                    {"operation": "delete", "table": "person", "sql": "SELECT :id AS id"}]}}

people = Model()
both = [{"name": "c", "sourceManifestSlug": "shop", "publicSchema": {"name": "people", "majorVersion": 2},
         "config": {"consumerSchemaType": "postgres", "destinationDataStoreSlug": "db", "sql": "SELECT :id"}}]
_hidden = both
number = 1
"#;
    let (code, text, said) = collect(MANIFEST, ("schemas.py", python), &["--print", "--write"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("public schema    people 2.1  schemas.py\n"), "{said}");
    assert!(text.contains("name: people\n") && text.contains("- name: c\n"), "{text}");
}

#[tokio::test]
async fn what_cannot_be_collected_says_why() {
    needs("node");
    needs("python3");
    let cases: [(&str, &str, &[&str]); 5] = [
        ("broken.mjs", "export default {", &["broken.mjs: ", "Hint: run the file by itself"]),
        ("missing.mjs", "import 'no-such-package'; export default {};", &["no-such-package", "must be installed"]),
        ("broken.py", "raise ValueError('no')", &["broken.py: ValueError: no"]),
        ("quits.mjs", "process.exit(3)", &["node ended with exit status: 3 and without a result"]),
        ("schemas.txt", "", &["neither TypeScript, JavaScript nor Python"]),
    ];
    for (name, text, parts) in cases {
        let (code, manifest, said) = collect(MANIFEST, (name, text), &["--write"]).await;
        assert_eq!((code, manifest.as_str()), (Some(1), MANIFEST), "{said}");
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    }
    let mut gone = Pelton::new(["collect", "gone.mjs"]);
    assert_eq!(gone.run().await.code(), Some(1));
    assert!(gone.stderr().contains("there is no file gone.mjs"), "{}", gone.stderr());
    // TypeScript is collected where Node can, and else it is said what can.
    let typed = SCHEMAS.replace("const accounts =", "const accounts: { name: string, [key: string]: unknown } =");
    let typed = format!("enum Kind {{ Insert = \"insert\" }}\n{typed}")
        .replace("operation: \"insert\"", "operation: Kind.Insert");
    let (code, _, said) = collect(MANIFEST, ("s.ts", &typed), &[]).await;
    match code {
        Some(0) => assert!(said.contains("accounts 1.0"), "{said}"),
        _ => {
            assert!(said.contains("does not read TypeScript\nHint: use Node 22.15 or newer, or `npm install"), "{said}")
        }
    }
}
