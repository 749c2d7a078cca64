//! `interval`, as its three parts: how long a month or a day is depends on where it begins.

use super::{Interval, Moment, unreadable};
use crate::error::Result;

/// The parts that Postgres keeps of an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Years are twelve of them.
    pub months: i64,
    pub days: i64,
    /// Hours, minutes and seconds, in microseconds.
    pub micros: i64,
}

impl<S: AsRef<str>> Interval<S> {
    /// Returns months, days and microseconds. PostgreSQL 17 and newer know infinite intervals.
    ///
    /// # Errors
    /// [`Error::Rejected`](crate::Error::Rejected) for a text that is no interval in Postgres's own style.
    pub fn parts(&self) -> Result<Moment<Parts>> {
        match self.as_str() {
            "infinity" => Ok(Moment::Infinity),
            "-infinity" => Ok(Moment::MinusInfinity),
            text => parse(text).map(Moment::At).ok_or_else(|| unreadable("interval")),
        }
    }
}

/// Reads `1 year -2 mons +3 days -04:05:06.7`.
fn parse(text: &str) -> Option<Parts> {
    let mut parts = Parts::default();
    let mut words = text.split(' ');
    loop {
        let word = words.next()?;
        let (negative, digits) = match word.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, word.strip_prefix('+').unwrap_or(word)),
        };
        let sign = if negative { -1 } else { 1 };
        if digits.contains(':') {
            parts.micros = clock(digits)?.checked_mul(sign)?;
            return words.next().is_none().then_some(parts);
        }
        let number = number(digits)? * sign;
        match words.next()? {
            "year" | "years" => parts.months += number * 12,
            "mon" | "mons" => parts.months += number,
            "day" | "days" => parts.days += number,
            _ => return None,
        }
        if words.clone().next().is_none() {
            return Some(parts);
        }
    }
}

/// Reads digits, of which Postgres prints ten at most.
fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.len() <= 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Reads `04:05:06.7` as microseconds; of hours there may be any number.
pub(super) fn clock(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, ':');
    let (hours, minutes, seconds) = (number(parts.next()?)?, number(parts.next()?)?, parts.next()?);
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    if fraction.len() > 6 {
        return None;
    }
    let micros = number(fraction)? * 10i64.pow(6 - fraction.len() as u32);
    let seconds = hours * 3600 + minutes * 60 + number(seconds)?;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_months_days_and_microseconds() {
        let cases = [
            ("00:00:00", (0, 0, 0)),
            ("1 year 2 mons 3 days 04:05:06.7", (14, 3, 14_706_700_000)),
            ("1 mon", (1, 0, 0)),
            ("-1 years -2 mons +3 days -04:05:06", (-14, 3, -14_706_000_000)),
            ("-1 days +00:00:00.000001", (0, -1, 1)),
            ("178000000 years", (2_136_000_000, 0, 0)),
            ("2562047788:00:54.775807", (0, 0, 9_223_372_036_854_775_807)),
        ];
        for (text, (months, days, micros)) in cases {
            assert_eq!(Interval::new(text).parts(), Ok(Moment::At(Parts { months, days, micros })), "{text}");
        }
        assert_eq!(Interval::new("-infinity").parts(), Ok(Moment::MinusInfinity));
        for text in
            ["", "1", "1 week", "1 day ", "1 day  2 mons", "1:2", "P1Y", "00:00:00 1 day", "1 day 1:0:0.1234567"]
        {
            assert!(Interval::new(text).parts().is_err(), "{text}");
        }
    }
}
