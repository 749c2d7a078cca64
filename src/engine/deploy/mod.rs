//! Which component a transform runs as, and how it comes to run as another one.
//!
//! The destination says which: its data store records the component's digest, the checkpoint from which it goes on, and
//! its bytes (`choose`). A *deployment* is a row beside it, a wish (`request`): whoever runs the transform notices it
//! (`watch`), and makes its component ready beside the one that runs (`trial`): compiled, described, held against what runs
//! (`judge`), started once. What can't take over is refused, with the reason in the row, and nothing else happens. What can
//! ends the run: that is the path that everything takes. All flows of the source finish what they have, and the next run
//! begins at their checkpoints, with the component in the transform's place. That is recorded under the owner's token before
//! it is given anything.
//!
//! A run takes what is ready, and what is recorded else: nothing that is only wished for keeps it waiting. At the start of a
//! process, where nothing runs yet, a deployment is made ready first. Where it fails in spite of all that, when its tables
//! are made ready or it is started, what is recorded goes on.
//!
//! So every transaction of the source goes through exactly one component, wherever a process dies: up to the recorded
//! checkpoint the former one has made everything, from there on the new one makes it.

mod choose;
mod files;
mod judge;
mod request;
mod trial;
mod watch;

pub use choose::short as short_digest;
pub(super) use choose::{Chosen, Whose, choose, digest, is_released, short};
pub(super) use files::watch_files;
pub use request::{Found as FoundTarget, Target as DeployTarget, targets as deploy_targets};
pub(super) use trial::{Surroundings, Trials};
pub(super) use watch::{Swaps, Watched, watch};
