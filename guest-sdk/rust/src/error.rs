//! What can go wrong in a transform, in the three ways that the host tells apart.

use std::fmt;

/// The result of everything in a transform that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a change was not transformed.
///
/// Messages reach the operator's logs: keep the values of rows out of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// This change can never be transformed. The others of its batch go on; what happens to this one is the
    /// manifest's `onError`: the flow stops, or the change is parked as a dead letter.
    Rejected {
        /// A short word that dead letters can be grouped by, such as `amount-negative`.
        code: String,
        message: String,
    },
    /// Nothing happened; the same batch comes again after `after_ms` milliseconds, 0: as the host thinks best.
    Retry { message: String, after_ms: u32 },
    /// The transform can't go on: the flow stops.
    Fatal(String),
}

impl Error {
    /// Refuses the change at hand for good.
    pub fn reject(code: impl Into<String>, message: impl fmt::Display) -> Error {
        Error::Rejected { code: code.into(), message: message.to_string() }
    }

    /// Asks for the same batch again, later.
    pub fn retry(message: impl fmt::Display, after_ms: u32) -> Error {
        Error::Retry { message: message.to_string(), after_ms }
    }

    /// Stops the flow.
    pub fn fatal(message: impl fmt::Display) -> Error {
        Error::Fatal(message.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Rejected { code, message } => write!(f, "rejected ({code}): {message}"),
            Error::Retry { message, .. } => write!(f, "to be retried: {message}"),
            Error::Fatal(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

/// Refuses the change at hand for good: `reject!("amount-negative", "order {id} has a negative amount")`.
#[macro_export]
macro_rules! reject {
    ($code:expr, $($message:tt)+) => {
        return ::core::result::Result::Err($crate::Error::reject($code, ::std::format_args!($($message)+)))
    };
}
