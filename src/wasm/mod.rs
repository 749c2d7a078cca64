//! The WebAssembly host: runs transforms that nobody has to trust.

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
pub use transform::{Options, Output, Pending, Transform};
