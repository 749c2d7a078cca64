//! Writing into destination tables, with Postgres itself as the oracle.

mod model;
mod paths;
mod prepare;
mod workload;
