//! What the accessors make of a row.

use std::collections::HashMap;

use pelton_sdk::prelude::*;
use serde_json::value::RawValue;

use crate::Kinds;

#[derive(Public)]
#[public(name = "parsed", version = "1.0")]
pub struct Parsed {
    #[key]
    id: i64,
    /// Twice `c_numeric`, with six digits behind the point; NaN and the infinities are handed on.
    numeric_doubled: Option<Decimal>,
    timestamp_micros: Option<i64>,
    timestamptz_micros: Option<i64>,
    date_days: Option<i64>,
    time_micros: Option<i64>,
    interval_months: Option<i64>,
    interval_days: Option<i64>,
    interval_micros: Option<i64>,
    /// Which of `timestamp`, `timestamptz`, `date` and `interval` are infinite: `date=infinity interval=-infinity`.
    infinite: String,
    int4s_count: Option<i32>,
    /// The sum of the elements that are not NULL.
    int4s_sum: Option<i64>,
    /// The elements from the last to the first.
    #[column(kind = "text[]")]
    texts_reversed: Option<Array>,
    /// The 128 bits as a number.
    uuid_number: Option<Decimal>,
    /// The member `name` of the object in `c_json`, if it is one, has it, and it is a string.
    json_name: Option<String>,
    /// The length of `c_large` in bytes.
    large_bytes: Toasted<Option<i32>>,
}

pub fn parse(row: Kinds<'_>) -> Result<Parsed> {
    let mut infinite = Vec::new();
    let timestamp_micros = finite("timestamp", row.c_timestamp.map(|t| t.micros()).transpose()?, &mut infinite);
    let timestamptz_micros =
        finite("timestamptz", row.c_timestamptz.map(|t| t.unix_micros()).transpose()?, &mut infinite);
    let date_days = finite("date", row.c_date.map(|d| d.unix_days()).transpose()?, &mut infinite);
    let interval = finite("interval", row.c_interval.map(|i| i.parts()).transpose()?, &mut infinite);
    let int4s = row.c_int4s.map(|array| array.elements()).transpose()?;
    let texts = row.c_texts.map(|array| array.elements()).transpose()?;
    Ok(Parsed {
        id: row.id,
        numeric_doubled: row.c_numeric.map(doubled).transpose()?,
        timestamp_micros,
        timestamptz_micros,
        date_days,
        time_micros: row.c_time.map(|t| t.micros()).transpose()?,
        interval_months: interval.map(|i| i.months),
        interval_days: interval.map(|i| i.days),
        interval_micros: interval.map(|i| i.micros),
        infinite: infinite.join(" "),
        int4s_count: int4s.as_ref().map(|elements| elements.len() as i32),
        int4s_sum: int4s.map(|elements| elements.iter().flatten().filter_map(|e| e.parse::<i64>().ok()).sum()),
        texts_reversed: texts.map(|elements| Array::of(elements.into_iter().rev())),
        uuid_number: row.c_uuid.map(|uuid| uuid.to_u128()).transpose()?.map(|n| Decimal::new(n.to_string())),
        json_name: row.c_json.and_then(|json| name(json.as_str())),
        large_bytes: row.c_large.map(|large| large.map(|text| text.len() as i32)),
    })
}

fn doubled(number: Decimal<&str>) -> Result<Decimal> {
    if matches!(number.as_str(), "NaN" | "Infinity" | "-Infinity") {
        return Ok(number.to_owned());
    }
    match number.scaled(6)?.checked_mul(2) {
        Some(units) => Ok(Decimal::from_scaled(units, 6)),
        None => reject!("too-large", "a doubled numeric has more than 38 digits"),
    }
}

/// Returns what is finite, and notes what isn't.
fn finite<T>(column: &str, moment: Option<Moment<T>>, infinite: &mut Vec<String>) -> Option<T> {
    match moment? {
        Moment::At(value) => return Some(value),
        Moment::Infinity => infinite.push(format!("{column}=infinity")),
        Moment::MinusInfinity => infinite.push(format!("{column}=-infinity")),
    }
    None
}

fn name(json: &str) -> Option<String> {
    let members: HashMap<String, &RawValue> = serde_json::from_str(json).ok()?;
    serde_json::from_str(members.get("name")?.get()).ok()
}
