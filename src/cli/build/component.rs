//! From what a language's tools made to a component, in this process.
//!
//! A core module's custom section holds the world that it was written for, put there by the SDK's bindings or, where a
//! language's linker can't, by us. What it asks of WASI preview 1 is answered by the adapter of wasmtime's authors,
//! which asks WASI 0.2 in turn; the sandbox serves that, with nothing behind it. Go has an adapter of our own, `deny.wat`.
//! Whatever else it imports has nobody to answer it: it is refused here, rather than when it is deployed.

use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::{Resolve, WorldItem, WorldKey};

use super::error::BuildError;
use super::lang::{Code, Language};

/// The contract that transforms are written for.
const WIT: &str = include_str!("../../../wit/transform.wit");

/// What the exports of a transform begin with.
const CONTRACT: &str = "pelton:transform/";

/// The module that stock toolchains import for WASI preview 1.
const PREVIEW_1: &str = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME;

/// What Go asks of WASI preview 1 is answered here, in a few functions without state.
///
/// Go's runtime grows its memory and takes what lies behind its heap for its own, whoever made it grow (`sbrk` in
/// `runtime/mem_wasm.go`). The adapter of wasmtime's authors has its state in such memory, and would be overwritten.
const DENY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/deny.wasm"));

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A component, and the interfaces that it imports.
#[derive(Debug)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub imports: Vec<String>,
}

/// Makes a component of what was compiled.
///
/// # Errors
/// When it was written for no world, or another one, or imports what the sandbox does not serve.
pub fn of_code(name: &str, language: Language, code: Code) -> Result<Made, BuildError> {
    let failed = |source: Cause| BuildError::Component { library: name.to_owned(), source };
    let refused = |imports| BuildError::Imports { library: name.to_owned(), language, imports };
    let bytes = match code {
        Code::Component(bytes) => bytes,
        Code::Module(module) => encoded(&module, adapter(language), refused, failed)?,
        Code::ModuleOf(world, mut module) => {
            embed(world, &mut module).map_err(failed)?;
            encoded(&module, adapter(language), refused, failed)?
        }
    };
    let decoded = wit_component::decode(&bytes).map_err(|e| failed(e.into()))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(BuildError::NoWorld { library: name.to_owned(), language });
    };
    let names = |items: &mut dyn Iterator<Item = (&WorldKey, &WorldItem)>| -> Vec<String> {
        items.map(|(key, _)| name_of(&resolve, key)).collect()
    };
    let world = &resolve.worlds[world];
    let (imports, exports) = (names(&mut world.imports.iter()), names(&mut world.exports.iter()));
    let exported = |interface: &str| exports.iter().any(|name| name.starts_with(&format!("{CONTRACT}{interface}@")));
    if !exported("lifecycle") || !(exported("packed") || exported("typed")) {
        return Err(BuildError::NoWorld { library: name.to_owned(), language });
    }
    let strangers: Vec<_> = imports.iter().filter(|import| !is_served(import)).cloned().collect();
    if strangers.is_empty() { Ok(Made { bytes, imports }) } else { Err(refused(strangers)) }
}

/// Writes into the module that it is one of the world `world`.
fn embed(world: &str, module: &mut Vec<u8>) -> Result<(), Cause> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("transform.wit", WIT)?;
    let world = resolve.select_world(&[package], Some(world))?;
    wit_component::embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)?;
    Ok(())
}

/// What answers WASI preview 1 for a language.
fn adapter(language: Language) -> &'static [u8] {
    match language {
        Language::Go => DENY,
        _ => wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
    }
}

fn encoded(
    module: &[u8],
    adapter: &[u8],
    refused: impl FnOnce(Vec<String>) -> BuildError,
    failed: impl Fn(Cause) -> BuildError,
) -> Result<Vec<u8>, BuildError> {
    let imports = modules_imported(module).map_err(|e| failed(e.into()))?;
    let is_strange = |module: &str, import: &str| match module {
        PREVIEW_1 => import[PREVIEW_1.len()..].starts_with(".sock_"),
        other => !is_served(other),
    };
    let strange = imports.iter().filter(|(module, import)| is_strange(module, import));
    let strangers: Vec<_> = strange.map(|(_, import)| import.clone()).collect();
    if !strangers.is_empty() {
        return Err(refused(strangers));
    }
    let encoder = ComponentEncoder::default().validate(true).module(module);
    let encoded = encoder.and_then(|encoder| {
        let mut encoder = match imports.iter().any(|(module, _)| *module == PREVIEW_1) {
            // Its memory grows for what the host hands to the adapter: the guest's own allocator may not run yet.
            true => encoder.adapter(PREVIEW_1, adapter)?.realloc_via_memory_grow(true),
            false => encoder,
        };
        encoder.encode()
    });
    encoded.map_err(|e| failed(e.into()))
}

fn name_of(resolve: &Resolve, key: &WorldKey) -> String {
    resolve.name_world_key(key)
}

/// Returns what the module imports: from which module, and the whole name, each once.
fn modules_imported(module: &[u8]) -> Result<Vec<(&str, String)>, wasmparser::BinaryReaderError> {
    let mut imports = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let wasmparser::Payload::ImportSection(section) = payload? else { continue };
        for import in section.into_imports() {
            let import = import?;
            let named = (import.module, format!("{}.{}", import.module, import.name));
            if !imports.contains(&named) {
                imports.push(named);
            }
        }
    }
    Ok(imports)
}

/// WASI 0.2 is there with nothing behind it, except for what could only be meant to reach a network.
fn is_served(interface: &str) -> bool {
    let refused = ["wasi:sockets/", "wasi:http/"];
    interface.starts_with(CONTRACT)
        || (interface.starts_with("wasi:") && !refused.iter().any(|prefix| interface.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_adapter_is_made_of_its_text() {
        assert!(wat::parse_str(include_str!("deny.wat")).unwrap() == DENY, "deny.wasm is not made of deny.wat");
    }

    #[test]
    fn the_adapter_has_no_memory_and_no_state_that_a_runtime_could_overwrite() {
        for payload in wasmparser::Parser::new(0).parse_all(DENY) {
            let payload = payload.unwrap();
            let has_state = matches!(
                payload,
                wasmparser::Payload::MemorySection(_)
                    | wasmparser::Payload::GlobalSection(_)
                    | wasmparser::Payload::DataSection(_)
            );
            assert!(!has_state, "{payload:?}");
        }
    }
}
