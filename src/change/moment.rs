//! Moments as Postgres prints them.

/// Prints microseconds since 1970-01-01 UTC as Postgres does. The date is that of Howard Hinnant's `civil_from_days`.
pub fn timestamptz(micros: i64) -> String {
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{micros:06}+00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_printed_as_postgres_prints_them() {
        assert_eq!(timestamptz(0), "1970-01-01 00:00:00.000000+00");
        assert_eq!(timestamptz(951_782_400_000_000), "2000-02-29 00:00:00.000000+00");
        assert_eq!(timestamptz(1_795_255_199_999_999), "2026-11-21 09:59:59.999999+00");
        assert_eq!(timestamptz(-1), "1969-12-31 23:59:59.999999+00");
    }
}
