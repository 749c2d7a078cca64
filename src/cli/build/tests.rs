//! Whole crates, built. They need the wasm32 target: `scripts/wasm-target.sh` gets it.

use std::path::{Path, PathBuf};

use super::{BuildError, build_component};

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/orders")
}

/// Makes a crate of its own in a folder of its own, and of a name of its own (`guest_…`): builds that share a target
/// folder, as with `CARGO_TARGET_DIR`, take crates of one name for the same.
fn a_crate(lib: &str, source: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let name: String =
        folder.path().file_name().unwrap().to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect();
    let manifest = format!(
        "[package]\nname = \"guest_{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\n{lib}\n[workspace]\n"
    );
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("src/lib.rs"), source).unwrap();
    folder
}

const CDYLIB: &str = "crate-type = [\"cdylib\"]";

fn error_of(folder: &Path) -> BuildError {
    let error = build_component(folder, None).unwrap_err();
    // Whoever runs the tests without the target is told what to do, in the words that users get.
    assert!(!matches!(error, BuildError::NoTarget), "{error}\nHint: {}", error.hint().unwrap_or_default());
    error
}

#[test]
fn the_example_becomes_a_component_with_the_contracts_imports_alone() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("shop.wasm");
    let built = build_component(&example(), Some(&path))
        .unwrap_or_else(|error| panic!("{error}\nHint: {}", error.hint().unwrap_or_default()));
    assert_eq!(built.name, "orders");
    assert!(built.imports.iter().all(|import| import.starts_with("pelton:transform/")), "{:?}", built.imports);
    assert!(built.imports.iter().any(|import| import == "pelton:transform/state@0.1.0"), "{:?}", built.imports);
    let line = built.to_string();
    assert!(line.ends_with("reads public.orders, publishes orders 1.0, customer_totals 1.0."), "{line}");
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(built.bytes, bytes.len() as u64);
    assert_eq!(bytes[..8], *b"\0asm\x0d\0\x01\0", "a component, not a core module");
}

#[test]
fn a_folder_without_a_project_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(error_of(folder.path()), BuildError::NotAProject { dir } if dir == folder.path()));
}

#[test]
fn the_projects_own_settings_of_cargo_count() {
    let folder = a_crate(CDYLIB, "");
    std::fs::create_dir(folder.path().join(".cargo")).unwrap();
    std::fs::write(folder.path().join(".cargo/config.toml"), "[").unwrap();
    let error = error_of(folder.path());
    assert!(error.to_string().contains("config.toml"), "{error}");
}

#[test]
fn what_cargo_says_of_a_broken_manifest_is_passed_on() {
    let folder = a_crate("crate-type = 5", "");
    let error = error_of(folder.path()).to_string();
    assert!(error.contains("crate-type") && error.contains("Cargo.toml"), "{error}");
}

#[test]
fn a_crate_that_is_no_cdylib_is_told_to_become_one() {
    let error = error_of(a_crate("", "").path());
    assert!(error.hint().unwrap().contains("crate-type = [\"cdylib\", \"rlib\"]"), "{error}");
}

#[test]
fn a_crate_that_does_not_compile_is_no_component() {
    let error = error_of(a_crate(CDYLIB, "fn f() -> u8 { \"\" }").path());
    assert!(matches!(&error, BuildError::Compile { name, .. } if name.starts_with("guest_")), "{error}");
}

#[test]
fn a_crate_that_is_no_transform_is_told_what_it_lacks() {
    let error = error_of(a_crate(CDYLIB, "#[unsafe(no_mangle)] pub extern \"C\" fn f() {}").path());
    assert!(matches!(&error, BuildError::NoWorld { library, .. } if library.starts_with("guest_")), "{error}");
}

#[test]
fn imports_that_nobody_serves_are_listed() {
    let source = "#[link(wasm_import_module = \"wasi:sockets/tcp@0.2.0\")] unsafe extern \"C\" { fn connect(); }\n\
                  unsafe extern \"C\" { fn clock() -> i64; }\n\
                  #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i64 { unsafe { connect(); clock() } }";
    let error = error_of(a_crate(CDYLIB, source).path());
    let BuildError::Imports { mut imports, .. } = error else { panic!("{error}") };
    imports.sort();
    assert_eq!(imports, ["env.clock", "wasi:sockets/tcp@0.2.0.connect"]);
}

/// A folder with one C source.
fn c_source(source: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("shop.c"), source).unwrap();
    folder
}

#[test]
fn c_without_the_sdk_is_told_where_it_is() {
    let folder = c_source("int f(void) { return 1; }");
    let error = error_of(folder.path());
    assert!(matches!(&error, BuildError::NoSdk { dir, .. } if dir == folder.path()), "{error}");
    assert!(error.hint().unwrap().contains("compile_flags.txt"), "{error}");
}

#[test]
fn c_that_does_not_compile_is_no_component() {
    let folder = c_source("#include <pelton.h>\nint f(void) { return no_such_thing; }");
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("guest-sdk/c");
    std::fs::write(folder.path().join("compile_flags.txt"), format!("-I{}\n", sdk.display())).unwrap();
    let error = error_of(folder.path());
    assert!(matches!(&error, BuildError::Compile { name, tool: "clang", .. } if name == "shop"), "{error}");
}

#[test]
fn a_module_of_no_world_is_told_what_to_export() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("shop.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
    let error = error_of(&module);
    assert!(error.hint().is_some_and(|hint| hint.contains("without-sdk.md")), "{error}");
}
