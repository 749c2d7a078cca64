//! The engine, and components as they are loaded.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use wasmtime::component::{self, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bindings::{self, TransformerPre, TypedTransformerPre};
use super::cache::Cache;
use super::error::Cause;
use super::instance::Instance;
use super::limits::{CORE_INSTANCES_MAX, GUEST_STACK_BYTES, TABLE_ELEMENTS_MAX};
use super::output::Schemas;
use super::sandbox::Sandbox;
use super::ticker::Ticker;
use super::{Descriptor, Limits, WasmError, World, describe, wasi};

/// Where the host keeps what it compiled.
#[derive(Clone, Debug, Default)]
pub struct HostOptions {
    /// A folder of the user's cache; `None` compiles every time.
    pub cache_dir: Option<PathBuf>,
}

impl HostOptions {
    /// Returns the options with the user's cache folder: `$XDG_CACHE_HOME/pelton` or `~/.cache/pelton`.
    pub fn for_user() -> HostOptions {
        let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
        HostOptions { cache_dir: cache.map(|cache| cache.join("pelton")) }
    }
}

/// The engine that compiles and runs components, its clock and its cache. One for the process.
pub struct Host {
    engine: Engine,
    linker: Arc<Linker<Sandbox>>,
    ticker: Arc<Ticker>,
    cache: Option<Cache>,
}

/// Linear memories of all instances together. Each reserves 4 GiB of addresses, and no memory.
const MEMORIES_MAX: u32 = 256;
/// The same for candidates.
const CANDIDATE_MEMORIES_MAX: u32 = 96;

impl Host {
    /// Sets up the engine. A cache that can't be used is left out, with a warning in the log.
    pub fn new(options: HostOptions) -> Result<Host, WasmError> {
        Host::with_memories(options, MEMORIES_MAX)
    }

    /// Sets up an engine whose instances take nothing from those of another one: for components that are tried out while
    /// others run.
    pub fn for_candidates(options: HostOptions) -> Result<Host, WasmError> {
        Host::with_memories(options, CANDIDATE_MEMORIES_MAX)
    }

    fn with_memories(options: HostOptions, memories_max: u32) -> Result<Host, WasmError> {
        let engine = engine(memories_max).map_err(|error| WasmError::Engine { source: Cause(error) })?;
        let linker = linker(&engine).map_err(|error| WasmError::Engine { source: Cause(error) })?;
        let ticker = Ticker::start(&engine)?;
        let cache = options.cache_dir.and_then(|folder| {
            let cache = Cache::open(&folder, &engine);
            let warn = |error: &_| {
                let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
                tracing::warn!("compiled components are not kept: {error}{cause}");
            };
            cache.inspect_err(warn).ok()
        });
        Ok(Host { engine, linker: Arc::new(linker), ticker: Arc::new(ticker), cache })
    }

    /// Compiles a component or takes it from the cache, checks its world and imports, and describes it on a throw-away
    /// instance under `limits`. Blocks for as long as that takes (seconds for JavaScript and Python).
    ///
    /// `name` stands in messages.
    pub fn load(&self, bytes: &[u8], name: &str, limits: Limits) -> Result<Component, WasmError> {
        check_header(bytes, name)?;
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        let started = Instant::now();
        let cached = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, &digest));
        let from_cache = cached.is_some();
        let compiled = match cached {
            Some(compiled) => compiled,
            None => {
                let compiled = component::Component::from_binary(&self.engine, bytes)
                    .map_err(|error| WasmError::Invalid { name: name.to_owned(), source: Cause(error) })?;
                if let Some(cache) = &self.cache {
                    cache.store(&digest, &compiled);
                }
                compiled
            }
        };
        let compile_time = started.elapsed();
        let imports = self.check_imports(&compiled, name)?;
        let (world, pre) = self.prepare(&compiled, name)?;
        let mut component = Component {
            shared: Arc::new(Shared {
                engine: self.engine.clone(),
                ticker: self.ticker.clone(),
                pre,
                world,
                digest,
                imports,
                from_cache,
                compile_time,
            }),
            described: None,
        };
        let described = Instance::describe(&component, &name.into(), limits)
            .map_err(|error| WasmError::Describe { name: name.to_owned(), source: Box::new(error) })?;
        let descriptor = describe::checked(described, world)
            .map_err(|problems| WasmError::Descriptor { name: name.to_owned(), problems })?;
        let schemas = Schemas::new(&descriptor.public_schemas);
        component.described = Some(Arc::new(Described { descriptor, schemas }));
        Ok(component)
    }

    /// Returns the imports, sorted, if all of them are served.
    fn check_imports(&self, compiled: &component::Component, name: &str) -> Result<Vec<String>, WasmError> {
        let component_type = compiled.component_type();
        let mut imports: Vec<String> = component_type.imports(&self.engine).map(|(name, _)| name.to_owned()).collect();
        imports.sort();
        let is_served = |import: &str| {
            wasi::SERVED.iter().any(|served| import.starts_with(served)) && import.contains("@0.2.")
                || import.starts_with("pelton:transform/")
        };
        let refused: Vec<String> = imports.iter().filter(|import| !is_served(import)).cloned().collect();
        if !refused.is_empty() {
            return Err(WasmError::Imports { name: name.to_owned(), imports: refused });
        }
        Ok(imports)
    }

    /// Finds the world of a component and links it.
    fn prepare(&self, compiled: &component::Component, name: &str) -> Result<(World, Pre), WasmError> {
        let exports = |interface: &str| compiled.get_export_index(None, interface).is_some();
        let world = match (exports(PACKED), exports(TYPED)) {
            (true, _) => World::Packed,
            (false, true) => World::Typed,
            (false, false) => {
                let export = format!("{PACKED}` or `{TYPED}");
                return Err(WasmError::Export { name: name.to_owned(), export });
            }
        };
        if !exports(LIFECYCLE) {
            return Err(WasmError::Export { name: name.to_owned(), export: LIFECYCLE.to_owned() });
        }
        let link = || -> wasmtime::Result<Pre> {
            let linked = self.linker.instantiate_pre(compiled)?;
            Ok(match world {
                World::Packed => Pre::Packed(TransformerPre::new(linked)?),
                World::Typed => Pre::Typed(TypedTransformerPre::new(linked)?),
            })
        };
        let pre = link().map_err(|error| WasmError::Interface { name: name.to_owned(), source: Cause(error) })?;
        Ok((world, pre))
    }
}

const LIFECYCLE: &str = "pelton:transform/lifecycle@0.1.0";
const PACKED: &str = "pelton:transform/packed@0.1.0";
const TYPED: &str = "pelton:transform/typed@0.1.0";

/// Tells a component from everything else by its first bytes.
fn check_header(bytes: &[u8], name: &str) -> Result<(), WasmError> {
    let name = name.to_owned();
    match bytes {
        // Version 13, layer 1.
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(WasmError::CoreModule { name }),
        text if text.trim_ascii_start().starts_with(b"(component")
            || text.trim_ascii_start().starts_with(b"(module") =>
        {
            Err(WasmError::TextFormat { name })
        }
        _ => Err(WasmError::NotWebAssembly { name }),
    }
}

fn engine(memories_max: u32) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_nan_canonicalization(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .max_wasm_stack(GUEST_STACK_BYTES)
        .wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Enable);
    let mut pool = PoolingAllocationConfig::new();
    pool.linear_memory_keep_resident(0)
        .table_keep_resident(0)
        .max_unused_warm_slots(0)
        .total_memories(memories_max)
        .total_tables(memories_max * 4)
        .total_core_instances(memories_max * 16)
        .total_component_instances(memories_max)
        .max_core_instances_per_component(CORE_INSTANCES_MAX as u32)
        .max_memories_per_component(CORE_INSTANCES_MAX as u32)
        .max_tables_per_component(CORE_INSTANCES_MAX as u32)
        .max_component_instance_size(8 << 20)
        .max_core_instance_size(8 << 20)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(1 << 32);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config).or_else(|error| {
        // A limit on addresses (ulimit -v) leaves no room for the pool; guests run without it, and start slower.
        tracing::warn!(%error, "no address space for a pool of guest memories; running without");
        config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
        Engine::new(&config)
    })
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    wasi::add_to_linker(&mut linker)?;
    bindings::types::add_to_linker::<_, bindings::HasSelf>(&mut linker, |sandbox| sandbox)?;
    bindings::host::add_to_linker::<_, bindings::HasSelf>(&mut linker, |sandbox| sandbox)?;
    bindings::state::add_to_linker::<_, bindings::HasSelf>(&mut linker, |sandbox| sandbox)?;
    Ok(linker)
}

/// A component that is linked and ready to be instantiated.
pub(super) enum Pre {
    Packed(TransformerPre<Sandbox>),
    Typed(TypedTransformerPre<Sandbox>),
}

struct Shared {
    engine: Engine,
    ticker: Arc<Ticker>,
    pre: Pre,
    world: World,
    digest: [u8; 32],
    imports: Vec<String>,
    from_cache: bool,
    compile_time: Duration,
}

struct Described {
    descriptor: Descriptor,
    schemas: Schemas,
}

/// A compiled and checked component. Cheap to clone.
#[derive(Clone)]
pub struct Component {
    shared: Arc<Shared>,
    /// Absent only while [`Host::load`] describes it.
    described: Option<Arc<Described>>,
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component").field("digest", &hex::encode(self.shared.digest)).finish_non_exhaustive()
    }
}

impl Component {
    fn described(&self) -> &Described {
        self.described.as_ref().expect("`load` describes a component before anybody has it")
    }

    pub fn descriptor(&self) -> &Descriptor {
        &self.described().descriptor
    }

    /// Returns the SHA-256 of the component's bytes.
    pub fn digest(&self) -> [u8; 32] {
        self.shared.digest
    }

    /// Returns the interfaces that the component imports, sorted.
    pub fn imports(&self) -> &[String] {
        &self.shared.imports
    }

    pub fn world(&self) -> World {
        self.shared.world
    }

    pub fn compiled_from_cache(&self) -> bool {
        self.shared.from_cache
    }

    /// Returns how long compiling took, or loading from the cache.
    pub fn compile_time(&self) -> Duration {
        self.shared.compile_time
    }

    pub(super) fn schemas(&self) -> &Schemas {
        &self.described().schemas
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(super) fn ticker(&self) -> &Ticker {
        &self.shared.ticker
    }

    pub(super) fn pre(&self) -> &Pre {
        &self.shared.pre
    }
}
