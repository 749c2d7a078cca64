//! Where a server's log left the logs that it comes from.

use super::error::{Moment, ReplicationError};
use super::handshake;
use crate::lsn::Lsn;
use crate::manifest::PostgresConnection;
use crate::postgres::connect::Session;

/// A timeline that a server has been on, and the position at which it left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    pub timeline: u32,
    pub at: Lsn,
}

/// Returns the timelines from which `timeline` comes, the oldest first; the first timeline comes from none.
///
/// # Errors
/// [`ReplicationError`]: those of connecting, and what the server refuses.
pub async fn forks(
    to: &PostgresConnection,
    application_name: &str,
    timeline: u32,
) -> Result<Vec<Fork>, ReplicationError> {
    if timeline <= 1 {
        return Ok(Vec::new());
    }
    let mut wire = handshake::open(to, &Session::source(application_name)).await?;
    let refused = |error| ReplicationError::of_server(Moment::Starting, "", &[], error);
    let rows = wire.query(&format!("TIMELINE_HISTORY {timeline}")).await.map_err(|e| e.sorted(refused))?;
    // The file's name, and the file.
    let file = rows.first().and_then(|row| row.get(1)?.as_deref());
    let file = file.ok_or_else(|| ReplicationError::BadMessage { what: "no timeline history".to_owned() })?;
    parse(file)
}

/// Reads a history file: a line for each timeline, its number, where it was left, and why; `#` begins a comment.
fn parse(file: &str) -> Result<Vec<Fork>, ReplicationError> {
    let bad = || ReplicationError::BadMessage { what: "a timeline history that is none".to_owned() };
    let lines = file.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let fork = |line: &str| {
        let mut words = line.split_whitespace();
        let (timeline, at) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Fork { timeline, at })
    };
    lines.map(|line| fork(line).ok_or_else(bad)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_as_postgres_writes_it() {
        let file = "1\t0/3000110\tno recovery target specified\n\n# a comment\n2\t1/A0\tbefore 2000-01-01\n";
        let forks = [Fork { timeline: 1, at: Lsn(0x300_0110) }, Fork { timeline: 2, at: Lsn(0x1_0000_00a0) }];
        assert_eq!(parse(file).unwrap(), forks);
        assert!(parse("nonsense").is_err());
    }
}
