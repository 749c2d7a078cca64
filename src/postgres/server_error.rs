//! What a server says when it refuses: one shape for errors of ordinary sessions and of the replication protocol.

use std::error::Error;
use std::fmt;

/// An error that Postgres reported, without row values.
///
/// Details of integrity and data errors (SQLSTATE classes 22 and 23) quote the row, so they are left out; so is what
/// follows the first `: "` in a data error's message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// The SQLSTATE, five characters.
    pub code: Box<str>,
    pub message: Box<str>,
    pub detail: Option<Box<str>>,
    pub hint: Option<Box<str>>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl Error for ServerError {}

impl ServerError {
    /// Takes over what a server reported and drops what may quote a row.
    pub fn new(code: &str, message: &str, detail: Option<&str>, hint: Option<&str>) -> ServerError {
        let quotes_row = code.starts_with("22") || code.starts_with("23");
        let message = match message.find(": \"") {
            Some(at) if quotes_row => &message[..at],
            _ => message,
        };
        let owned = |text: Option<&str>| text.filter(|t| !t.is_empty()).map(Box::from);
        ServerError {
            code: code.into(),
            message: message.into(),
            detail: if quotes_row { None } else { owned(detail) },
            hint: owned(hint),
        }
    }

    /// Parses the fields of an ErrorResponse; whatever is missing stays empty.
    pub(crate) fn parse(payload: &[u8]) -> ServerError {
        let (mut code, mut message, mut detail, mut hint) = (String::new(), String::new(), None, None);
        for (kind, text) in fields(payload) {
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'C' => code = text,
                b'M' => message = text,
                b'D' => detail = Some(text),
                b'H' => hint = Some(text),
                _ => {}
            }
        }
        ServerError::new(&code, &message, detail.as_deref(), hint.as_deref())
    }

    /// Returns true when the same request may work a little later without anybody doing anything: the server is
    /// starting, stopping or out of some resource, or another session is in the way.
    pub fn is_transient(&self) -> bool {
        match &*self.code {
            // query_canceled: our sessions have no time limits, so somebody did it by hand, and not for good;
            // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
            "57014" | "57P01" | "57P02" | "57P03" | "57P05" => true,
            // object_in_use, lock_not_available
            "55006" | "55P03" => true,
            code => ["08", "40", "53", "58030"].iter().any(|class| code.starts_with(class)),
        }
    }
}

impl From<&tokio_postgres::error::DbError> for ServerError {
    fn from(error: &tokio_postgres::error::DbError) -> ServerError {
        ServerError::new(error.code().code(), error.message(), error.detail(), error.hint())
    }
}

/// An SQL statement of ours that did not work.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error("cannot {doing}")]
    Refused { doing: String, source: ServerError },
    #[error("cannot {doing}: the connection was lost")]
    Lost { doing: String, source: Option<Box<dyn Error + Send + Sync>> },
    /// The answer is not what the question asks for: a bug of ours, or no Postgres.
    #[error("cannot {doing}: the server's answer has another shape than expected ({what})")]
    Answer { doing: String, what: String },
}

impl QueryError {
    /// Sorts an error of tokio-postgres; `doing` completes the sentence "cannot …".
    pub fn new(doing: impl Into<String>, error: tokio_postgres::Error) -> QueryError {
        let doing = doing.into();
        if let Some(refused) = error.as_db_error() {
            return QueryError::Refused { source: refused.into(), doing };
        }
        // The kinds are private; nothing but a lost connection has this text.
        if !error.is_closed() && !error.to_string().starts_with("error communicating") {
            // `Display` of the others names a column at most, never a value.
            return QueryError::Answer { doing, what: error.to_string() };
        }
        QueryError::Lost { doing, source: error.into_source() }
    }

    /// Returns the SQLSTATE, if it was the server that refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            QueryError::Refused { source, .. } => Some(&source.code),
            _ => None,
        }
    }

    pub fn is_transient(&self) -> bool {
        match self {
            QueryError::Refused { source, .. } => source.is_transient(),
            QueryError::Lost { .. } => true,
            QueryError::Answer { .. } => false,
        }
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            QueryError::Refused { source, .. } => match &*source.code {
                "42501" => Some(format!(
                    "grant the role what it lacks{}",
                    source.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default()
                )),
                "25006" => Some("the server is read-only: name the primary in the connection".to_owned()),
                _ => source.hint.as_deref().map(str::to_owned),
            },
            QueryError::Lost { .. } => Some("look into the server's log for the reason".to_owned()),
            QueryError::Answer { .. } => None,
        }
    }
}

/// Iterates over the fields of an ErrorResponse, (kind, text); ends at the terminator, or where the bytes end.
fn fields(payload: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = payload;
    std::iter::from_fn(move || {
        let (&kind, text) = rest.split_first()?;
        let end = memchr::memchr(0, text)?;
        rest = &text[end + 1..];
        (kind != 0).then_some((kind, &text[..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_fields_and_leaves_row_values_out() {
        let error = ServerError::parse(b"SERROR\0VERROR\0C55006\0Mslot \"a\" is active for PID 7\0Dwait\0Hhelp\0\0");
        assert_eq!(error.to_string(), "slot \"a\" is active for PID 7 (SQLSTATE 55006): wait");
        assert_eq!(error.hint.as_deref(), Some("help"));
        assert!(error.is_transient());
        let cancelled = "canceling statement due to user request";
        assert!(ServerError::new("57014", cancelled, None, None).is_transient());
        let error = ServerError::parse(b"C23505\0Mduplicate key\0DKey (email)=(a@b) already exists.\0\0");
        assert_eq!(error.to_string(), "duplicate key (SQLSTATE 23505)");
        let error = ServerError::parse(b"C22P02\0Minvalid input syntax for type integer: \"secret\"\0\0");
        assert_eq!(error.to_string(), "invalid input syntax for type integer (SQLSTATE 22P02)");
    }

    #[test]
    fn a_message_cut_anywhere_is_still_an_error() {
        let whole = b"C57P01\0Mterminating\0\0";
        for length in 0..whole.len() {
            assert!(ServerError::parse(&whole[..length]).code.len() <= 5, "cut at {length}");
        }
    }
}
