//! The WebAssembly host: runs transforms that nobody has to trust.

mod bindings;
mod descriptor;
mod error;
mod float;
mod host;
mod input;
mod limits;
mod output;
mod relation;
mod settings;
mod state;
mod text;
mod transform;

pub use descriptor::{Descriptor, Encoding, Setting, Subscription, World};
pub use error::{Call, Cause, GuestError, Place, StateError, WasmError};
pub use host::{Component, Host, HostOptions};
pub use limits::{INSTANCES_MAX, Limits};
pub use output::OutputFault;
pub use settings::{SettingProblem, check_settings};
pub use state::StateStore;
pub use transform::{Options, Output, Pending, Transform};
