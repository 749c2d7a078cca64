//! The transform's own keys and values.

use bytes::Bytes;

use super::StateError;

/// Where the committed state of a transform is kept. Called on the guest's thread, and may block.
pub trait StateStore: Send + Sync {
    /// Returns the value of each key, in the order of `keys`.
    fn get(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StateError>;

    /// Returns up to `limit` keys that begin with `prefix` and are greater than `after`, with their values, in the
    /// order of the keys' bytes. Fewer than `limit` means that there are no more.
    fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: u32) -> Result<Vec<(Bytes, Bytes)>, StateError>;
}
