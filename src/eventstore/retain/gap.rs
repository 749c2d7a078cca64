//! Whether a consumer can go on from its cursor, or what was behind it is gone.

use super::super::{Position, Stream};

/// Why a consumer can't go on from its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// It begins at the start, and not all that was there is still there in some form.
    NoHistory,
    /// Events that it has not read have been removed or merged.
    Removed,
}

/// Judges whether everything behind `cursor` is still there. `history`: it needs the rows that existed before. `missed` is
/// what the event store said when the consumer registered; `None` when it may not be told.
pub fn gap(stream: &Stream, cursor: Position, history: bool, missed: Option<bool>) -> Option<Gap> {
    if cursor == Position::START {
        return (history && !stream.merged && stream.horizon > Position::START).then_some(Gap::NoHistory);
    }
    missed.unwrap_or(cursor < stream.horizon).then_some(Gap::Removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Lsn;

    #[test]
    fn who_begins_at_the_start_needs_what_was_merged() {
        let at = |lsn: u64| Position { epoch: 1, commit_lsn: Lsn(lsn), ordinal: 0 };
        let stream = |merged| Stream { horizon: at(50), merged, ..Stream::default() };
        assert_eq!(gap(&Stream { merged: false, ..Stream::default() }, Position::START, true, None), None);
        assert_eq!(gap(&stream(true), Position::START, true, Some(false)), None);
        assert_eq!(gap(&stream(false), Position::START, true, Some(false)), Some(Gap::NoHistory));
        assert_eq!(gap(&stream(false), Position::START, false, Some(false)), None);
        // Who is inside of what was merged has held it.
        assert_eq!(gap(&stream(true), at(10), true, Some(false)), None);
        assert_eq!(gap(&stream(true), at(10), true, Some(true)), Some(Gap::Removed));
        // Of one who can't register nobody knows.
        assert_eq!(gap(&stream(true), at(49), true, None), Some(Gap::Removed));
        assert_eq!(gap(&stream(true), at(50), true, None), None);
    }
}
