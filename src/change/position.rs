//! Where an event lies in its stream.

use crate::lsn::Lsn;

/// The position of an event in its stream.
///
/// Positions of the streams of one source compare: they order its transactions, and the rows in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Grows when the source's log begins anew; 0 is ReJot's.
    pub epoch: i32,
    /// The commit record of the transaction. Rows that existed before they were published, and the beginning of a stream
    /// that starts anew, lie at the byte before the boundary between transactions at which they entered, where no commit
    /// record can be.
    pub commit_lsn: Lsn,
    pub ordinal: i64,
}

impl Position {
    /// Before every event.
    pub const START: Position = Position { epoch: 0, commit_lsn: Lsn::ZERO, ordinal: 0 };

    /// Returns true when both belong to one transaction of the source.
    pub fn is_same_transaction(&self, other: &Position) -> bool {
        (self.epoch, self.commit_lsn) == (other.epoch, other.commit_lsn)
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.epoch, self.commit_lsn, self.ordinal)
    }
}

/// A text that is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a position is written EPOCH:LSN:ORDINAL, as 1:0/16B3748:0")]
pub struct BadPosition;

impl std::str::FromStr for Position {
    type Err = BadPosition;

    fn from_str(text: &str) -> Result<Position, BadPosition> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(BadPosition);
        let epoch = next()?.parse().map_err(|_| BadPosition)?;
        let commit_lsn = next()?.parse().map_err(|_| BadPosition)?;
        let ordinal = next()?.parse().map_err(|_| BadPosition)?;
        if epoch < 0 || ordinal < 0 {
            return Err(BadPosition);
        }
        Ok(Position { epoch, commit_lsn, ordinal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_printed() {
        let position = Position { epoch: 2, commit_lsn: Lsn(0x1_0000_00ff), ordinal: 7 };
        assert_eq!(position.to_string(), "2:1/FF:7");
        assert_eq!("2:1/FF:7".parse(), Ok(position));
        for text in ["", "1", "1:0/1", "1:0/1:x", "-1:0/1:0", "1:0/1:-1", "1:01:0"] {
            assert_eq!(text.parse::<Position>(), Err(BadPosition), "{text}");
        }
    }
}
