//! The promises, and the tests that break with them.
//!
//! | promise | tests |
//! |---|---|
//! | 1 rows, state and checkpoint commit together; nobody sees half a transaction, nor one without its predecessors | [`reader`]; [`kill`] (state) |
//! | 2 feedback never passes a committed checkpoint; a slot beyond it stops the flow | [`feedback`]; [`kill`] (after every kill); [`sabotage`] |
//! | 3 whatever is killed and whenever, nothing is lost and nothing takes effect twice | [`kill`], [`crash`], [`owner`], [`sabotage`] |
//! | 4 commit order | [`kill`], [`sabotage`]; `sink::workload` (folding) |
//! | 5 no bytes make us panic, a guest is confined | unit tests: `pgoutput::mutations`, `pgoutput::properties`, `manifest::tests::random`, `wasm::tests::hostile`, `wasm::tests::worlds` |
//! | 6 memory is bounded | [`memory`]; unit tests: `batch`, `wasm::tests::hostile` |
//! | 7 one failing flow or destination does not stop the others, and is visible | [`apart`], [`released`] |
//! | 8 what was in a column arrives in a column | [`kill`] (TOAST, keys); `sink::workload` and `sink::paths` (key types, texts) |
//!
//! All run the program itself, between two databases, and let Postgres compare them.

mod apart;
mod crash;
mod feedback;
mod items;
mod kill;
mod memory;
mod owner;
mod pair;
mod reader;
mod released;
mod sabotage;
mod stop;
mod workload;
