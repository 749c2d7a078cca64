//! `pelton new` and `pelton generate`: a project from a table that has everything, in every language, built and tested as its
//! author would.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{self, Pelton};

/// A table with a column of every kind, names that are no identifiers, an enum, comments; and one without a key.
const TABLES: &str = r#"
    CREATE TYPE order_state AS ENUM ('open', 'in transit', 'done');
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE TABLE orders (
        id bigint PRIMARY KEY, "type" text NOT NULL, "Total €" numeric(12,2) NOT NULL, state order_state NOT NULL,
        was order_state, "class" int, small smallint NOT NULL, f4 real, f8 double precision NOT NULL, paid boolean NOT NULL,
        raw bytea, ref uuid NOT NULL, doc json, docs jsonb NOT NULL, day date, at time, atz timetz, stamp timestamp,
        placed timestamptz NOT NULL DEFAULT now(), took interval, numbers int[], tags text[] NOT NULL, during int4range,
        pieces positive, "2fa" varchar(10), double_id bigint GENERATED ALWAYS AS (id * 2) STORED);
    COMMENT ON TABLE orders IS 'What was ordered.';
    COMMENT ON COLUMN orders.state IS 'Where it is: "open" */ until \ it is done.';
    -- Named like what the SDKs have, like an enum, like the project; commented to break out of a comment.
    CREATE TYPE change AS ENUM ('self', 'v1', 'v_1');
    CREATE TABLE changes (id int PRIMARY KEY, kind change NOT NULL, address1 text, address_1 text, was order_state);
    COMMENT ON TABLE changes IS E'See src/*/x */ \\ """ "so-called"';
    COMMENT ON COLUMN changes.address1 IS E'a\r    import os\n\\d*\\.\\d* [A-Z]*\\d "';
    CREATE TABLE log_lines (at timestamptz NOT NULL, line text)"#;

/// Runs `pelton ARGUMENTS…` and returns its exit code, and what it said.
async fn pelton(arguments: &[&str]) -> (Option<i32>, String) {
    let mut pelton = Pelton::new(arguments);
    let code = pelton.run().await.code();
    (code, pelton.stdout() + &pelton.stderr())
}

/// Makes a project in a folder of its own.
async fn project(lang: &str, url: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop-orders");
    let at = path.to_str().unwrap();
    let tables = ["--table", "orders", "--table", "public.log_lines", "--table", "changes", "--large", "orders.type"];
    let (code, said) = pelton(&[&["new", at, "--lang", lang, "--from", url][..], &tables].concat()).await;
    assert_eq!(code, Some(0), "{said}");
    (folder, path)
}

/// What its author does first: builds it, tests it, checks its manifest. All of it works as it was written.
async fn works_at_once(lang: &str) {
    let database = support::database().await;
    database.execute(TABLES).await;
    let (_folder, path) = project(lang, &database.url()).await;
    let at = path.to_str().unwrap();
    let (code, said) = pelton(&["build", at]).await;
    assert_eq!(code, Some(0), "{lang}: {said}");
    assert!(
        said.contains(
            "reads public.orders, public.log_lines, public.changes, publishes orders 1.0, log_lines 1.0, changes 1.0"
        ),
        "{lang}: {said}"
    );
    // The project has a fixture, so what a change costs is measured on it.
    let costs = said.split(" µs a change").next().and_then(|before| before.rsplit(' ').next());
    assert!(costs.and_then(|costs| costs.parse::<f64>().ok()).is_some_and(|costs| costs > 0.0), "{lang}: {said}");
    let (code, said) = pelton(&["test", at]).await;
    assert_eq!(code, Some(0), "{lang}: {said}");
    let manifest = path.join("pelton.yaml");
    let mut check = Pelton::new(["check", manifest.to_str().unwrap()])
        .env("SOURCE_URL", database.url())
        .env("WAREHOUSE_URL", database.url());
    let code = check.run().await.code();
    assert_eq!(code, Some(0), "{lang}: {}{}", check.stdout(), check.stderr());
    let (code, said) = pelton(&["generate", at, "--check", "--from", &database.url()]).await;
    assert_eq!(code, Some(0), "{lang}: {said}");
    a_mistake_is_shown(lang, &path).await;
}

/// A mistake is told in the compiler's own words, with its file, and then in ours.
async fn a_mistake_is_shown(lang: &str, path: &Path) {
    let name = path.file_name().unwrap().to_str().unwrap().replace('-', "_");
    let file = match lang {
        "rust" => "src/lib.rs".to_owned(),
        "ts" | "js" => format!("src/transform.{lang}"),
        "go" => "transform.go".to_owned(),
        _ => format!("{name}.{lang}"),
    };
    let source = path.join(&file);
    let text = std::fs::read_to_string(&source).unwrap();
    std::fs::write(&source, format!("{text}\n)]}} x\n")).unwrap();
    let (code, said) = pelton(&["build", path.to_str().unwrap()]).await;
    assert_eq!(code, Some(1), "{lang}: {said}");
    let line = format!("{}", text.lines().count() + 2);
    let place = said.find(&file).unwrap_or_else(|| panic!("{lang}: {file} is not named: {said}"));
    assert!(said[place..].contains(&line), "{lang}: line {line} is not named: {said}");
    assert!(said.find("Error: ").is_some_and(|ours| ours > place), "{lang}: ours comes last: {said}");
}

#[tokio::test]
async fn a_new_project_works_at_once_in_rust() {
    works_at_once("rust").await;
}

#[tokio::test]
async fn a_new_project_works_at_once_in_typescript() {
    works_at_once("ts").await;
}

#[tokio::test]
async fn a_new_project_works_at_once_in_javascript() {
    works_at_once("js").await;
}

#[tokio::test]
async fn a_new_project_works_at_once_in_python() {
    works_at_once("py").await;
}

#[tokio::test]
async fn a_new_project_works_at_once_in_go() {
    works_at_once("go").await;
}

#[tokio::test]
async fn a_new_project_works_at_once_in_c() {
    works_at_once("c").await;
}

fn rows(path: &Path) -> String {
    std::fs::read_to_string(path.join("rows.go")).unwrap()
}

#[tokio::test]
async fn types_that_have_drifted_from_their_tables_are_shown_and_renewed() {
    let database = support::database().await;
    database.execute(TABLES).await;
    let (_folder, path) = project("go", &database.url()).await;
    let (at, url) = (path.to_str().unwrap(), database.url());
    let before = rows(&path);
    database
        .execute("ALTER TABLE orders ADD COLUMN note text, ALTER COLUMN took SET NOT NULL, DROP COLUMN small")
        .await;
    let (code, said) = pelton(&["generate", at, "--check", "--from", &url]).await;
    assert_eq!(code, Some(1), "{said}");
    for line in ["-\tSmall ", "+\tNote ", "rows.go is not what the tables are", "Hint: run `pelton generate`"] {
        assert!(said.contains(line), "{line:?} is not in {said}");
    }
    assert_eq!(rows(&path), before, "--check writes nothing");
    let (code, said) = pelton(&["generate", at, "--from", &url, "--large", "orders.note"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(rows(&path).contains("large: public.orders.note") && rows(&path).contains("pelton.Toasted[*string]"));
    let (code, said) = pelton(&["generate", at, "--check", "--from", &url]).await;
    assert_eq!(code, Some(0), "{said}");
}

#[tokio::test]
async fn what_is_not_there_is_named_with_what_is_nearest() {
    let database = support::database().await;
    database.execute(TABLES).await;
    database.execute("CREATE VIEW seen AS SELECT 1 AS one; CREATE UNLOGGED TABLE loose (id int PRIMARY KEY)").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop");
    let (at, url) = (path.to_str().unwrap(), database.url());
    let new = async |name: &str, more: &[&str]| {
        let (code, said) = pelton(&[&["new", name, "--lang", "js", "--from", &url][..], more].concat()).await;
        assert_eq!(code, Some(1), "{said}");
        said
    };
    let said = new(at, &["--table", "order"]).await;
    assert!(said.contains("has no table public.\"order\"\nHint: did you mean public.orders?"), "{said}");
    let said = new(at, &["--table", "seen"]).await;
    assert!(said.contains("public.seen is a view, whose changes Postgres does not stream"), "{said}");
    let said = new(at, &["--table", "loose"]).await;
    assert!(said.contains("public.loose is an unlogged table"), "{said}");
    let said = new(at, &["--table", "orders", "--large", "orders.dok"]).await;
    assert!(said.contains("there is no column public.orders.dok\nHint: did you mean public.orders.doc?"), "{said}");
    let said = new(folder.path().join("Shop").to_str().unwrap(), &["--table", "orders"]).await;
    assert!(said.contains("`Shop` can't be a transform's name\nHint: use a-z"), "{said}");
    assert!(!path.exists(), "nothing is written before all is known");

    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("mine"), "").unwrap();
    let said = new(at, &["--table", "orders"]).await;
    assert!(said.contains("is there already, and is not empty"), "{said}");

    let (code, said) = pelton(&["generate", at, "--from", &url]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("holds no transform"), "{said}");
    std::fs::write(path.join("go.mod"), "module shop\n").unwrap();
    let (_, said) = pelton(&["generate", at, "--from", &url]).await;
    assert!(said.contains("no table is named to make it of\nHint: name one"), "{said}");
    std::fs::write(path.join("rows.go"), "package main\n").unwrap();
    let (_, said) = pelton(&["generate", at, "--from", &url, "--table", "orders"]).await;
    assert!(said.contains("was not made by `pelton generate`\nHint: rename yours"), "{said}");
}
