//! How readers say where they are: ReJot's cursors, with positions of ours as the ids of transactions.
//!
//! An id is that of the last event that was read. To whoever gets it, it is a text without a meaning, of at most 30
//! characters (ReJot keeps it in a `varchar(30)`). A position as `pelton events` prints it is taken too.
//!
//! Events that retention has merged are good to go on in for as long as nothing more is merged. So whoever is among them says
//! under which horizon it began: an id has a digest of it, and beside a position stands `horizon`.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::answer::Refusal;
use crate::change::Position;
use crate::lsn::Lsn;

/// A public schema of some manifest, and the position behind which it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub manifest: String,
    pub public_schema: String,
    pub major: i32,
    /// `None`: the id is none that this service gave; it may be another one's.
    pub after: Option<Position>,
    /// The UUID of the stream that was read up to there.
    pub origin: Option<String>,
    /// Of a reader that is among merged events: the stream's horizon when it began, as far as it is known.
    pub began_under: Option<u32>,
}

impl Cursor {
    /// Returns what it names: `shop/orders@1`.
    pub fn name(&self) -> String {
        format!("{}/{}@{}", self.manifest, self.public_schema, self.major)
    }

    /// Returns its position.
    ///
    /// # Errors
    /// It has none.
    pub fn position(&self) -> Result<Position, Refusal> {
        let wrong = || Refusal::bad("a cursor has a `transactionId` that this service never gave", HINT);
        self.after.ok_or_else(wrong)
    }
}

/// More cursors than a request may have.
const CURSORS_MAX: usize = 256;
const DIGITS: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
/// Digits of an epoch, a position in the log and an ordinal, to base 32; another epoch may have more.
const WIDTHS: [usize; 3] = [4, 13, 13];
/// What an id begins with that is among merged events; to base 64, and a digest of the horizon behind it.
const MERGED: char = '_';
const MERGED_WIDTHS: [usize; 4] = [3, 11, 11, 4];

/// Returns the id of the transaction whose last event is at a position. `horizon` is that of a stream of which it is a merged
/// event.
pub fn transaction_id(position: Position, horizon: Option<Position>) -> String {
    let parts = [position.epoch.max(0) as u64, position.commit_lsn.0, position.ordinal.max(0) as u64];
    let mut text = String::with_capacity(30);
    if let Some(horizon) = horizon.filter(|_| parts[0] < 64u64.pow(MERGED_WIDTHS[0] as u32)) {
        text.push(MERGED);
        let all = parts.into_iter().chain([u64::from(digest(horizon))]);
        all.zip(MERGED_WIDTHS).for_each(|(part, width)| write(&mut text, part, 6, width));
        return text;
    }
    for (part, width) in parts.into_iter().zip(WIDTHS) {
        // An epoch beyond a million, which no source comes to, takes more digits.
        write(&mut text, part, 5, width.max((64 - part.leading_zeros() as usize).div_ceil(5)));
    }
    text
}

/// Appends a number's digits, each of so many bits.
fn write(text: &mut String, number: u64, bits: usize, width: usize) {
    let digit = |place: usize| number.checked_shr((bits * place) as u32).unwrap_or(0) as usize & ((1 << bits) - 1);
    text.extend((0..width).rev().map(|place| DIGITS[digit(place)] as char));
}

fn read(text: &str, bits: usize) -> Option<u64> {
    let digit = |byte: u8| DIGITS[..1 << bits].iter().position(|known| *known == byte);
    text.bytes().try_fold(0u64, |all, byte| Some(all.checked_mul(1 << bits)? | digit(byte)? as u64))
}

/// Returns what an id says of the horizon under which its reader began.
pub fn digest(horizon: Position) -> u32 {
    let all: [u8; 32] = Sha256::digest(horizon.to_string().as_bytes()).into();
    u32::from_be_bytes([0, all[0], all[1], all[2]])
}

/// Reads an id, a position as it is printed, or an id that ReJot gave before its events were taken over.
pub fn position_of(id: &str) -> Option<Position> {
    position_and_horizon(id).map(|(position, _)| position)
}

fn position_and_horizon(id: &str) -> Option<(Position, Option<u32>)> {
    if let Ok(position) = id.parse() {
        return Some((position, None));
    }
    if let Ok(commit_lsn) = id.parse() {
        return Some((Position { epoch: 0, commit_lsn, ordinal: i64::MAX }, None));
    }
    let position = |epoch: u64, lsn: u64, ordinal: u64| {
        let (epoch, ordinal) = (i32::try_from(epoch).ok()?, i64::try_from(ordinal).ok()?);
        Some(Position { epoch, commit_lsn: Lsn(lsn), ordinal })
    };
    if !id.is_ascii() || !(30..=33).contains(&id.len()) {
        return None;
    }
    if let Some(rest) = id.strip_prefix(MERGED) {
        let mut rest = rest;
        let mut next = |width: usize| {
            let (part, behind) = rest.split_at_checked(width)?;
            rest = behind;
            read(part, 6)
        };
        let parts = MERGED_WIDTHS.map(&mut next);
        let [Some(epoch), Some(lsn), Some(ordinal), Some(digest)] = parts else { return None };
        return rest.is_empty().then_some((position(epoch, lsn, ordinal)?, Some(digest as u32)));
    }
    let (epoch, rest) = id.split_at(id.len() - 26);
    let (lsn, ordinal) = rest.split_at(13);
    Some((position(read(epoch, 5)?, read(lsn, 5)?, read(ordinal, 5)?)?, None))
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
    let (after, began_under) = match &value["transactionId"] {
        Value::Null => (Some(Position::START), None),
        id => {
            let id = id.as_str().ok_or_else(|| wrong("has a `transactionId` that is no text"))?;
            let read = position_and_horizon(id);
            (read.map(|(position, _)| position), read.and_then(|(_, horizon)| horizon))
        }
    };
    let horizon = value["horizon"].as_str().and_then(|text| text.parse().ok());
    Ok(Cursor {
        manifest: manifest.to_owned(),
        public_schema: public_schema.to_owned(),
        major: major.ok_or_else(|| wrong("names no major version"))?,
        after,
        origin: value["origin"].as_str().map(str::to_owned),
        began_under: horizon.map(digest).or(began_under),
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
        let ids: Vec<String> = positions.iter().map(|position| transaction_id(*position, None)).collect();
        for (id, position) in ids.iter().zip(positions) {
            assert_eq!(position_of(id), Some(position), "{id}");
            assert!(id.len() <= 30, "{id}");
            // Among merged events it says under which horizon.
            let merged = transaction_id(position, Some(positions[3]));
            assert_eq!(position_and_horizon(&merged), Some((position, Some(digest(positions[3])))), "{merged}");
            assert_eq!(merged.len(), 30, "{merged}");
            assert_ne!(merged, transaction_id(position, Some(positions[4])));
        }
        assert!(ids.is_sorted(), "{ids:?}");
        let far = position(i32::MAX, 1, 1);
        assert_eq!(position_of(&transaction_id(far, None)), Some(far));
        assert_eq!(position_of(&transaction_id(far, Some(far))), Some(far));
        assert_eq!(position_of("1:0/FF:7"), Some(position(1, 0xff, 7)));
        assert_eq!(position_of("0/16B3748"), Some(position(0, 0x16b_3748, i64::MAX)));
        let of_others = ["", "x", "0/", "16B3748", &"w".repeat(30), &"v".repeat(33), &"é".repeat(15), &"_".repeat(30)];
        for bad in of_others {
            assert_eq!(position_of(bad), None, "{bad}");
        }
    }
}
