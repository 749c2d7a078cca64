//! A running transform.

use std::sync::Arc;

use super::{Component, GuestError, Limits, StateStore};
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
    /// Needed by stateful transforms; without one state starts empty and is kept in memory until it is committed.
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

/// One running transform: its instances, each on an OS thread of its own. Dropping it ends them.
pub struct Transform {}

impl Transform {
    /// Starts the instances and calls their `init`.
    pub async fn start(_component: &Component, _options: Options) -> Result<Transform, GuestError> {
        todo!()
    }

    /// Hands over a batch; batches run in the order in which they are submitted, while the outputs of earlier ones are
    /// being written. Waits while two are waiting already.
    ///
    /// After an error the batches behind it are answered with [`GuestError::OutOfOrder`], until the failed one is
    /// submitted again with the same id. To submit an id forgets the uncommitted state of that and all later ones.
    ///
    /// `without` lists, in ascending order, the indexes of changes that are left out, such as parked ones.
    pub async fn submit(&self, _batch: Arc<Batch>, _without: Vec<u32>) -> Pending {
        todo!()
    }

    /// Submits a batch and waits for its output.
    pub async fn process(&self, batch: Arc<Batch>) -> Result<Output, GuestError> {
        self.submit(batch, Vec::new()).await.output().await
    }

    /// Says that the outputs of all batches up to this one are committed: their state is now in the store.
    pub fn committed(&self, _batch_id: u64) {
        todo!()
    }
}

/// A batch in flight.
pub struct Pending {}

impl Pending {
    /// Waits for what the transform made of the batch.
    pub async fn output(self) -> Result<Output, GuestError> {
        todo!()
    }
}
