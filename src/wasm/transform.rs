//! A running transform: its instances on threads of their own, joined to tokio by bounded channels.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::error::GuestError;
use super::limits::{BATCHES_WAITING_MAX, INSTANCES_MAX, THREAD_STACK_BYTES};
use super::state::{State, StateStore};
use super::worker::{Job, Worker};
use super::{Component, Limits};
use crate::change::{Batch, Rejection, Relation, Row};

/// How a transform is run.
#[derive(Clone)]
pub struct Options {
    /// Stands in messages and logs: the name of the public schema or of the component.
    pub name: String,
    /// As [`super::check_settings`] returned them.
    pub settings: Vec<(String, String)>,
    pub limits: Limits,
    /// 1, unless the descriptor's `parallel` allows more.
    pub instances: u32,
    /// Where committed state is read from; a stateful transform needs one.
    pub state: Option<Arc<dyn StateStore>>,
    /// The source's tables as far as they are known: `init` is given those that are subscribed.
    pub relations: Vec<Arc<Relation>>,
}

/// What a transform made of a batch.
#[derive(Debug, Default)]
pub struct Output {
    /// In the order of their sources.
    pub rows: Vec<Row>,
    /// In the order of their changes.
    pub rejected: Vec<Rejection>,
    /// What the batch wrote into state, in key order: to be committed with the rows. `None` deletes.
    pub state: Vec<(Vec<u8>, Option<bytes::Bytes>)>,
}

/// One running transform: its instances, each on an OS thread of its own. Dropping it ends them, at the latest when the
/// running call is over its time.
pub struct Transform {
    name: String,
    jobs: mpsc::Sender<Job>,
    state: Option<Arc<State>>,
}

impl Transform {
    /// Starts the instances and calls their `init`.
    ///
    /// # Errors
    /// What `init` answered, a subscribed column that one of `relations` lacks, or more instances than the transform
    /// allows.
    pub async fn start(component: &Component, options: Options) -> Result<Transform, GuestError> {
        let name = options.name.clone();
        check_instances(component, &name, options.instances)?;
        let descriptor = component.descriptor();
        if descriptor.stateful && options.state.is_none() {
            let message = "it is stateful, and there is no store for its state".to_owned();
            return Err(GuestError::Fatal { transform: name, message });
        }
        let store = options.state.as_ref().filter(|_| descriptor.stateful);
        let state = store.map(|store| Arc::new(State::new(store.clone())));
        let (jobs, queue) = mpsc::channel(BATCHES_WAITING_MAX);
        let (started, ready) = oneshot::channel();
        let (component, seen) = (component.clone(), state.clone());
        let work = move || match Worker::start(component, Arc::new(options), seen) {
            Ok(worker) => {
                if started.send(Ok(())).is_ok() {
                    worker.work(queue);
                }
            }
            Err(error) => {
                // Nobody waits any more if the caller was dropped.
                let _ = started.send(Err(error));
            }
        };
        spawn(&name, 0, work)?;
        match ready.await {
            Ok(Ok(())) => Ok(Transform { name, jobs, state }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(GuestError::Gone { transform: name }),
        }
    }

    /// Hands over a batch; batches run in the order in which they are submitted, while the outputs of earlier ones are
    /// being written. Waits while two are waiting already.
    ///
    /// After an error the batches behind it are answered with [`GuestError::OutOfOrder`], until the failed one is
    /// submitted again with the same id. To submit an id forgets the uncommitted state of that and all later ones; of the
    /// pieces of one transaction only the newest can be submitted again.
    ///
    /// `without` lists, in ascending order, the indexes of changes that are left out, such as parked ones.
    pub async fn submit(&self, batch: Arc<Batch>, without: Vec<u32>) -> Pending {
        let (reply, answer) = oneshot::channel();
        // A job that nobody takes drops its end of the answer, and so says that the thread is gone.
        let _ = self.jobs.send(Job { batch, without, reply }).await;
        Pending { name: self.name.clone(), answer }
    }

    /// Submits a batch and waits for its output.
    pub async fn process(&self, batch: Arc<Batch>) -> Result<Output, GuestError> {
        self.submit(batch, Vec::new()).await.output().await
    }

    /// Says that the outputs of all batches up to this one are committed: their state is now in the store.
    pub fn committed(&self, batch_id: u64) {
        if let Some(state) = &self.state {
            state.committed(batch_id);
        }
    }
}

/// Starts a thread with room for the guest's stack.
pub(super) fn spawn(name: &str, number: u32, work: impl FnOnce() + Send + 'static) -> Result<(), GuestError> {
    // Linux shows 15 bytes.
    let builder = std::thread::Builder::new().name(format!("wasm{number} {name}").replace('\0', " "));
    match builder.stack_size(THREAD_STACK_BYTES).spawn(work) {
        Ok(_) => Ok(()),
        Err(error) => {
            let message = format!("no thread can be started for it: {error}");
            Err(GuestError::Fatal { transform: name.to_owned(), message })
        }
    }
}

/// Says why a component can't run so many instances.
///
/// # Errors
/// It allows fewer.
pub fn check_instances(component: &Component, name: &str, instances: u32) -> Result<(), GuestError> {
    let descriptor = component.descriptor();
    let why = match instances {
        1 => return Ok(()),
        0 => "at least one is needed",
        INSTANCES_MAX.. if instances > INSTANCES_MAX => "the most is 64",
        _ if !descriptor.parallel => "it does not describe itself as parallel",
        _ if descriptor.whole_transactions => "it takes whole transactions, whose changes belong together",
        _ => return Ok(()),
    };
    Err(GuestError::Parallel { transform: name.to_owned(), instances, why })
}

/// A batch in flight.
pub struct Pending {
    name: String,
    answer: oneshot::Receiver<Result<Output, GuestError>>,
}

impl Pending {
    /// Waits for what the transform made of the batch.
    pub async fn output(self) -> Result<Output, GuestError> {
        self.answer.await.unwrap_or(Err(GuestError::Gone { transform: self.name }))
    }
}
