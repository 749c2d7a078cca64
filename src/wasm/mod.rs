//! The WebAssembly host: runs transforms that nobody has to trust.
//!
//! [`Host::load`] compiles a component (or takes it from the cache), refuses what the sandbox does not serve and lets it
//! describe itself. [`Transform::start`] runs it: each instance on an OS thread of its own, a batch of changes in, an
//! [`Output`] of rows, rejections and writes into state out. The module knows nothing of Postgres.
//!
//! ```text
//! Batch → plans (relation) → parts (part) → bytes (input) → guest (instance, sandbox) → checked rows (output) → Output
//!                               ↑________ cut in two after a trap, a limit or a wrong result (run) ________|
//! ```
//!
//! # What a guest can do
//! Compute, for as long as its limit says, in as much memory as its limit says, on what it is handed; log, within
//! bounds; read and write its own state. The clock it sees is the commit time of the changes, its randomness is made of
//! their position, and behind WASI there is nothing ([`wasi`]). Whatever it returns is checked to the last byte before
//! it becomes a row ([`output`]), and what the host holds on its behalf is bounded too ([`limits`]): lists that alias
//! one another, state that is written without end, rows of six bytes.
//!
//! # What is promised to the sink
//! Rows come in the order of their sources. Nothing of a call that failed is kept. State is handed out with the rows
//! that it belongs to, and a later batch sees it before it is committed ([`state`]).

mod bindings;
mod cache;
mod describe;
mod descriptor;
mod error;
mod float;
mod host;
mod input;
mod instance;
mod limits;
mod log;
mod output;
mod part;
mod relation;
mod route;
mod run;
mod sandbox;
mod settings;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod ticker;
mod transform;
#[cfg(test)]
mod vectors;
mod wasi;
mod worker;

pub use descriptor::{Descriptor, Encoding, Setting, Subscription, World};
pub use error::{Call, Cause, GuestError, Place, StateError, WasmError};
pub use host::{Component, Host, HostOptions};
pub use limits::{INSTANCES_MAX, Limits};
pub use output::OutputFault;
pub use settings::{SettingProblem, check_settings};
pub use state::StateStore;
pub use transform::{Options, Output, Pending, Transform, check_instances};
