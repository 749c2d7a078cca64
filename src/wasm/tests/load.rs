//! What is loaded and what is not, and the cache.

use std::os::unix::fs::PermissionsExt;

use super::guest::Guest;
use super::*;
use crate::wasm::{Encoding, World};

fn refused(bytes: &[u8]) -> String {
    let error = HOST.load(bytes, "orders.wasm", Limits::default()).expect_err("it is refused");
    told(&error, error.hint())
}

#[test]
fn a_component_says_what_it_is() {
    let component = load(Guest { stateful: true, ops: &[0, 2], subscribed: &["v"], ..Guest::default() });
    let descriptor = component.descriptor();
    assert_eq!((&descriptor.name[..], &descriptor.version[..]), ("guest", "0.1.0"));
    assert_eq!((component.world(), descriptor.encoding), (World::Packed, Encoding::MessagePack));
    assert_eq!((descriptor.stateful, descriptor.state_version, descriptor.parallel), (true, 7, false));
    assert_eq!(descriptor.subscriptions[0].ops, [Op::Insert, Op::Delete]);
    assert_eq!(descriptor.subscriptions[0].columns, ["v"]);
    let columns: Vec<_> =
        descriptor.public_schemas[0].columns.iter().map(|c| (&*c.name, c.kind.clone(), c.key)).collect();
    assert_eq!(columns, [("id", Kind::Int64, true), ("v", Kind::Text, false)]);
    assert!(!component.compiled_from_cache());
}

#[test]
fn what_is_no_transform_is_refused_with_what_to_do() {
    assert_eq!(
        refused(&Guest::default().module()),
        "`orders.wasm` is a core module, not a component [componentise it with `pelton build`]"
    );
    assert!(refused(b"#!/bin/sh").starts_with("`orders.wasm` is not WebAssembly"));
    assert!(refused(b"").starts_with("`orders.wasm` is not WebAssembly"));
    assert!(refused(b"(component)").starts_with("`orders.wasm` is WebAssembly as text"));
    let mut cut = Guest::default().component();
    cut.truncate(cut.len() / 2);
    assert!(refused(&cut).starts_with("`orders.wasm` is not a valid component / "));
    let empty = wat::parse_str("(component)").unwrap();
    assert_eq!(
        refused(&empty),
        "`orders.wasm` is not a transform: it does not export `pelton:transform/packed@0.1.0` or \
         `pelton:transform/typed@0.1.0` [build it for the world `transformer` or `typed-transformer` of transform.wit]"
    );
    let half =
        wat::parse_str(r#"(component (instance $i) (export "pelton:transform/packed@0.1.0" (instance $i)))"#).unwrap();
    assert!(refused(&half).contains("does not export `pelton:transform/lifecycle@0.1.0`"));
    let other_types = wat::parse_str(
        r#"(component (instance $i)
             (export "pelton:transform/packed@0.1.0" (instance $i))
             (export "pelton:transform/lifecycle@0.1.0" (instance $i)))"#,
    )
    .unwrap();
    assert!(refused(&other_types).starts_with("`orders.wasm` was built for another version of Pelton's interface / "));
}

#[test]
fn imports_that_the_sandbox_does_not_serve_are_listed() {
    let wanting = wat::parse_str(
        r#"(component
             (import "wasi:sockets/tcp@0.2.0" (instance))
             (import "wasi:http/types@0.2.3" (instance))
             (import "wasi:cli/stdout@0.2.0" (instance))
             (import "env" (instance)))"#,
    )
    .unwrap();
    let text = refused(&wanting);
    assert!(
        text.starts_with("`orders.wasm` imports what the sandbox does not serve: env, wasi:http/types@0.2.3, wasi:sockets/tcp@0.2.0 [a transform reaches no network"),
        "{text}"
    );
}

#[test]
fn a_component_that_fails_to_describe_itself_is_refused() {
    let limits = Limits { timeout_ms: 50, ..Limits::default() };
    let bytes = Guest { describe: "(loop $forever (br $forever))", ..Guest::default() }.component();
    let error = HOST.load(&bytes, "orders.wasm", limits).unwrap_err();
    let text = told(&error, error.hint());
    assert!(text.starts_with("`orders.wasm` can't be described / transform `orders.wasm` ran for 5"), "{text}");
    assert!(text.contains("in `describe`; limit 50 ms"), "{text}");
    let bytes = Guest { columns: &[], ..Guest::default() }.component();
    assert!(refused(&bytes).contains("describes itself wrongly: public schema `t` has 0 columns"));
}

#[test]
fn no_bytes_make_loading_panic() {
    // Every byte of a component broken once, coarsely: the parser's own tests are finer.
    let whole = Guest::default().component();
    for at in (0..whole.len()).step_by(97) {
        let mut broken = whole.clone();
        broken[at] ^= 0x55;
        let _ = HOST.load(&broken, "broken", Limits::default());
    }
}

#[test]
fn compiled_code_is_kept_and_a_file_that_is_not_ours_is_never_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let host = || Host::new(HostOptions { cache_dir: Some(folder.path().join("pelton")) }).unwrap();
    let bytes = Guest::default().component();
    let from_cache = |host: &Host| host.load(&bytes, "orders", Limits::default()).unwrap().compiled_from_cache();
    assert!(!from_cache(&host()));
    assert!(from_cache(&host()), "a second start");
    let compiled = folder.path().join("pelton/compiled");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&compiled), 0o700);
    let files = || std::fs::read_dir(&compiled).unwrap().map(|entry| entry.unwrap().path());
    assert!(files().all(|file| mode(&file) == 0o600));
    let code = files().find(|file| file.file_name().unwrap() != "key").unwrap();
    let whole = std::fs::read(&code).unwrap();
    // Any byte of it changed, cut short, or empty: compiled anew, and whole again afterwards.
    for at in [0, 31, 32, whole.len() / 2, whole.len() - 1] {
        let mut broken = whole.clone();
        broken[at] ^= 1;
        std::fs::write(&code, broken).unwrap();
        assert!(!from_cache(&host()), "byte {at}");
        assert!(from_cache(&host()), "mended after byte {at}");
    }
    for length in [0, 10, 32, whole.len() - 1] {
        std::fs::write(&code, &whole[..length]).unwrap();
        assert!(!from_cache(&host()), "{length} bytes");
    }
    // Under another name the same file is that of another component.
    let other = Guest { data: "x", ..Guest::default() }.component();
    let name = code.file_name().unwrap().to_str().unwrap();
    let digest = host().load(&other, "other", Limits::default()).unwrap().digest();
    let other_file = compiled.join(format!("{}{}", hex::encode(digest), &name[64..]));
    assert!(other_file.exists());
    std::fs::copy(&code, &other_file).unwrap();
    assert!(!host().load(&other, "other", Limits::default()).unwrap().compiled_from_cache());
    // A key that somebody else may read protects nothing.
    std::fs::set_permissions(compiled.join("key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!from_cache(&host()));
    std::fs::set_permissions(compiled.join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(from_cache(&host()));
    std::fs::set_permissions(&compiled, std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!from_cache(&host()));
}
