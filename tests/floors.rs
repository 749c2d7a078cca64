//! Holds the floors and the absences that ARCHITECTURE.md states, by reading the sources.
//!
//! What counts is written down: `use` lines and paths, in code and in its unit tests. Comments and strings are left out.

#[path = "floors/source.rs"]
mod source;

use std::collections::BTreeSet;

use source::{Source, sources};

/// From below to above, as in `src/lib.rs`. A module knows those of lower floors, and never its neighbours.
const FLOORS: [&[&str]; 9] = [
    &["change", "document", "fault", "lsn"],
    &["batch", "fixture", "manifest", "pgoutput", "progress", "sql"],
    &["datastore", "postgres", "sink", "wasm"],
    &["eventstore", "record", "rehearse"],
    &["service"],
    &["engine"],
    &["setup"],
    &["http"],
    &["cli"],
];

/// Neighbours that know each other: a change says where it comes from.
const NEIGHBOURS: [(&str, &str); 1] = [("change", "lsn")];

/// Crates, and the only places that may name them.
const CRATES: &[(&str, &[&str])] = &[
    ("clap", &["cli/"]),
    ("http_body_util", &["service/", "http/"]),
    ("hyper", &["service/", "http/"]),
    ("hyper_util", &["service/", "http/"]),
    ("indicatif", &["cli/"]),
    ("jsonschema", &["engine/"]),
    ("libc", &["postgres/", "wasm/", "cli/"]),
    ("pgwire_replication", &["postgres/replication/"]),
    ("postgres_protocol", &["postgres/"]),
    ("rmp", &["wasm/"]),
    ("rustls", &["postgres/", "service/", "http/"]),
    ("saphyr_parser", &["document/"]),
    ("serde", &["document/", "fixture/", "manifest/", "eventstore/", "engine/backfill/", "cli/"]),
    (
        "serde_json",
        &[
            "document/",
            "fixture/",
            "manifest/",
            "postgres/catalog/",
            "datastore/",
            "wasm/",
            "eventstore/",
            "service/",
            "engine/",
            "http/",
            "cli/",
        ],
    ),
    (
        "tokio",
        &["postgres/", "datastore/", "sink/", "wasm/", "record/", "service/", "engine/", "setup/", "http/", "cli/"],
    ),
    (
        "tokio_postgres",
        &["postgres/", "datastore/", "sink/", "eventstore/", "record/", "engine/", "setup/", "http/", "cli/"],
    ),
    ("tokio_rustls", &["postgres/", "service/", "http/"]),
    ("tracing", &["postgres/", "datastore/", "sink/", "wasm/", "record/", "engine/", "setup/", "http/", "cli/"]),
    ("tracing_subscriber", &["cli/"]),
    ("wasmparser", &["wasm/", "cli/build/"]),
    ("wasmtime", &["wasm/"]),
    ("wasmtime_wasi", &["wasm/"]),
    ("wit_component", &["wasm/", "cli/build/"]),
    ("wit_parser", &["wasm/", "cli/build/"]),
];

/// The parts of `std` that reach out of the process, and what the two lowest floors may have of them: a manifest is a
/// file that names variables and files of secrets, and a build for tests can be told to kill itself. Unit tests read
/// recorded streams.
const OUTSIDE: [&str; 6] = ["env", "fs", "io", "net", "process", "thread"];
const OUTSIDE_ALLOWED: [(&str, &[&str]); 3] = [
    ("manifest/", &["env", "fs", "io", "net"]),
    ("fault.rs", &["env", "process"]),
    ("pgoutput/recordings.rs", &["env", "fs"]),
];

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Returns what is wrong with a file, one sentence each.
fn problems(file: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    let module = file.module();
    // `lib.rs` and `main.rs` name every part, from above.
    let Some(own) = floor(module) else {
        if !["lib", "main"].contains(&module) {
            problems.push(format!("{}: module `{module}` is on no floor", file.path));
        }
        return problems;
    };
    for name in file.crate_modules() {
        let neighbours = NEIGHBOURS.contains(&(module, &name));
        match floor(&name) {
            _ if name == module || neighbours => {}
            Some(other) if other < own => {}
            Some(other) => {
                problems.push(format!("{}: floor {own} imports `{name}` of floor {other}", file.path));
            }
            None => problems.push(format!("{}: `crate::{name}` does not say which module it means", file.path)),
        }
    }
    let allowed = |places: &[&str]| places.iter().any(|place| file.path.starts_with(place));
    for (name, places) in CRATES {
        if file.names_crate(name) && !allowed(places) {
            problems.push(format!("{}: `{name}` belongs to {}", file.path, places.join(", ")));
        }
    }
    if own <= 1 {
        let granted =
            OUTSIDE_ALLOWED.iter().find(|(place, _)| file.path.starts_with(place)).map_or(&[][..], |(_, p)| p);
        for part in file.std_modules().iter().filter(|part| OUTSIDE.contains(&part.as_str())) {
            if !granted.contains(&part.as_str()) {
                problems.push(format!("{}: floor {own} reaches out of the process by `std::{part}`", file.path));
            }
        }
    }
    problems
}

#[test]
fn a_file_imports_lower_floors_only() {
    let files = sources();
    let problems: Vec<String> = files.iter().flat_map(problems).collect();
    assert!(problems.is_empty(), "see ARCHITECTURE.md:\n{}", problems.join("\n"));
    // Nothing was overlooked for want of files, and no name in the tables is a misspelt one.
    let modules: BTreeSet<&str> = files.iter().map(Source::module).collect();
    for module in FLOORS.concat() {
        assert!(modules.contains(module), "there is no module `{module}`");
    }
    let manifest = include_str!("../Cargo.toml");
    for (name, _) in CRATES {
        let names = [name.to_string(), name.replace('_', "-")];
        let listed = names.iter().any(|name| manifest.contains(&format!("\n{name} = ")));
        assert!(listed, "`{name}` is not a dependency");
    }
}

#[test]
fn what_breaks_the_floors_is_noticed() {
    let check = |path: &str, text: &str, expected: &[&str]| assert_eq!(problems(&Source::new(path, text)), expected);
    check("pgoutput/x.rs", "use crate::change::Row;\nuse super::y;", &[]);
    check("pgoutput/x.rs", "use crate::wasm;", &["pgoutput/x.rs: floor 1 imports `wasm` of floor 2"]);
    check("wasm/x.rs", "fn f() { crate::postgres::g() }", &["wasm/x.rs: floor 2 imports `postgres` of floor 2"]);
    check(
        "sink/x.rs",
        "use crate::{change::{Row, wasm}, engine};",
        &["sink/x.rs: floor 2 imports `engine` of floor 5"],
    );
    check("lsn.rs", "use crate::*;", &["lsn.rs: `crate::*` does not say which module it means"]);
    check("lsn.rs", "use super::engine;", &["lsn.rs: floor 0 imports `engine` of floor 5"]);
    check(
        "sink/a/x.rs",
        "mod t { use super::super::super::super::cli; }",
        &["sink/a/x.rs: floor 2 imports `cli` of floor 8"],
    );
    check("sink/a/x.rs", "mod t { use super::super::super::cli; } use super::super::cli;", &[]);
    check("sink/x.rs", "#[derive(clap::Args)] struct A;", &["sink/x.rs: `clap` belongs to cli/"]);
    check("engine/x.rs", "use {std::fmt, wasmtime::Engine};", &["engine/x.rs: `wasmtime` belongs to wasm/"]);
    check("engine/x.rs", "use crate::wasm::wasmtime; // wasmtime::Engine\nconst A: &str = \"clap::Args\";", &[]);
    check("change/x.rs", "use std::{fmt, fs};", &["change/x.rs: floor 0 reaches out of the process by `std::fs`"]);
    check(
        "change/x.rs",
        "use tokio::sync;",
        &[&format!("change/x.rs: `tokio` belongs to {}", CRATES[14].1.join(", "))],
    );
    check("metrics.rs", "", &["metrics.rs: module `metrics` is on no floor"]);
}
