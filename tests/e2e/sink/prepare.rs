//! Prepare.
