//! Pelton turns a Postgres change stream into public data.
//!
//! The line, one module a station:
//!
//! ```text
//! WAL bytes → message → transaction → changes → guest → public rows → sink → checkpoint → feedback
//! ```
//!
//! `ARCHITECTURE.md` states the floors (a file imports lower floors only) and the invariants; a test holds the floors.

// Floor 0: what flows, and texts with places. No tokio, no I/O.
pub mod change;
mod document;
pub mod fault;
pub mod lsn;

// Floor 1: pure logic.
pub mod batch;
pub mod fixture;
pub mod manifest;
pub mod pgoutput;
pub mod progress;
pub mod sql;

// Floor 2: the outside world.
pub mod datastore;
pub mod postgres;
pub mod sink;
pub mod wasm;

// Floor 3: the log that any number of consumers read; live transactions, recorded; transforms run apart from the line.
pub mod eventstore;
pub mod record;
pub mod rehearse;

// Floor 4: the log of another manifest, over HTTP.
pub mod service;

// Floor 5: the line itself.
pub mod engine;

// Floor 6: what databases should be like.
pub mod setup;

// Floor 7: the log, for other manifests to read.
pub mod http;

// Floor 8: faces.
pub mod cli;
