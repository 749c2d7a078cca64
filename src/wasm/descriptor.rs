//! What a component says of itself.

use crate::change::{Attrs, Op, PublicSchema};

/// The two worlds of `transform.wit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// `transformer`: a batch is one list of bytes.
    Packed,
    /// `typed-transformer`: a batch is a list of records.
    Typed,
}

/// How rows travel to and from a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    MessagePack,
    Json,
    /// As values of the component model, in the world `typed-transformer`.
    Typed,
}

/// What a transform wants to see; nothing else is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub schema: String,
    pub table: String,
    /// None: all columns.
    pub columns: Vec<String>,
    /// None: all operations.
    pub ops: Vec<Op>,
    pub attrs: Attrs,
}

/// A setting that a transform knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub name: String,
    pub required: bool,
    pub default: Option<String>,
    pub doc: String,
}

/// What a component says of itself, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub name: String,
    pub version: String,
    pub encoding: Encoding,
    pub subscriptions: Vec<Subscription>,
    pub public_schemas: Vec<PublicSchema>,
    pub settings: Vec<Setting>,
    /// The host may run several instances, each with the changes of its share of the keys.
    pub parallel: bool,
    /// A batch must never end inside a source transaction.
    pub whole_transactions: bool,
    pub stateful: bool,
    /// Components with the same number read each other's state.
    pub state_version: u32,
    pub attrs: Attrs,
}
