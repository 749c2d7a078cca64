//! Writing into destination tables, with Postgres itself as the oracle.

mod binary;
mod model;
mod paths;
mod prepare;
mod workload;
