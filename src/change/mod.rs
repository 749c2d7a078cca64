//! What flows through Pelton: changes of source tables, and the public rows that transforms make of them.
//!
//! Nothing here does I/O or knows a wire format other than one: a row is kept as a [`Tuple`], the bytes of pgoutput's
//! TupleData, from the socket to the sink. So a column that nobody reads is never looked at, and a row that passes
//! through is never copied.

mod batch;
mod compatible;
mod digits;
mod kind;
mod moment;
mod position;
mod relation;
mod row;
mod tuple;

pub use batch::{Batch, Change, Old, Phase, Span};
pub use compatible::{Break, added, breaks};
pub use digits::fraction_digits;
pub use kind::Kind;
pub use moment::timestamptz;
pub use position::{BadPosition, Position};
pub use relation::{Attrs, Column, Relation, ReplicaIdentity};
pub use row::{Op, PublicSchema, Rejection, Row};
pub use tuple::{BadTuple, Columns, Tuple, TupleWriter, Value};
