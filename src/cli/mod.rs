//! Stub
pub mod demo;
