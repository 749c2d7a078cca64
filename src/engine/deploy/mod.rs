//! Which component a transform runs as, and how it comes to run as another one.
//!
//! The destination says which: its data store records the component's digest, the checkpoint from which it goes on, and
//! its bytes (`choose`). A *deployment* is a row beside it, a wish (`request`): whoever runs the transform notices it
//! (`watch`), compiles and describes the candidate beside the one that runs, and holds the two against each other
//! (`judge`). What can't take over is refused, with the reason in the row, and nothing else happens. What can ends the
//! run: that is the path that everything takes. All flows of the source finish what they have, and the next run begins at
//! their checkpoints, with the candidate in the transform's place. That is recorded under the owner's token before the
//! candidate is given anything.
//!
//! So every transaction of the source goes through exactly one component, wherever a process dies: up to the recorded
//! checkpoint the former one has made everything, from there on the new one makes it.

mod choose;
mod files;
mod judge;
mod request;
mod watch;

pub use choose::short as short_digest;
pub(super) use choose::{Chosen, Whose, choose, digest, short};
pub(super) use files::watch_files;
pub use request::{Found as FoundTarget, Target as DeployTarget, targets as deploy_targets};
pub(super) use watch::{Swaps, Watched, judge_chosen, refuse, watch};
