//! Tests against real PostgreSQL servers, in one program, so that wasmtime is linked once.

#[path = "../support/mod.rs"]
mod support;

mod demo;
mod throwaway;
