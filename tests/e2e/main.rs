//! Tests against real PostgreSQL servers, in one program, so that wasmtime is linked once.

#[path = "../support/mod.rs"]
mod support;

mod backfill_merge;
mod backfill_reader;
mod datastore;
mod demo;
mod postgres_catalog;
mod postgres_connect;
mod postgres_stream;
mod promises;
mod sink;
mod throwaway;
