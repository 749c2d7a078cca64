//! Tests against real PostgreSQL servers, in one program, so that wasmtime is linked once.

#[path = "../support/mod.rs"]
mod support;

mod backfill_merge;
mod backfill_reader;
mod throwaway;
