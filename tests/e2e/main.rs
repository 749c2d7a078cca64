//! Tests against real PostgreSQL servers, in one program, so that wasmtime is linked once.

#[path = "../support/mod.rs"]
mod support;

// Guests by hand: no toolchain for WebAssembly is needed for a bad one.
#[allow(dead_code)]
#[path = "../../src/wasm/tests/guest.rs"]
mod guest;

mod backfill_merge;
mod backfill_reader;
mod capture;
mod collect;
mod datastore;
mod demo;
mod deploy;
mod deploy_events;
mod deploy_recorded;
mod deploy_trials;
mod dev;
mod doctor;
mod events;
mod events_line;
mod events_owner;
mod events_readers;
mod fixtures;
mod flows_backfill;
mod flows_destinations;
mod flows_keys;
mod flows_publication;
mod flows_setup;
mod flows_unchanged;
mod gallery;
mod http;
mod manifest_commands;
mod messages;
mod migrations;
mod migrations_source;
mod mirrors;
mod new;
mod panics;
mod postgres_catalog;
mod postgres_connect;
mod postgres_stream;
mod promises;
mod rejot_pains;
mod rejot_sql;
mod rejot_takeover;
mod repair;
mod replay;
mod retention;
mod schema_change_stream;
mod schema_change_told;
mod setup;
mod shadow;
mod sink;
mod slots;
mod standby;
mod teardown;
mod throwaway;
mod types_builtin;
mod types_large;
mod versions;
mod whole_transactions;
mod wrong;
