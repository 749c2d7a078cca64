//! Components that can't be used: `pelton check` says so without a database, and `pelton sync` stops their flow alone.

use super::{Flow, TABLE, fails, succeeds};
use crate::guest::Guest;
use crate::support::{Pelton, database};

const SOCKETS: &str = "wasi:sockets/tcp@0.2.0";

/// `pelton check` of a manifest whose component is these bytes; `config` goes into the public schema's config.
fn check(component: impl AsRef<[u8]>, config: &str) -> Pelton {
    let public = format!("{{ publicSchemaType: wasm, component: t.wasm{config} }}");
    let flow = Flow { public, ..Flow::nowhere() };
    flow.pelton(["check"]).file("t.wasm", component)
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("the component's text")
}

#[tokio::test]
async fn check_says_what_is_wrong_with_a_component() {
    let good = Guest::default().component();
    succeeds(&mut check(&good, "")).await;
    let sockets = format!("(component (import \"{SOCKETS}\" (instance)))");
    let cases: [(Vec<u8>, &str, &[&str]); 9] = [
        (b"#!/bin/sh".to_vec(), "", &["t.wasm` is not WebAssembly", "`pelton build`"]),
        (Vec::new(), "", &["t.wasm` is not WebAssembly"]),
        (b"(module)".to_vec(), "", &["t.wasm` is WebAssembly as text", "wasm-tools parse"]),
        (wat("(module)"), "", &["t.wasm` is a core module, not a component", "`pelton build`"]),
        (good[..good.len() / 2].to_vec(), "", &["t.wasm` is not a valid component", "build it again"]),
        (wat("(component)"), "", &["t.wasm` is not a transform: it does not export", "`transformer`"]),
        (wat(&sockets), "", &["imports what the sandbox does not serve", SOCKETS, "no network"]),
        (
            Guest { describe: "unreachable", ..Guest::default() }.component(),
            "",
            &["can't be described", "in `describe`"],
        ),
        (good.clone(), ", settings: { currency: EUR }", &["settings of component", "currency"]),
    ];
    for (component, config, parts) in cases {
        fails(&mut check(component, config), 1, &[&["pelton.yaml:14: "][..], parts].concat()).await;
    }
    let missing = "{ publicSchemaType: wasm, component: gone.wasm }".to_owned();
    let gone = Flow { public: missing, ..Flow::nowhere() };
    fails(&mut gone.pelton(["check"]), 1, &["cannot read component", "gone.wasm", "No such file", "`pelton build`"])
        .await;
}

#[tokio::test]
async fn check_holds_the_manifest_against_what_a_component_publishes() {
    let public = "{ publicSchemaType: wasm, component: t.wasm }".to_owned();
    let flow = Flow { public, ..Flow::nowhere() };
    let with = |from: &str, to: &str| {
        let yaml = flow.yaml().replace(from, to);
        Pelton::new(["check"]).file("pelton.yaml", yaml).file("t.wasm", Guest::default().component())
    };
    let schema = "    config: { publicSchemaType";
    let output = |v: &str| {
        let properties = format!("{{ id: {{ type: integer }}, v: {{ type: {v} }} }}");
        format!("    outputSchema: {{ type: object, required: [id, v], properties: {properties} }}\n{schema}")
    };
    let name = ["pelton.yaml:11: ", "does not publish `u` 1.0; it publishes `t` 1.0"];
    let named =
        flow.yaml().replace("- name: t\n    version", "- name: u\n    version").replace("{ name: t,", "{ name: u,");
    let mut unknown = Pelton::new(["check"]).file("pelton.yaml", named).file("t.wasm", Guest::default().component());
    fails(&mut unknown, 1, &name).await;
    fails(&mut with("minor: 0", "minor: 3"), 1, &["`t` is 1.3 in the manifest and 1.0 in the component"]).await;
    fails(&mut with(schema, &output("integer")), 1, &["outputSchema of `t`", "v"]).await;
    succeeds(&mut with(schema, &output("string"))).await;
}

#[tokio::test]
async fn a_component_that_cannot_be_used_stops_its_flow_and_loses_nothing() {
    let (source, sink) = (database().await, database().await);
    source.execute(TABLE).await;
    source.execute("INSERT INTO t VALUES (1, 'a')").await;
    let public = "{ publicSchemaType: wasm, component: t.wasm }".to_owned();
    let flow = Flow { public, ..Flow::new(&source, &sink) };
    let sync = |component: Vec<u8>| flow.pelton(["sync", "--until-caught-up"]).file("t.wasm", component);
    succeeds(&mut sync(Guest::default().component())).await;
    source.execute("INSERT INTO t VALUES (2, 'b')").await;

    flow.refuses(&["cannot read component", "t.wasm", "No such file", "`pelton build`"]).await;
    fails(&mut sync(b"nonsense".to_vec()), 1, &["is not WebAssembly"]).await;
    let sockets = format!("(component (import \"{SOCKETS}\" (instance)))");
    fails(&mut sync(wat(&sockets)), 1, &[SOCKETS, "the sandbox does not serve"]).await;
    flow.status_says(&["stopped", SOCKETS, "no network"]).await;
    assert_eq!(sink.value("SELECT string_agg(v, ',' ORDER BY id) FROM t").await, "a");

    succeeds(&mut sync(Guest::default().component())).await;
    assert_eq!(sink.value("SELECT string_agg(v, ',' ORDER BY id) FROM t").await, "a,b");
}
