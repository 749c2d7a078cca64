//! The event store: what was published, in a durable log that any number of consumers read at their own pace.
//!
//! A *stream* is one major version of a public schema of one manifest; its events have positions that only grow
//! ([`Position`]). A flow into an event store appends them in the transaction that moves its checkpoint, through the same
//! sink that writes any other table ([`append`]), so they are there exactly once. Whoever reads them ([`read`]) sees whole
//! transactions of the source, for each was committed as a whole.
//!
//! What a row looks like in an event is in [`object`], what the columns of a stream are in [`stream`], how one comes to be in
//! [`mod@register`], how a service tells
//! events to another one in [`line`], what is no longer kept in [`retain`], and what ReJot left in [`rejot`].

mod append;
mod consumer;
mod emptied;
mod gone;
mod json;
mod line;
mod mirror;
mod object;
mod read;
mod register;
mod rejot;
mod retain;
mod stream;

pub use crate::change::Position;
use crate::datastore::DataStoreError;

pub use append::{Appender, Origin, events_table, rfc3339};
pub use consumer::{
    Deployment, Reader, Registered, before, count, count_all, forget_consumer, last, readers, register_consumers,
};
pub use emptied::emptied;
pub use gone::{Gone, gone};
pub use line::{Asked, Line, op_name, read_line, write_end, write_error, write_event, write_gone, write_shape};
pub use mirror::{
    Adopted, Appended, MirrorConflict, MirrorRow, Mirrored, Moved, ShapeRow, Upstream, adopt, begin_mirroring,
    commit_mirrored, flush_mirror, mark_mirror_stopped, mirrors, shape_rows, store_id, take_over_mirror, upstreams,
};
pub use object::BadEvent;
pub use read::{BEGIN_READING, Event, Events, Page, Reading, Wanted, events};
pub use register::{Publisher, StreamConflict, may_register, register};
pub use rejot::{Copied, is_of_rejot, last_of_rejot, left_by_rejot, stored_by_rejot};
pub use retain::{
    Gap, Holder, Horizon, Horizons, KeptFor, Limits, Pruned, Segment, gap, newest_segment, prune, segments,
};
pub use stream::{Shape, Stream, is_there, other_shapes, shapes, streams};

/// The schema that holds all of it.
pub const SCHEMA: &str = "rejot_events";

/// The channel on which an event store tells that something was appended. It says nothing else.
pub const CHANNEL: &str = "rejot_events";

fn query(act: &'static str) -> impl FnOnce(tokio_postgres::Error) -> DataStoreError {
    DataStoreError::query_in(SCHEMA, act)
}
