//! Parses and formats times in RFC 3339, section 5.6, strictly.
//!
//! A leap second may end any month in UTC, and counts as the following second, as in POSIX. The months that had one are
//! not looked up, so that a host needs no updates to accept an event. Fractions have any length; digits beyond
//! milliseconds are dropped.

use std::fmt;

use super::Timestamp;

const DAY_SECONDS: i64 = 86_400;
/// 9999-12-31T23:59:59.999Z, the last time that RFC 3339 can write in UTC.
const LAST: u64 = 253_402_300_799_999;

/// Parses a time. A time before 1970 becomes the beginning of 1970, and one that its offset moves beyond the year 9999
/// becomes the end of 9999.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let mut rest = Input(text.as_bytes());
    let (year, month, day) = rest.three(4, b"-")?;
    rest.one_of(b"Tt")?;
    let (hour, minute, second) = rest.three(2, b":")?;
    let milliseconds = rest.fraction()?;
    let offset = rest.offset()?;
    if !(1..=12).contains(&month) || !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_since_1970(year, month, day) * DAY_SECONDS + hour * 3_600 + minute * 60 + second - offset;
    if second == 60 && !begins_a_month(seconds) {
        return None;
    }
    let milliseconds = seconds * 1_000 + milliseconds;
    Some(Timestamp(u64::try_from(milliseconds).unwrap_or(0).min(LAST)))
}

/// Formats a time in UTC, with milliseconds.
pub(super) fn write(time: Timestamp, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    if time.0 > LAST {
        return write!(formatter, "{} ms after 1970", time.0);
    }
    let seconds = time.0 / 1_000;
    let (year, month, day) = date(i64::try_from(time.0).unwrap_or(0) / 1_000 / DAY_SECONDS);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let milliseconds = time.0 % 1_000;
    write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// The remaining input of the parser.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        allowed.contains(first).then_some(*first)
    }

    /// Parses a number with this many digits.
    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        let add = |sum: i64, digit: &u8| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'));
        number.iter().try_fold(0, add)
    }

    /// Parses three numbers with separators. The last two have two digits.
    fn three(&mut self, digits: usize, separator: &[u8]) -> Option<(i64, i64, i64)> {
        let first = self.number(digits)?;
        self.one_of(separator)?;
        let second = self.number(2)?;
        self.one_of(separator)?;
        Some((first, second, self.number(2)?))
    }

    /// Parses a fraction as milliseconds; zero if there is none.
    fn fraction(&mut self) -> Option<i64> {
        let Some(rest) = self.0.strip_prefix(b".") else { return Some(0) };
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = rest.split_at(length);
        self.0 = rest;
        let digit = |index: usize| digits.get(index).map_or(0, |digit| i64::from(digit - b'0'));
        (length > 0).then(|| digit(0) * 100 + digit(1) * 10 + digit(2))
    }

    /// Parses the offset from UTC, in seconds, which must end the input.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return self.0.is_empty().then_some(0),
        };
        let hours = self.number(2)?;
        self.one_of(b":")?;
        let minutes = self.number(2)?;
        (hours <= 23 && minutes <= 59 && self.0.is_empty()).then_some(sign * (hours * 3_600 + minutes * 60))
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let is_leap_year = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap_year),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Whether a time, in seconds since 1970, is the beginning of a month.
fn begins_a_month(seconds: i64) -> bool {
    let (_, _, day) = date(seconds.div_euclid(DAY_SECONDS));
    seconds.rem_euclid(DAY_SECONDS) == 0 && day == 1
}

/// Days from 1970-01-01 to a date. Years are counted from March, so that a leap day is the last day of its year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let since_march = (month + 9) % 12;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * since_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date this many days after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let since_march = (5 * day_of_year + 2) / 153;
    let month = (since_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * since_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The SDKs read the same table.
    #[test]
    fn exactly_rfc_3339_is_read() {
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../../../guest-sdk/conformance/rfc3339.json")).unwrap();
        for (text, expected) in table["valid"].as_object().unwrap() {
            let expected = u64::try_from(expected.as_i64().unwrap()).unwrap_or(0).min(LAST);
            assert_eq!(parse(text), Some(Timestamp(expected)), "{text}");
        }
        for text in table["invalid"].as_array().unwrap() {
            let text = text.as_str().unwrap();
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn formatted_times_can_be_parsed() {
        for days in (0..2_932_896).step_by(97) {
            let time = Timestamp(days * 86_400_000 + 12_345_678);
            assert_eq!(parse(&time.to_string()), Some(time));
        }
        for (time, text) in [(0, "1970-01-01T00:00:00.000Z"), (LAST, "9999-12-31T23:59:59.999Z")] {
            assert_eq!(Timestamp(time).to_string(), text);
        }
        assert_eq!(Timestamp(LAST + 1).to_string(), "253402300800000 ms after 1970");
    }
}
