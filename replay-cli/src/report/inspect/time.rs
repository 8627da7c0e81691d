//! Points in time as people write them.

/// A time in nanoseconds since the Unix epoch as `2024-02-29 12:34:56.789012 UTC`, in the Gregorian calendar.
pub(crate) fn utc(time_ns: i64) -> String {
    let micros = time_ns.div_euclid(1_000);
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{fraction:06} UTC")
}

/// Year, month and day of a day counted from 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, a leap day is the last day of its year, and the calendar repeats every 400 years.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on have 31, 30, 31, 30, 31 days, and again.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_in_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00.000000 UTC"),
            (1_709_210_096_789_012_345, "2024-02-29 12:34:56.789012 UTC"),
            (951_868_800_000_000_000, "2000-03-01 00:00:00.000000 UTC"),
            (4_107_542_399_999_999_999, "2100-02-28 23:59:59.999999 UTC"),
            (-1, "1969-12-31 23:59:59.999999 UTC"),
        ];
        for (time_ns, text) in cases {
            assert_eq!(utc(time_ns), text);
        }
    }

    #[test]
    fn the_ends_of_the_range_are_printed_too() {
        assert!(utc(i64::MAX).starts_with("2262-04-11"));
        assert!(utc(i64::MIN).starts_with("1677-09-21"));
    }
}
