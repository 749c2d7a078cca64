//! Holds `src/guest/bindings.rs` to `wit/transform.wit`.
//!
//! The bindings are generated once and checked in: a guest then compiles neither a WIT parser nor a macro (three
//! seconds of build instead of twenty). `PELTON_UPDATE=1 cargo test -p pelton-sdk --test bindings` writes them anew.

use std::path::Path;

use wit_bindgen_core::{Files, WorldGenerator};
use wit_parser::Resolve;

#[test]
fn the_bindings_are_those_of_the_contract() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    let text = std::fs::read_to_string(sdk.join("../../wit/transform.wit")).unwrap();
    let package = resolve.push_str("transform.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("transformer")).unwrap();
    let options = wit_bindgen_rust::Opts {
        generate_all: true,
        pub_export_macro: true,
        export_macro_name: Some("export".to_owned()),
        runtime_path: Some("::pelton_sdk::guest::rt".to_owned()),
        default_bindings_module: Some("::pelton_sdk::guest::bindings".to_owned()),
        format: true,
        ..Default::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).unwrap();
    let (_, generated) = files.iter().next().expect("one file");
    let head =
        "// Made of wit/transform.wit by tests/bindings.rs, which also holds it to that file. Not edited by hand.\n";
    let generated = format!("{head}{}", std::str::from_utf8(generated).unwrap());
    let path = sdk.join("src/guest/bindings.rs");
    if std::env::var_os("PELTON_UPDATE").is_some() {
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "{} is not what wit/transform.wit says; run PELTON_UPDATE=1 cargo test -p pelton-sdk --test bindings",
        path.display()
    );
}
