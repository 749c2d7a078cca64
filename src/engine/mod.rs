//! Stub
pub mod backfill;
