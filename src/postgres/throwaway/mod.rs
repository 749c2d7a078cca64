//! Throwaway PostgreSQL servers, for `pelton demo` and the tests.
//!
//! A [`Server`] has its own folder, port, unix socket and account, and is gone without a trace when it is dropped. The
//! hard part is to leave nothing behind when nobody is left to drop it: a panic, Ctrl-C or even SIGKILL of our process.
//! So the server is not our child. A small shell, the keeper, starts it and reads a pipe whose other end only we hold;
//! the kernel closes that end however we die, and the keeper then stops the server and removes the folder.
//!
//! PostgreSQL refuses to run as root. Started by root, the server runs as an unprivileged account that owns its folder.
//!
//! Nothing here is fit for data that anybody wants to keep: `fsync` is off unless [`Builder::durable`] is called.

mod account;
mod address;
mod binaries;
mod builder;
mod error;
mod home;
mod keeper;
mod origin;
mod plant;
mod server;

pub use account::Account;
pub use address::Address;
pub use binaries::{Binaries, MIN_MAJOR};
pub use builder::{Authentication, Builder};
pub use error::{Result, ThrowawayError};
pub use keeper::Keeper;
pub use plant::Shutdown;
pub use server::Server;
