//! Dates and timestamps as numbers.

use super::interval::clock;
use super::{Date, Time, Timestamp, Timestamptz, unreadable};
use crate::error::Result;

/// A point in time as Postgres knows them: there are two infinite ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment<T> {
    MinusInfinity,
    At(T),
    Infinity,
}

impl<S: AsRef<str>> Date<S> {
    /// Returns the days since 1970-01-01.
    ///
    /// # Errors
    /// [`Error::Rejected`](crate::Error::Rejected) for a text that is no date.
    pub fn unix_days(&self) -> Result<Moment<i64>> {
        moment(self.as_str(), date).ok_or_else(|| unreadable("date"))
    }
}

impl<S: AsRef<str>> Time<S> {
    /// Returns the microseconds since midnight: 86,400,000,000 for `24:00:00`.
    ///
    /// # Errors
    /// [`Error::Rejected`](crate::Error::Rejected) for a text that is no time.
    pub fn micros(&self) -> Result<i64> {
        clock(self.as_str()).ok_or_else(|| unreadable("time"))
    }
}

impl<S: AsRef<str>> Timestamp<S> {
    /// Returns the microseconds since 1970-01-01 of the same clock.
    ///
    /// # Errors
    /// [`Error::Rejected`](crate::Error::Rejected) for a text that is no timestamp.
    pub fn micros(&self) -> Result<Moment<i64>> {
        moment(self.as_str(), timestamp).ok_or_else(|| unreadable("timestamp"))
    }
}

impl<S: AsRef<str>> Timestamptz<S> {
    /// Returns the microseconds since 1970-01-01 UTC.
    ///
    /// # Errors
    /// [`Error::Rejected`](crate::Error::Rejected) for a text that is no timestamp with time zone.
    pub fn unix_micros(&self) -> Result<Moment<i64>> {
        let at = |text: &str, bc| {
            // The zone's sign stands behind the date's hyphens.
            let sign = text.get(text.find(' ')?..)?.find(['+', '-'])? + text.find(' ')?;
            let (clock, zone) = text.split_at_checked(sign)?;
            let negative = zone.starts_with('-');
            let mut seconds = 0;
            for (part, unit) in zone.get(1..)?.split(':').zip([3600, 60, 1]) {
                seconds += number(part)? * unit;
            }
            let offset = if negative { -seconds } else { seconds };
            timestamp(clock, bc)?.checked_sub(offset * 1_000_000)
        };
        moment(self.as_str(), at).ok_or_else(|| unreadable("timestamp with time zone"))
    }
}

fn moment(text: &str, at: impl Fn(&str, bool) -> Option<i64>) -> Option<Moment<i64>> {
    match text {
        "infinity" => Some(Moment::Infinity),
        "-infinity" => Some(Moment::MinusInfinity),
        _ => match text.strip_suffix(" BC") {
            Some(text) => at(text, true),
            None => at(text, false),
        }
        .map(Moment::At),
    }
}

fn number(digits: &str) -> Option<i64> {
    let plain = !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

fn date(text: &str, bc: bool) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // 1 BC is the year 0.
    let year = if bc { 1 - year } else { year };
    // Days since 0000-03-01 in the proleptic Gregorian calendar: years begin in March, so leap days end them.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * m + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn timestamp(text: &str, bc: bool) -> Option<i64> {
    let (day, clock) = text.split_once(' ')?;
    let mut parts = clock.splitn(3, ':');
    let (hours, minutes) = (number(parts.next()?)?, number(parts.next()?)?);
    let (seconds, fraction) = match parts.next()?.split_once('.') {
        Some((seconds, fraction)) => (number(seconds)?, fraction),
        None => (number(clock.rsplit(':').next()?)?, ""),
    };
    if fraction.len() > 6 {
        return None;
    }
    let micros = if fraction.is_empty() { 0 } else { number(fraction)? * 10i64.pow(6 - fraction.len() as u32) };
    let seconds = date(day, bc)? * 86_400 + hours * 3600 + minutes * 60 + seconds;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_since_1970() {
        let cases = [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("4714-11-24 BC", -2_440_588),
            ("5874897-12-31", 2_145_042_905),
        ];
        for (text, days) in cases {
            assert_eq!(Date::new(text).unix_days(), Ok(Moment::At(days)), "{text}");
        }
        assert_eq!(Date::new("-infinity").unix_days(), Ok(Moment::MinusInfinity));
        for text in ["", "2000", "2000-13-01", "x-01-01", "2000-01-", "2000-01-01 12:00:00"] {
            assert!(Date::new(text).unix_days().is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_microseconds_since_midnight() {
        let cases = [("00:00:00", 0), ("23:59:59.999999", 86_399_999_999), ("24:00:00", 86_400_000_000)];
        for (text, micros) in cases {
            assert_eq!(Time::new(text).micros(), Ok(micros), "{text}");
        }
        for text in ["", "12", "12:00", "-12:00:00", "12:00:00.", "12:00:00+01", "infinity"] {
            assert!(Time::new(text).micros().is_err(), "{text}");
        }
    }

    #[test]
    fn timestamps_are_microseconds_since_1970() {
        assert_eq!(Timestamp::new("1970-01-01 00:00:01.5").micros(), Ok(Moment::At(1_500_000)));
        assert_eq!(Timestamp::new("1970-01-01 24:00:00").micros(), Ok(Moment::At(86_400_000_000)));
        assert_eq!(Timestamp::new("infinity").micros(), Ok(Moment::Infinity));
        let cases = [
            ("1970-01-01 00:00:00+00", 0),
            ("1970-01-01 01:00:00+01", 0),
            ("1969-12-31 18:30:00.000001-05:30", 1),
            ("2024-07-01 12:34:56.789012+00", 1_719_837_296_789_012),
            ("0001-12-31 23:59:59+00 BC", -62_135_596_801_000_000),
        ];
        for (text, micros) in cases {
            assert_eq!(Timestamptz::new(text).unix_micros(), Ok(Moment::At(micros)), "{text}");
        }
        for text in
            ["", "1970-01-01", "1970-01-01 00:00:00", "1970-01-01 0:0+00", "1970-01-01 00:00:00.1234567+00", "ä +"]
        {
            assert!(Timestamptz::new(text).unix_micros().is_err(), "{text}");
        }
    }
}
