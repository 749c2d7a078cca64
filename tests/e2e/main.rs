//! Tests against real PostgreSQL servers, in one program, so that wasmtime is linked once.

#[path = "../support/mod.rs"]
mod support;

mod backfill_merge;
mod backfill_reader;
mod datastore;
mod demo;
mod flows_backfill;
mod flows_keys;
mod flows_publication;
mod flows_setup;
mod postgres_catalog;
mod postgres_connect;
mod postgres_stream;
mod promises;
mod schema_change_stream;
mod sink;
mod throwaway;
mod types_builtin;
mod types_large;
mod wrong;
