//! Write Pelton transforms in Rust.
