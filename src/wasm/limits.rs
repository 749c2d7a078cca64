//! What a guest may use. Whatever it does, it gets no more than this.

use std::time::Duration;

/// The limits of one transform. Memory and time come from the manifest, the others are fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of all its linear memories together (`limits.memoryMib`).
    pub memory_mib: u32,
    /// Of one call, host calls not counted (`limits.timeoutMs`).
    pub timeout_ms: u32,
}

impl Limits {
    pub const MEMORY_MIB_DEFAULT: u32 = 64;
    pub const TIMEOUT_MS_DEFAULT: u32 = 1000;

    /// Linear memories are addressed with 32 bits.
    pub const MEMORY_MIB_MAX: u32 = 4096;

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_mib.min(Limits::MEMORY_MIB_MAX) as usize * 1024 * 1024
    }

    /// What one batch, or the pieces of one transaction, may have written into state until it is committed.
    pub(super) fn state_bytes(&self) -> usize {
        self.memory_bytes().max(STATE_CALL_BYTES_MAX)
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.timeout_ms))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { memory_mib: Limits::MEMORY_MIB_DEFAULT, timeout_ms: Limits::TIMEOUT_MS_DEFAULT }
    }
}

/// Elements of all tables of one instance. CPython's largest has some 15,000.
pub(super) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Core instances, tables and memories of one instance: Python's components have some 60 core modules.
pub(super) const CORE_INSTANCES_MAX: usize = 200;

/// Native stack of the guest, and of the thread that runs it: what is left is for the host's own frames.
pub(super) const GUEST_STACK_BYTES: usize = 2 << 20;
pub(super) const THREAD_STACK_BYTES: usize = GUEST_STACK_BYTES + (4 << 20);

/// What one call may hand over to the host in lists and strings, copies counted: the bound of the host's own memory.
pub(super) const LIFTED_BYTES_MAX: usize = 256 << 20;
/// Rows of one call. A row of six bytes becomes some hundred in the host.
pub(super) const OUTPUT_ROWS_MAX: usize = 1_000_000;
/// What one call may write into state.
pub(super) const STATE_CALL_BYTES_MAX: usize = 64 << 20;
/// What an entry of state takes beside its key and value, while it waits to be committed.
pub(super) const STATE_ENTRY_BYTES: usize = 100;
/// What a single state key and value may have.
pub(super) const STATE_KEY_BYTES_MAX: usize = 2048;
pub(super) const STATE_VALUE_BYTES_MAX: usize = 4 << 20;
/// What the cache of committed state may hold.
pub(super) const STATE_CACHE_BYTES_MAX: usize = 16 << 20;
/// What one `scan` returns at most.
pub(super) const SCAN_ROWS_MAX: u32 = 10_000;

/// Log lines of one call, and the bytes of one line.
pub(super) const LOG_LINES_MAX: u32 = 200;
pub(super) const LOG_LINE_BYTES_MAX: usize = 4096;
/// Text of a guest that ends up in an error of ours, and the lines of what it said before it crashed.
pub(super) const MESSAGE_BYTES_MAX: usize = 2048;
pub(super) const LAST_WORDS_LINES_MAX: usize = 16;
/// Random bytes of one WASI call.
pub(super) const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Batches that may wait for an instance. One runs, one waits, and the outputs of earlier ones are being written.
pub(super) const BATCHES_WAITING_MAX: usize = 2;
/// Instances of one transform.
pub const INSTANCES_MAX: u32 = 64;
