//! JSON without rounding: numbers beyond the precision of a double stay different.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};

/// Converts JSON into a value in which different numbers stay different. A number that neither a double nor a 64-bit
/// integer can hold becomes `{"number": "..."}`.
///
/// The text must be JSON of limited depth, see [`crate::event::json_text`].
#[must_use]
pub fn exact(json: &RawValue) -> Value {
    let text = json.get();
    match text.as_bytes().first() {
        Some(b'{') => serde_json::from_str(text).map(members),
        Some(b'[') => serde_json::from_str(text).map(|items: Vec<&RawValue>| items.into_iter().map(exact).collect()),
        Some(b'-' | b'0'..=b'9') => {
            Ok(exact_number(text).map_or_else(|| json!({ "number": canonical(text) }), Value::Number))
        }
        _ => serde_json::from_str(text),
    }
    // A string with a lone surrogate cannot be decoded; use its text.
    .unwrap_or_else(|_| Value::from(text))
}

fn members(members: BTreeMap<String, &RawValue>) -> Value {
    members.into_iter().map(|(name, value)| (name, exact(value))).collect::<Map<_, _>>().into()
}

/// The canonical text of a number: equal numbers, such as `1.50` and `1.5`, or `1e2` and `100.0`, have the same text. A
/// number that a 64-bit integer or a double can hold is written as such.
#[must_use]
pub fn number_text(text: &str) -> String {
    if let Some(integer) = integer(text) {
        return integer;
    }
    exact_number(text).map_or_else(|| canonical(text), |number| number.to_string())
}

/// The canonical text of a value: object members are sorted, and numbers are as in [`number_text`].
#[must_use]
pub fn value_text(json: &RawValue) -> String {
    plain(exact(json)).to_string()
}

fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            integer(&number.to_string()).and_then(|text| text.parse::<Number>().ok()).unwrap_or(number).into()
        }
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, value)| (name, plain(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

/// The plain text of a 64-bit integer, however it is written: `7.0`, `70e-1` and `7` are the same.
fn integer(text: &str) -> Option<String> {
    let canonical = canonical(text);
    let (digits, exponent) = canonical.split_once('e').unwrap_or((&canonical, "0"));
    let zeros: usize = exponent.parse().ok().filter(|zeros| *zeros <= 20)?;
    let plain = format!("{digits}{}", "0".repeat(zeros));
    (plain.parse::<i64>().is_ok() || plain.parse::<u64>().is_ok()).then_some(plain)
}

/// Parses a number, unless it would be rounded.
fn exact_number(text: &str) -> Option<Number> {
    if let Ok(number) = text.parse::<i64>() {
        return Some(number.into());
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(number.into());
    }
    let number = text.parse().ok().and_then(Number::from_f64)?;
    (canonical(&number.to_string()) == canonical(text)).then_some(number)
}

/// Writes a decimal number as its significant digits and a power of ten.
fn canonical(text: &str) -> String {
    let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    let shift = i128::try_from(trailing).unwrap_or(0) - i128::try_from(fraction.len()).unwrap_or(0);
    // A number with a huge exponent stays as written.
    let Ok(exponent) = exponent.parse::<i64>() else { return text.to_owned() };
    let sign = if negative { "-" } else { "" };
    match i128::from(exponent) + shift {
        0 => format!("{sign}{significant}"),
        exponent => format!("{sign}{significant}e{exponent}"),
    }
}

/// Resolves a JSON pointer (RFC 6901) in a document. Of members with the same name the last one counts.
#[must_use]
pub fn resolve_pointer<'a>(json: &'a str, pointer: &str) -> Option<&'a RawValue> {
    let mut found: &RawValue = serde_json::from_str(json).ok()?;
    for token in pointer.split('/').skip(1) {
        let name = token.replace("~1", "/").replace("~0", "~");
        found = match found.get().as_bytes().first()? {
            b'{' => serde_json::from_str::<BTreeMap<String, &RawValue>>(found.get()).ok()?.remove(&name)?,
            b'[' => {
                let index = name.parse::<usize>().ok().filter(|index| index.to_string() == name)?;
                serde_json::from_str::<Vec<&RawValue>>(found.get()).ok()?.into_iter().nth(index)?
            }
            _ => return None,
        };
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_one_text() {
        for (text, expected) in [
            ("7", "7"),
            ("-7", "-7"),
            ("0", "0"),
            ("1.5", "1.5"),
            ("1.50", "1.5"),
            ("15e-1", "1.5"),
            ("100.0", "100"),
            ("1e2", "100"),
            ("18446744073709551615", "18446744073709551615"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("12345678901234567890124", "12345678901234567890124"),
            ("1234567890123456789012300e-2", "12345678901234567890123"),
            ("-12345678901234567890123", "-12345678901234567890123"),
            ("0.1000000000000000000001", "1000000000000000000001e-22"),
            ("1e999", "1e999"),
            ("10E998", "1e999"),
            ("1e99999999999999999999", "1e99999999999999999999"),
        ] {
            assert_eq!(number_text(text), expected, "{text}");
        }
    }

    #[test]
    fn different_documents_are_different_values() {
        let exact = |text: &str| exact(serde_json::from_str(text).unwrap());
        assert_ne!(exact(r#"{"a":[12345678901234567890123]}"#), exact(r#"{"a":[12345678901234567890124]}"#));
        assert_ne!(exact("1e999"), exact("1e998"));
        assert_eq!(exact(r#"{"a":1,"b":[0.10,"x",null,true]}"#), json!({ "a": 1, "b": [0.1, "x", null, true] }));
    }

    /// RFC 6901, section 5.
    #[test]
    fn pointers_name_values() {
        let document = r#"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"twice":1,"twice":2,"deep":{"x":{"y":1e999}}}"#;
        for (pointer, expected) in [
            ("/foo/0", Some("\"bar\"")),
            ("/foo/01", None),
            ("/foo/2", None),
            ("/foo/x", None),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/m~0n", Some("8")),
            ("/twice", Some("2")),
            ("/deep/x/y", Some("1e999")),
            ("/deep/x/y/z", None),
            ("/nowhere", None),
        ] {
            assert_eq!(resolve_pointer(document, pointer).map(RawValue::get), expected, "{pointer}");
        }
    }
}
