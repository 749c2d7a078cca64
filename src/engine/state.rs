//! A guest's way to its committed state: called on the guest's own thread, which may wait for the database.

use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio_postgres::Client;

use crate::datastore::{DataStoreError, StateTable};
use crate::wasm::{StateError, StateStore};

/// Reads over a connection of its own: what other batches are about to commit is the host's overlay, not here.
pub struct CommittedState {
    pub runtime: Handle,
    pub client: Arc<Client>,
    pub table: StateTable,
}

impl StateStore for CommittedState {
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StateError> {
        self.wait(self.table.get(&self.client, keys))
    }

    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Bytes, Bytes)>, StateError> {
        self.wait(self.table.scan(&self.client, prefix, after, limit))
    }
}

impl CommittedState {
    fn wait<T>(&self, query: impl Future<Output = Result<T, DataStoreError>>) -> Result<T, StateError> {
        self.runtime.block_on(query).map_err(Into::into)
    }
}
