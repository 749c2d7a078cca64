//! What a database should be like for Pelton: looked at, judged, and made so.
//!
//! A *rule* looks at one thing (a setting, a role's rights, a publication, a table's replica identity) and returns
//! [`Item`]s: what is right, and what is amiss, with why it matters and what mends it. There is one place for each rule,
//! and everything is made of its items:
//!
//! - `pelton doctor` prints those that are amiss, and `--fix-plan` writes their SQL as a [`script`];
//! - `pelton setup` runs that SQL and prints all of them; `--print` is the same script.
//!
//! How it goes: a manifest, or a command line, says what each server is to be ([`Target`]); one that can be reached is looked
//! at ([`inspect`]) and judged ([`rules`]), one that can't be is judged by that ([`unreachable`]).
//!
//! Setup takes the rules' steps one after the other ([`run()`](run::run)), each looked at when the ones before it are done.
//! What takes a person's decision (a statement that is [`Statement::by_person`]) it shows and leaves.
//!
//! So what the doctor complains of is what setup does, and what it did is not complained of again.

pub mod facts;
pub mod foretell;
pub mod manifest_fragment;
pub mod of_manifest;
pub mod pooler;
pub mod provider;
pub mod run;
pub mod tables;
pub mod wish;

mod event_triggers;
mod failure;
mod group;
mod hba;
mod helpers;
mod here;
mod item;
mod password;
mod replica_identity;
mod rules;
mod script;
mod service;
mod settle;
mod sql;
mod target;
mod wait;

pub use facts::{Facts, checkpoints, inspect};
pub use failure::SetupError;
pub use item::{Item, Mend, Part, Severity, State, Statement};
pub use rules::{not_inspected, rules, unreachable};
pub use run::run;
pub use script::script;
pub use service::services;
pub use target::{
    Begun, Described, DestinationTable, DestinationTarget, Read, Side, SourceTarget, Target, destinations,
    event_stores, sources,
};
pub use wait::Stop;
