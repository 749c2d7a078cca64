//! Floats as Postgres prints them: the shortest digits that read back as the same value.
//!
//! Postgres prints without an exponent from 1e-4 up to 15 digits before the point (`float8`) or 6 (`float4`), and
//! otherwise with an exponent of at least two digits and its sign: `100000`, `1e+20`, `1e-05`
//! (`double_to_shortest_decimal_buf` in `src/common/d2s.c`). A guest's float so arrives as the same text that a column
//! would have had.

/// A buffer for the text of one float.
pub(super) struct Text {
    bytes: [u8; 40],
    length: usize,
}

impl Default for Text {
    fn default() -> Text {
        Text { bytes: [0; 40], length: 0 }
    }
}

impl Text {
    pub(super) fn of_f64(&mut self, value: f64) -> &[u8] {
        match special(value) {
            Some(text) => text,
            None => self.lay_out(zmij::Buffer::new().format_finite(value), 15),
        }
    }

    pub(super) fn of_f32(&mut self, value: f32) -> &[u8] {
        match special(value.into()) {
            Some(text) => text,
            None => self.lay_out(zmij::Buffer::new().format_finite(value), 6),
        }
    }

    /// Takes digits and exponent out of `shortest` (`-12.5`, `1e-7`, `1.5e300`) and lays them out anew.
    fn lay_out(&mut self, shortest: &str, exponent_max: i32) -> &[u8] {
        let (negative, unsigned) = match shortest.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, shortest),
        };
        let (mantissa, exponent) = match unsigned.split_once('e') {
            Some((mantissa, exponent)) => (mantissa, exponent.parse().unwrap_or(0)),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits = [0u8; 40];
        let mut count = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            digits[count] = digit;
            count += 1;
        }
        let leading = digits[..count].iter().take_while(|&&d| d == b'0').count();
        // Of the first digit that is not zero.
        let exponent: i32 = exponent + whole.len() as i32 - 1 - leading as i32;
        let digits = &digits[leading..count];
        let trailing = digits.iter().rev().take_while(|&&d| d == b'0').count();
        let digits = &digits[..digits.len() - trailing];
        self.length = 0;
        if negative {
            self.push(b"-");
        }
        if digits.is_empty() {
            self.push(b"0");
        } else if (-4..0).contains(&exponent) {
            self.push(b"0.");
            self.push(&b"000"[..(-exponent - 1) as usize]);
            self.push(digits);
        } else if (0..exponent_max).contains(&exponent) {
            let whole = exponent as usize + 1;
            if digits.len() <= whole {
                self.push(digits);
                self.push(&b"000000000000000"[..whole - digits.len()]);
            } else {
                self.push(&digits[..whole]);
                self.push(b".");
                self.push(&digits[whole..]);
            }
        } else {
            self.push(&digits[..1]);
            if digits.len() > 1 {
                self.push(b".");
                self.push(&digits[1..]);
            }
            self.push(if exponent < 0 { b"e-" } else { b"e+" });
            if exponent.abs() < 10 {
                self.push(b"0");
            }
            self.push(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
        }
        &self.bytes[..self.length]
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }
}

fn special(value: f64) -> Option<&'static [u8]> {
    if value.is_nan() {
        Some(b"NaN")
    } else if value == f64::INFINITY {
        Some(b"Infinity")
    } else if value == f64::NEG_INFINITY {
        Some(b"-Infinity")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of_f64(value: f64) -> String {
        String::from_utf8(Text::default().of_f64(value).to_vec()).unwrap()
    }

    fn of_f32(value: f32) -> String {
        String::from_utf8(Text::default().of_f32(value).to_vec()).unwrap()
    }

    #[test]
    fn floats_look_as_postgres_prints_them() {
        // The right sides were printed by PostgreSQL 15: select 1e15::float8, …
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100000.0, "100000"),
            (123456789012345.0, "123456789012345"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (1234567890123456.0, "1.234567890123456e+15"),
            (1e20, "1e+20"),
            (1e100, "1e+100"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "1e-05"),
            (0.1, "0.1"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(of_f64(value), text);
        }
        let cases = [
            (1e5, "100000"),
            (1e6, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (0.1, "0.1"),
            (f32::MAX, "3.4028235e+38"),
            (1e-45, "1e-45"),
            (16777216.0, "1.6777216e+07"),
        ];
        for (value, text) in cases {
            assert_eq!(of_f32(value), text);
        }
    }

    proptest! {
        #[test]
        fn every_float_reads_back_as_itself(bits: u64, single: u32) {
            let value = f64::from_bits(bits);
            let read: f64 = of_f64(value).parse().unwrap();
            prop_assert!(read.to_bits() == bits || value.is_nan() && read.is_nan());
            let value = f32::from_bits(single);
            let read: f32 = of_f32(value).parse().unwrap();
            prop_assert!(read.to_bits() == single || value.is_nan() && read.is_nan());
        }
    }
}
