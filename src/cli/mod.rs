//! The commands, one module each.

pub mod build;
pub mod demo;
