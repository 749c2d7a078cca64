//! Transforms run apart from the line: on a fixture, on what was recorded, twice, cut otherwise.
//!
//! A [`Rehearsal`] is one running transform with its state in memory. It is handed batches and keeps what a destination
//! would have committed; [`cut`] makes batches of transactions, as large or small as asked, and [`run`] puts what came of
//! them in a form that is compared: with what is expected, or with what another transform makes of them ([`differing`]).
//! Nothing is read from or written to a database; `wasm` and the engine know nothing of it.
//!
//! A transaction that fails leaves nothing behind, and the next one goes on with a new instance: as after the operator has
//! mended what was wrong.

mod checks;
mod cut;
mod differ;
mod outcome;
mod running;
mod speed;
mod state;
mod verdict;

pub use checks::{CHECKS, Check, CheckResult, Checker};
pub use cut::{Cut, Piece, cut};
pub use differ::{ColumnDiffers, Differing, Keys, differing};
pub use outcome::{Labels, Made, Played, play, run};
pub use running::{Rehearsal, Setup, Unstartable};
pub use speed::speed;
pub use verdict::{Verdict, broke, verdict};
