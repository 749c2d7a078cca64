//! One suite for every language: the same fixtures, the same output to the byte. See `conformance/README.md`.
//!
//! A language takes part once it has a folder `tests/guests/LANGUAGE/conformance`. It fails where its toolchain is absent,
//! and says what to run. `PELTON_CONFORMANCE=ts` runs that language alone, `PELTON_ACCEPT=1` writes what Rust makes into
//! the fixtures.

use std::path::{Path, PathBuf};

use pelton::cli::build::build_component;
use pelton::fixture;
use pelton::rehearse::{CHECKS, Checker, verdict};
use pelton::wasm::{Component, Descriptor, Host, HostOptions, Limits};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The languages that a transform is there in: Rust first, then the folders of the others.
fn languages(transform: &str) -> Vec<String> {
    let names = |folder: &str| {
        let folder = std::fs::read_dir(root().join(folder)).expect("the folder is there");
        folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let mut others = names("tests/guests");
    others.retain(|name| root().join("tests/guests").join(name).join("conformance").is_dir());
    if transform == "orders" {
        // JavaScript, whose guests are TypeScript's, has the example too.
        others.extend(names("examples").iter().filter_map(|name| name.strip_prefix("orders-")).map(str::to_owned));
    }
    others.sort();
    others.dedup();
    let all = std::iter::once("rust".to_owned()).chain(others);
    match std::env::var("PELTON_CONFORMANCE") {
        Ok(only) => all.filter(|name| only.split(',').any(|wanted| wanted == name)).collect(),
        Err(_) => all.collect(),
    }
}

/// Where a language's transform of that name lies: a guest, or the example.
fn project(language: &str, name: &str) -> PathBuf {
    match (name, language) {
        ("orders", "rust") => root().join("examples/orders"),
        ("orders", language) => root().join(format!("examples/orders-{language}")),
        (name, "rust") => root().join("tests/guests").join(name),
        (name, language) => root().join("tests/guests").join(language).join(name),
    }
}

/// Builds a transform; what its tools say goes to stderr.
fn component(host: &Host, language: &str, name: &str) -> Component {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{language}.wasm"));
    let built = build_component(&project(language, name), Some(&out)).unwrap_or_else(|error| {
        let tools = if language == "ts" { "js" } else { language };
        let hint = error.hint().unwrap_or_default();
        panic!(
            "{language}/{name} does not build: {error}\n{hint}\nHint: scripts/toolchain-{tools}.sh fetches the tools"
        )
    });
    let bytes = std::fs::read(&built.path).expect("it was just written");
    host.load(&bytes, name, Limits::default()).unwrap_or_else(|error| panic!("{language}/{name}: {error}"))
}

/// Runs the fixtures of one transform in every language that has it, with the checks, and compares the descriptors.
fn conforms(name: &str, fixtures: &[&str]) {
    let host = Host::new(HostOptions::for_user()).expect("a host");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut reference: Option<Descriptor> = None;
    let mut wrong = Vec::new();
    for language in languages(name) {
        if language != "rust" && !project(&language, name).is_dir() {
            wrong.push(format!("{language} has no {}", project(&language, name).display()));
            continue;
        }
        let component = component(&host, &language, name);
        // The encoding and the SDK's name may differ, nothing else.
        let own = component.descriptor().clone();
        match &reference {
            None => reference = Some(own),
            Some(first) => {
                let same = Descriptor { encoding: first.encoding, attrs: first.attrs.clone(), ..own.clone() };
                if same != *first {
                    wrong.push(format!("{language}: describes itself as {own:#?}\nand the first as {first:#?}"));
                }
            }
        }
        for file in fixtures {
            let path = root().join("tests/conformance").join(file);
            wrong.extend(runtime.block_on(differences(&component, &path)).iter().map(|d| format!("{language}: {d}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn differences(component: &Component, path: &Path) -> Vec<String> {
    let name = path.file_name().expect("a file").to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).expect("the fixture is there");
    let fixture = fixture::read(&text, &name).unwrap_or_else(|problems| panic!("{problems}"));
    let mut found = verdict(component, &fixture).await;
    if std::env::var("PELTON_ACCEPT").is_ok_and(|accept| accept == "1") {
        let accepted = fixture::accept(&text, &name, &fixture, &found.found, &found.all);
        let accepted = accepted.unwrap_or_else(|error| panic!("{name}: {error}"));
        std::fs::write(path, accepted.text).expect("the fixture can be written");
        found.differences.clear();
        found.open = 0;
    }
    let mut wrong: Vec<String> = Vec::new();
    wrong.extend(found.unstarted.as_ref().map(|error| format!("{name}: the transform does not start: {error}")));
    if found.open > 0 {
        wrong.push(format!("{name}: {} transactions expect nothing; PELTON_ACCEPT=1 writes it", found.open));
    }
    for (transaction, difference) in &found.differences {
        let place = format!("{name}:{}: transaction {transaction:?}", difference.at.line);
        let (expected, came) = (difference.expected.as_deref(), difference.found.as_deref());
        wrong.push(format!(
            "{place}\n    {}\n  - {}\n  + {}",
            difference.details.join("\n    "),
            expected.unwrap_or("nothing"),
            came.unwrap_or("nothing")
        ));
    }
    if !fixture.transactions.is_empty() && found.unstarted.is_none() {
        let checker = Checker::new(component, &fixture, &found);
        for check in &CHECKS {
            let result = checker.check(check, &text, &name).await;
            wrong.extend(result.failures.iter().map(|failure| format!("{name}: check {}: {failure}", check.name)));
        }
    }
    wrong
}

#[test]
fn every_language_hands_on_and_parses_every_kind_of_value() {
    conforms(
        "conformance",
        &[
            "kinds.yaml",
            "kinds_full.yaml",
            "commands.yaml",
            "settings_missing.yaml",
            "settings_unknown.yaml",
            "settings_wrong.yaml",
        ],
    );
}

#[test]
fn every_language_takes_whole_transactions() {
    conforms("lines", &["lines.yaml"]);
}

#[test]
fn every_language_has_the_same_orders() {
    conforms("orders", &["orders.yaml", "orders_full.yaml"]);
}

#[test]
fn every_fixture_is_run() {
    let folder = std::fs::read_dir(root().join("tests/conformance")).expect("there are fixtures");
    let source = include_str!("conformance.rs");
    for name in folder.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        assert!(!name.ends_with(".yaml") || source.contains(&format!("\"{name}\"")), "{name} is run by no test");
    }
}
