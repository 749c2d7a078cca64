//! The engine, and components as they are loaded.

use std::path::PathBuf;
use std::time::Duration;

use super::{Descriptor, Limits, WasmError, World};

/// Where the host keeps what it compiled.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// A folder of the user's cache; `None` compiles every time.
    pub cache_dir: Option<PathBuf>,
}

/// The engine that compiles and runs components, its clock and its cache. One for the process.
pub struct Host {}

impl Host {
    pub fn new(_options: HostOptions) -> Result<Host, WasmError> {
        todo!()
    }

    /// Compiles a component or takes it from the cache, checks its world and imports, and describes it on a throw-away
    /// instance under `limits`. Blocks for as long as that takes (seconds for JavaScript and Python).
    ///
    /// `name` stands in messages.
    pub fn load(&self, _bytes: &[u8], _name: &str, _limits: Limits) -> Result<Component, WasmError> {
        todo!()
    }
}

/// A compiled and checked component. Cheap to clone.
#[derive(Clone)]
pub struct Component {}

impl Component {
    pub fn descriptor(&self) -> &Descriptor {
        todo!()
    }

    /// Returns the SHA-256 of the component's bytes.
    pub fn digest(&self) -> [u8; 32] {
        todo!()
    }

    /// Returns the interfaces that the component imports, sorted.
    pub fn imports(&self) -> &[String] {
        todo!()
    }

    pub fn world(&self) -> World {
        todo!()
    }

    pub fn compiled_from_cache(&self) -> bool {
        todo!()
    }

    /// Returns how long compiling took, or loading from the cache.
    pub fn compile_time(&self) -> Duration {
        todo!()
    }
}
