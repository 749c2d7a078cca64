//! Any other language: a core module that its own tools have made.
//!
//! Its exports tell the world of the contract that it was written for. Bindings that wit-bindgen made say so themselves.

use std::path::{Path, PathBuf};

use super::{Code, Compiled};
use crate::cli::build::error::BuildError;

/// Takes the core module in the file `path`; what is made of it goes beside it, under `<name>.component.wasm`.
///
/// # Errors
/// When it can't be read.
pub fn take(path: &Path) -> Result<Compiled, BuildError> {
    let bytes = super::read(path)?;
    let name = path.file_stem().map_or_else(|| "transform".to_owned(), |stem| stem.to_string_lossy().into_owned());
    Ok(Compiled { name, code: code(bytes) })
}

/// Where the component of the module in `path` goes: not over the module.
pub fn component_of(path: &Path) -> PathBuf {
    path.with_extension("component.wasm")
}

/// What is known of a file before it is made a component.
enum Kind {
    Component,
    /// A core module that says itself for which world it was written, or nothing at all.
    Module,
    ModuleOf(&'static str),
}

fn code(bytes: Vec<u8>) -> Code {
    match kind(&bytes) {
        Kind::Component => Code::Component(bytes),
        Kind::Module => Code::Module(bytes),
        Kind::ModuleOf(world) => Code::ModuleOf(world, bytes),
    }
}

fn kind(bytes: &[u8]) -> Kind {
    let mut kind = Kind::Module;
    for payload in wasmparser::Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(wasmparser::Payload::Version { encoding: wasmparser::Encoding::Component, .. }) => {
                return Kind::Component;
            }
            Ok(wasmparser::Payload::CustomSection(section)) if section.name().starts_with("component-type") => {
                return Kind::Module;
            }
            Ok(wasmparser::Payload::ExportSection(exports)) => {
                let mut names = exports.into_iter().flatten().map(|export| export.name);
                if let Some(world) = names.find_map(world_of) {
                    kind = Kind::ModuleOf(world);
                }
            }
            Ok(_) => {}
            // What is no module is told so where it is made a component.
            Err(_) => break,
        }
    }
    kind
}

fn world_of(export: &str) -> Option<&'static str> {
    let (interface, _) = export.strip_prefix("pelton:transform/")?.split_once('@')?;
    match interface {
        "packed" => Some("transformer"),
        "typed" => Some("typed-transformer"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_exports_tells_its_world() {
        // (module (func) (export NAME (func 0)))
        let module = |export: &str| {
            let mut bytes = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0".to_vec();
            bytes.extend([7, export.len() as u8 + 4, 1, export.len() as u8]);
            bytes.extend_from_slice(export.as_bytes());
            bytes.extend(b"\0\0\x0a\x04\x01\x02\0\x0b");
            bytes
        };
        let world = |export: &str| match code(module(export)) {
            Code::ModuleOf(world, _) => world,
            Code::Module(_) => "its own section's",
            Code::Component(_) => "a component's",
        };
        assert_eq!(world("pelton:transform/typed@0.1.0#process"), "typed-transformer");
        assert_eq!(world("pelton:transform/packed@0.1.0#process"), "transformer");
        assert_eq!(world("main"), "its own section's");
        let mut said = module("pelton:transform/typed@0.1.0#process");
        said.extend(b"\0\x0f\x0ecomponent-type");
        assert!(matches!(code(said), Code::Module(_)));
        assert!(matches!(code(b"\0asm\x0d\0\x01\0".to_vec()), Code::Component(_)));
        assert_eq!(component_of(Path::new("a/shop.wasm")), Path::new("a/shop.component.wasm"));
    }
}
