#![doc = include_str!("../README.md")]

// The derives write `::pelton_sdk::…`, here too.
extern crate self as pelton_sdk;

pub mod change;
pub mod error;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod guest;
mod host;
pub mod log;
pub mod model;
#[doc(hidden)]
pub mod msgpack;
pub mod out;
pub mod public;
pub mod settings;
pub mod source;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod text;
#[doc(hidden)]
pub mod transform;
pub mod value;
#[cfg(test)]
mod vectors;

pub use change::{Change, Old};
pub use error::{Error, Result};
pub use model::{Attrs, Column, Context, Identity, Kind, Op, Phase, Relation, Span};
pub use out::Out;
pub use pelton_sdk_derive::{Enumeration, Public, Settings, Source, StateValue, transform};
pub use public::Public;
pub use settings::Settings;
pub use source::{Source, SourceRow};
pub use state::{Ahead, Map, StateKey, StateValue};
pub use value::{FromColumn, ToColumn, Toasted, Unfit};

/// All that a transform is written with.
pub mod prelude {
    pub use crate::text::{
        Array, Date, Decimal, Interval, Json, Jsonb, Moment, Time, Timestamp, Timestamptz, Timetz, Uuid,
    };
    pub use crate::{
        Ahead, Change, Context, Enumeration, Error, Map, Old, Op, Out, Phase, Public, Result, Settings, Source,
        StateValue, Toasted, debug, error, info, reject, trace, transform, warn,
    };
}
