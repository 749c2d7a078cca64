//! One item of a guest's result.

use std::borrow::Cow;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub(in crate::wasm) enum Item<'a> {
    Null,
    Unchanged,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    /// What no column holds, by name.
    Other(&'static str),
}

impl fmt::Display for Item<'_> {
    /// Names what the item is, never its value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Item::Null => "NULL",
            Item::Unchanged => "`unchanged`",
            Item::Bool(_) => "a boolean",
            Item::Int(_) => "an integer",
            Item::Float(_) => "a float",
            Item::Text(_) => "text",
            Item::Bytes(_) => "bytes",
            Item::Other(name) => name,
        })
    }
}
