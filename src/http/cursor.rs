//! How readers say where they are: ReJot's cursors, with positions of ours as the ids of transactions.
//!
//! An id is that of the last event that was read. To whoever gets it, it is a text without a meaning, of at most 30
//! characters (ReJot keeps it in a `varchar(30)`), which sorts as the transactions do. A position as `pelton events` prints it
//! is taken too.

use serde_json::Value;

use super::answer::Refusal;
use crate::change::Position;
use crate::lsn::Lsn;

/// A public schema of some manifest, and the position behind which it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub manifest: String,
    pub public_schema: String,
    pub major: i32,
    pub after: Position,
}

/// More cursors than a request may have.
const CURSORS_MAX: usize = 256;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
const WIDTHS: [usize; 3] = [4, 13, 13];

/// Returns the id of the transaction whose last event is at a position.
pub fn transaction_id(position: Position) -> String {
    let parts = [position.epoch.max(0) as u64, position.commit_lsn.0, position.ordinal.max(0) as u64];
    let mut text = String::with_capacity(30);
    for (part, width) in parts.into_iter().zip(WIDTHS) {
        // An epoch beyond a million, which no source comes to, takes more digits.
        let digits = width.max((64 - part.leading_zeros() as usize).div_ceil(5));
        text.extend((0..digits).rev().map(|digit| DIGITS[(part >> (5 * digit)) as usize & 31] as char));
    }
    text
}

/// Reads an id, or a position as it is printed.
pub fn position_of(id: &str) -> Option<Position> {
    if let Ok(position) = id.parse() {
        return Some(position);
    }
    if !id.is_ascii() || !(30..=33).contains(&id.len()) {
        return None;
    }
    let (epoch, rest) = id.split_at(id.len() - 26);
    let (lsn, ordinal) = rest.split_at(13);
    let number = |text: &str| {
        let digit = |byte: u8| DIGITS.iter().position(|known| *known == byte);
        text.bytes().try_fold(0u64, |all, byte| Some(all.checked_mul(32)? | digit(byte)? as u64))
    };
    let (epoch, ordinal) = (i32::try_from(number(epoch)?).ok()?, i64::try_from(number(ordinal)?).ok()?);
    Some(Position { epoch, commit_lsn: Lsn(number(lsn)?), ordinal })
}

const HINT: &str = "a cursor is {\"schema\": {\"manifest\": {\"slug\": \"shop\"}, \"schema\": {\"name\": \"orders\", \"version\": \
     {\"major\": 1}}}, \"transactionId\": null}";

/// Reads one cursor.
///
/// # Errors
/// It is none.
pub fn one(value: &Value) -> Result<Cursor, Refusal> {
    let wrong = |what: &str| Refusal::bad(format!("a cursor {what}"), HINT);
    let schema = &value["schema"]["schema"];
    let manifest = value["schema"]["manifest"]["slug"].as_str().ok_or_else(|| wrong("names no manifest"))?;
    let public_schema = schema["name"].as_str().ok_or_else(|| wrong("names no public schema"))?;
    let major = schema["version"]["major"].as_u64().and_then(|major| i32::try_from(major).ok());
    let after = match &value["transactionId"] {
        Value::Null => Position::START,
        id => {
            let position = id.as_str().and_then(position_of);
            position.ok_or_else(|| wrong("has a `transactionId` that this service never gave"))?
        }
    };
    Ok(Cursor {
        manifest: manifest.to_owned(),
        public_schema: public_schema.to_owned(),
        major: major.ok_or_else(|| wrong("names no major version"))?,
        after,
    })
}

/// Reads a list of cursors, each of a public schema of its own.
///
/// # Errors
/// It is none.
pub fn all(value: &Value) -> Result<Vec<Cursor>, Refusal> {
    let list = value.as_array().ok_or_else(|| Refusal::bad("`cursors` is no list", HINT))?;
    if list.len() > CURSORS_MAX {
        return Err(Refusal::bad(format!("there are more than {CURSORS_MAX} cursors"), "ask for some at a time"));
    }
    let mut cursors: Vec<Cursor> = Vec::with_capacity(list.len());
    for value in list {
        let cursor = one(value)?;
        let same = |other: &Cursor| {
            (&other.manifest, &other.public_schema, other.major)
                == (&cursor.manifest, &cursor.public_schema, cursor.major)
        };
        if cursors.iter().any(same) {
            let what = format!("there are two cursors of `{}@{}`", cursor.public_schema, cursor.major);
            return Err(Refusal::bad(what, "keep one of them"));
        }
        cursors.push(cursor);
    }
    Ok(cursors)
}

/// Reads of each cursor the horizon of its stream that the reader knows of, where it says one: what was removed since must
/// not be missed.
///
/// # Errors
/// It is none.
pub fn horizons(value: &Value) -> Result<Vec<Option<Position>>, Refusal> {
    let one = |value: &Value| match &value["horizon"] {
        Value::Null => Ok(None),
        horizon => {
            let horizon = horizon.as_str().and_then(position_of).map(Some);
            horizon.ok_or_else(|| Refusal::bad("a cursor has a `horizon` that this service never gave", HINT))
        }
    };
    value.as_array().into_iter().flatten().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(epoch: i32, lsn: u64, ordinal: i64) -> Position {
        Position { epoch, commit_lsn: Lsn(lsn), ordinal }
    }

    #[test]
    fn ids_are_read_back_and_sort_as_positions_do() {
        let positions = [
            Position::START,
            position(1, 0, 5),
            position(1, 0x0fff_ffff, 1 << 20),
            position(1, 0x1000_0000, 0),
            position(1, 0x1_0000_0000, 0),
            position(1, u64::MAX, i64::MAX),
            position(2, 1, 1),
        ];
        let ids: Vec<String> = positions.iter().map(|position| transaction_id(*position)).collect();
        for (id, position) in ids.iter().zip(positions) {
            assert_eq!(position_of(id), Some(position), "{id}");
            assert!(id.len() <= 30, "{id}");
        }
        assert!(ids.is_sorted(), "{ids:?}");
        assert_eq!(position_of(&transaction_id(position(i32::MAX, 1, 1))), Some(position(i32::MAX, 1, 1)));
        assert_eq!(position_of("1:0/FF:7"), Some(position(1, 0xff, 7)));
        for bad in ["", "x", "0/16B3748", &"w".repeat(30), &"v".repeat(33), "é".repeat(15).as_str()] {
            assert_eq!(position_of(bad), None, "{bad}");
        }
    }
}
