//! From a core module to a component, in this process.
//!
//! The module's custom section holds the world that it was written for, put there by the SDK's bindings. Whatever it
//! imports beyond that world has nobody to answer it: it is refused here, rather than when it is deployed.

use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Resolve, WorldItem, WorldKey};

use super::error::BuildError;

/// What the exports of a transform begin with.
const CONTRACT: &str = "pelton:transform/";

/// A component, and the interfaces that it imports.
#[derive(Debug)]
pub struct Made {
    pub bytes: Vec<u8>,
    pub imports: Vec<String>,
}

/// Makes a component of the core module `module`.
///
/// # Errors
/// When it was written for no world, or another one, or imports what the sandbox does not serve.
pub fn of_module(library: &str, module: &[u8]) -> Result<Made, BuildError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| BuildError::Component {
        library: library.to_owned(),
        source,
    };
    let strangers = strangers(module).map_err(|e| failed(e.into()))?;
    if !strangers.is_empty() {
        return Err(BuildError::Imports { library: library.to_owned(), imports: strangers });
    }
    let bytes = ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|mut encoder| encoder.encode())
        .map_err(|e| failed(e.into()))?;
    let decoded = wit_component::decode(&bytes).map_err(|e| failed(e.into()))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        return Err(BuildError::NoWorld { library: library.to_owned() });
    };
    let names = |items: &mut dyn Iterator<Item = (&WorldKey, &WorldItem)>| -> Vec<String> {
        items.map(|(key, _)| name_of(&resolve, key)).collect()
    };
    let world = &resolve.worlds[world];
    let (imports, exports) = (names(&mut world.imports.iter()), names(&mut world.exports.iter()));
    let exported = |interface: &str| exports.iter().any(|name| name.starts_with(&format!("{CONTRACT}{interface}@")));
    if !exported("lifecycle") || !(exported("packed") || exported("typed")) {
        return Err(BuildError::NoWorld { library: library.to_owned() });
    }
    Ok(Made { bytes, imports })
}

fn name_of(resolve: &Resolve, key: &WorldKey) -> String {
    resolve.name_world_key(key)
}

/// Returns what the module imports from elsewhere than an interface that the sandbox serves.
fn strangers(module: &[u8]) -> Result<Vec<String>, wasmparser::BinaryReaderError> {
    let mut strangers = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(module) {
        let wasmparser::Payload::ImportSection(section) = payload? else { continue };
        for import in section.into_imports() {
            let import = import?;
            if !is_served(import.module) {
                let name = format!("{}.{}", import.module, import.name);
                if !strangers.contains(&name) {
                    strangers.push(name);
                }
            }
        }
    }
    Ok(strangers)
}

/// WASI 0.2 is there with nothing behind it, except for what could only be meant to reach a network.
fn is_served(interface: &str) -> bool {
    let refused = ["wasi:sockets/", "wasi:http/"];
    interface.starts_with(CONTRACT)
        || (interface.starts_with("wasi:") && !refused.iter().any(|prefix| interface.starts_with(prefix)))
}
