//! `numeric`, counted in units of its last digit: exact sums without a library for big numbers.

use super::{Decimal, unreadable};
use crate::error::{Error, Result};

impl<S: AsRef<str>> Decimal<S> {
    /// Returns the number in units of 10^-`scale`: `12.5` with scale 2 is 1250.
    ///
    /// # Errors
    /// [`Error::Rejected`] when it has more digits behind the point than that, is not finite, or does not fit.
    pub fn scaled(&self, scale: u32) -> Result<i128> {
        let text = self.as_str();
        if matches!(text, "NaN" | "Infinity" | "-Infinity") {
            return Err(Error::reject("not-finite", "a numeric is NaN or infinite"));
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(unreadable("numeric"));
        }
        let fraction = fraction.trim_end_matches('0');
        let Some(zeros) = (scale as usize).checked_sub(fraction.len()) else {
            return Err(Error::reject(
                "scale",
                format_args!("a numeric has more than {scale} digits behind the point"),
            ));
        };
        let mut units = 0i128;
        for digit in whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat_n(b'0', zeros)) {
            if !digit.is_ascii_digit() {
                return Err(unreadable("numeric"));
            }
            units = units
                .checked_mul(10)
                .and_then(|units| units.checked_add(i128::from(digit - b'0')))
                .ok_or_else(|| Error::reject("too-large", "a numeric has more than 38 digits"))?;
        }
        Ok(if negative { -units } else { units })
    }

    /// Returns the nearest float.
    ///
    /// # Errors
    /// [`Error::Rejected`] for a text that is no number.
    pub fn to_f64(&self) -> Result<f64> {
        self.as_str().parse().map_err(|_| unreadable("numeric"))
    }
}

impl Decimal {
    /// Returns `units` times 10^-`scale`: 1250 with scale 2 is `12.50`.
    pub fn from_scaled(units: i128, scale: u32) -> Decimal {
        let scale = scale as usize;
        let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if units < 0 { "-" } else { "" };
        Decimal(if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_are_counted_exactly() {
        let cases = [("12.5", 1250), ("-0.01", -1), ("0", 0), ("7", 700), (".5", 50), ("1.500", 150), ("-3.", -300)];
        for (text, units) in cases {
            assert_eq!(Decimal::new(text).scaled(2), Ok(units), "{text}");
        }
        for (units, text) in [(1250, "12.50"), (-1, "-0.01"), (0, "0.00"), (-12345, "-123.45")] {
            assert_eq!(Decimal::from_scaled(units, 2).as_str(), text);
        }
        assert_eq!(Decimal::from_scaled(-5, 0).as_str(), "-5");
        for text in ["", ".", "1.005", "NaN", "-Infinity", "1e5", "--1", "1.2.3", &"9".repeat(40)] {
            assert!(Decimal::new(text).scaled(2).is_err(), "{text}");
        }
    }
}
