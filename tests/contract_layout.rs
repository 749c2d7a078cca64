//! Holds the structs of the C SDK to `wit/transform.wit`.
//!
//! They are written by hand (`guest-sdk/c/src/contract.h`); where the canonical ABI puts each field is worked out here and
//! checked in as assertions, which hold whenever a transform is compiled. `PELTON_UPDATE=1 cargo test --test
//! contract_layout` writes them anew.

use std::fmt::Write;
use std::path::Path;

use wit_parser::{Resolve, SizeAlign, Type, TypeDefKind};

/// The records that C transforms exchange with the host, and the interface that each is of.
const RECORDS: [(&str, &str); 10] = [
    ("types", "column"),
    ("types", "relation"),
    ("types", "subscription"),
    ("types", "public-schema"),
    ("types", "setting"),
    ("types", "descriptor"),
    ("types", "span"),
    ("types", "retry"),
    ("types", "rejection"),
    ("packed", "output"),
];

const VARIANTS: [(&str, &str); 2] = [("types", "kind"), ("types", "error")];

#[test]
fn the_structs_in_c_are_those_of_the_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    let text = std::fs::read_to_string(root.join("wit/transform.wit")).unwrap();
    let package = resolve.push_str("transform.wit", &text).unwrap();
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let find = |interface: &str, name: &str| {
        let interface = resolve.packages[package].interfaces[interface];
        resolve.interfaces[interface].types[name]
    };
    let c = |name: &str| name.replace('-', "_");

    let mut made = String::from(
        "/* Made of wit/transform.wit by tests/contract_layout.rs, which also holds it to that file. Not edited by hand. */\n",
    );
    for (interface, name) in RECORDS {
        let id = find(interface, name);
        let TypeDefKind::Record(record) = &resolve.types[id].kind else { panic!("{name} is a record") };
        let offsets = sizes.field_offsets(record.fields.iter().map(|field| &field.ty));
        for (field, (offset, _)) in record.fields.iter().zip(offsets) {
            // `default` is a word of the language.
            let field = if field.name == "default" { "preset".to_owned() } else { c(&field.name) };
            let offset = offset.size_wasm32();
            writeln!(made, "_Static_assert(offsetof(contract_{}, {field}) == {offset}, \"{name}\");", c(name)).unwrap();
        }
        let size = sizes.size(&Type::Id(id)).size_wasm32();
        writeln!(made, "_Static_assert(sizeof(contract_{}) == {size}, \"{name}\");", c(name)).unwrap();
    }
    for (interface, name) in VARIANTS {
        let id = find(interface, name);
        let TypeDefKind::Variant(variant) = &resolve.types[id].kind else { panic!("{name} is a variant") };
        let cases = variant.cases.iter().map(|case| case.ty.as_ref());
        let payload = sizes.payload_offset(variant.tag(), cases).size_wasm32();
        let of_tag = sizes.size(&Type::U8).size_wasm32();
        let first = if name == "kind" { "name" } else { "fatal" };
        writeln!(made, "_Static_assert(sizeof(((contract_{name} *)0)->tag) == {of_tag}, \"{name}\");").unwrap();
        writeln!(made, "_Static_assert(offsetof(contract_{name}, {first}) == {payload}, \"{name}\");").unwrap();
        let size = sizes.size(&Type::Id(id)).size_wasm32();
        writeln!(made, "_Static_assert(sizeof(contract_{name}) == {size}, \"{name}\");").unwrap();
        for (i, case) in variant.cases.iter().enumerate().filter(|_| name == "kind") {
            // The order of the kinds is that of an enum of the SDK's.
            let kind = c(&case.name).to_uppercase();
            writeln!(made, "_Static_assert(PELTON_KIND_{kind} == {i}, \"{name}\");").unwrap();
        }
    }

    let path = root.join("guest-sdk/c/src/contract_layout.h");
    if std::env::var_os("PELTON_UPDATE").is_some() {
        std::fs::write(&path, made).unwrap();
        return;
    }
    let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        checked_in == made,
        "{} is not what wit/transform.wit says; run PELTON_UPDATE=1 cargo test --test contract_layout",
        path.display()
    );
}
