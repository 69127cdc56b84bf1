//! Times in RFC 3339, section 5.6, parsed as strictly as the host does.

use std::time::{Duration, SystemTime};

const DAY: i64 = 86_400;

/// Parses a time. A leap second may end any month in UTC, and counts as the next second.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let bytes = text.as_bytes();
    let separators: [(usize, &[u8]); 5] = [(4, b"-"), (7, b"-"), (10, b"Tt"), (13, b":"), (16, b":")];
    if !separators.iter().all(|(at, allowed)| bytes.get(*at).is_some_and(|byte| allowed.contains(byte))) {
        return None;
    }
    let number = |from: usize, to: usize| digits(text.get(from..to)?);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let days_of_month = days(year + month / 12, month % 12 + 1, 1) - days(year, month, 1);
    if !(1..=12).contains(&month) || !(1..=days_of_month).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanoseconds, zone) = fraction(text.get(19..)?)?;
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    if second == 60 && !begins_a_month(seconds) {
        return None;
    }
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base = if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)?
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)?
    };
    base.checked_add(Duration::from_nanos(nanoseconds))
}

/// Whether a month begins at a time, in seconds since 1970.
fn begins_a_month(seconds: i64) -> bool {
    seconds.rem_euclid(DAY) == 0 && date(seconds.div_euclid(DAY)).2 == 1
}

/// Formats a time in UTC. A time before 1970 becomes the beginning of 1970.
pub(crate) fn format(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let (year, month, day) = date(seconds / DAY);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let fraction = match since.subsec_nanos() {
        0 => String::new(),
        nanoseconds => format!(".{nanoseconds:09}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The nanoseconds of a fraction, and the rest of the text. Digits after the ninth are ignored.
fn fraction(text: &str) -> Option<(u64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let zone = rest.trim_start_matches(|character: char| character.is_ascii_digit());
    let digits = &rest[..rest.len() - zone.len()];
    if digits.is_empty() {
        return None;
    }
    Some((format!("{digits:0<9}")[..9].parse().ok()?, zone))
}

/// The offset of a zone from UTC in seconds.
fn offset(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.as_bytes().first()? {
        b'Z' | b'z' if zone.len() == 1 => return Some(0),
        b'+' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3600 + minutes * 60))
}

/// The days from 1970-01-01 to a date. Years start in March, so that a leap day is the last day of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let since_march = (month + 9) % 12;
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * since_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date that is `days` after 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let since_march = (5 * day_of_year + 2) / 153;
    let month = (since_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * since_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_parsed() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00z", 951_782_400),
            ("2030-01-01T00:00:00Z", 1_893_456_000),
            ("2030-01-01t01:30:00+01:30", 1_893_456_000),
            ("2029-12-31T19:00:00-05:00", 1_893_456_000),
        ] {
            assert_eq!(parse(text), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
        let fraction = SystemTime::UNIX_EPOCH + Duration::new(1, 250_000_000);
        assert_eq!(parse("1970-01-01T00:00:01.25Z"), Some(fraction));
        assert_eq!(parse("1969-12-31T23:59:59Z"), Some(SystemTime::UNIX_EPOCH - Duration::from_secs(1)));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "tomorrow",
            "2030-01-01",
            "2030-01-01T00:00:00",
            "2030-01-01T00:00:00.Z",
            "2030-13-01T00:00:00Z",
            "2030-00-01T00:00:00Z",
            "2030-02-29T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:00:00+1:00",
            "2030-01-01T00:00:00ü",
            "+030-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    /// The host and the other SDKs read the same table.
    #[test]
    fn exactly_rfc_3339_is_parsed() {
        let table: serde_json::Value = serde_json::from_str(include_str!("../../conformance/rfc3339.json")).unwrap();
        for (text, milliseconds) in table["valid"].as_object().unwrap() {
            let milliseconds = milliseconds.as_i64().unwrap();
            let distance = Duration::from_millis(milliseconds.unsigned_abs());
            let expected = match milliseconds < 0 {
                true => SystemTime::UNIX_EPOCH - distance,
                false => SystemTime::UNIX_EPOCH + distance,
            };
            let parsed = parse(text).unwrap_or_else(|| panic!("{text} is a time"));
            let late = parsed.duration_since(expected).unwrap();
            assert!(late < Duration::from_millis(1), "{text}");
        }
        for text in table["invalid"].as_array().unwrap() {
            assert_eq!(parse(text.as_str().unwrap()), None, "{text}");
        }
    }

    #[test]
    fn formatted_times_can_be_parsed() {
        for days in 0..60_000 {
            let time = SystemTime::UNIX_EPOCH + Duration::new(days * 86_400 + 12_345, 6_789);
            assert_eq!(parse(&format(time)), Some(time), "{days}");
        }
        assert_eq!(format(SystemTime::UNIX_EPOCH + Duration::from_secs(951_782_400)), "2000-02-29T00:00:00Z");
    }
}
