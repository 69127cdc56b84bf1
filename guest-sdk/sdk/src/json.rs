//! Writes JSON. Numbers without a JSON form, such as NaN, are errors; `serde_json` would write `null`.

mod floats;

use std::fmt;

use serde::Serialize;
use serde::de::IgnoredAny;

/// Writes a value as JSON.
///
/// # Errors
/// If the value has a number that is infinite or not a number, or if its `Serialize` fails.
pub(crate) fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, WriteError> {
    let json = serde_json::to_vec(value).map_err(|error| WriteError(error.to_string()))?;
    // A number without a JSON form was written as `null`. Only then is a second pass needed to find it.
    if json.windows(4).any(|window| window == b"null") {
        floats::check(value)?;
    }
    Ok(json)
}

/// Whether a media type is that of JSON: any subtype `json`, or one with that suffix (CloudEvents JSON format, 3.1.1).
pub(crate) fn is_media_type(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// Checks that bytes are one JSON value.
///
/// # Errors
/// If they are not, with the place of the mistake.
pub(crate) fn check(bytes: &[u8]) -> serde_json::Result<()> {
    serde_json::from_slice(bytes).map(|IgnoredAny| ())
}

/// A value that cannot be written as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WriteError(String);

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for WriteError {}

impl serde::ser::Error for WriteError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Serialize)]
    struct Price {
        amount: f64,
        discount: Option<f32>,
    }

    #[derive(Serialize)]
    enum Shape {
        Circle(f64),
        Line(f64, f64),
        Square { side: f64 },
    }

    fn refusal<T: Serialize>(value: &T) -> String {
        to_vec(value).expect_err("the value has such a number").to_string()
    }

    /// RFC 8259, section 6: numeric values such as Infinity and NaN are not permitted. The names are JSON pointers (RFC
    /// 6901).
    #[test]
    fn numbers_that_json_does_not_have_are_named() {
        assert_eq!(refusal(&f64::NAN), "the value itself is NaN, which JSON cannot represent");
        assert_eq!(
            refusal(&Price { amount: f64::INFINITY, discount: None }),
            "`/amount` is inf, which JSON cannot represent"
        );
        let discount = Price { amount: 1.0, discount: Some(f32::NEG_INFINITY) };
        assert_eq!(refusal(&discount), "`/discount` is -inf, which JSON cannot represent");
        assert!(refusal(&vec![vec![1.0], vec![2.0, f64::NAN]]).starts_with("`/1/1` is NaN"));
        assert!(refusal(&(1, None::<u8>, f64::NAN)).starts_with("`/2` is NaN"));
        let map = BTreeMap::from([("a/b~c", f64::NAN)]);
        assert!(refusal(&map).starts_with("`/a~1b~0c` is NaN"));
        assert!(refusal(&BTreeMap::from([(7, f64::NAN)])).starts_with("`/7` is NaN"));
        assert!(refusal(&Shape::Circle(f64::NAN)).starts_with("`/Circle` is NaN"));
        assert!(refusal(&Shape::Line(0.0, f64::NAN)).starts_with("`/Line/1` is NaN"));
        assert!(refusal(&Shape::Square { side: f64::NAN }).starts_with("`/Square/side` is NaN"));
    }

    #[test]
    fn everything_else_is_written_as_serde_json_writes_it() {
        let value = serde_json::json!({ "a": null, "b": [1.5, "null", true], "c": { "d": -1 } });
        assert_eq!(to_vec(&value).unwrap(), serde_json::to_vec(&value).unwrap());
        assert_eq!(to_vec(&Price { amount: 1.5, discount: None }).unwrap(), br#"{"amount":1.5,"discount":null}"#);
        let map = BTreeMap::from([(true, ()), (false, ())]);
        assert_eq!(to_vec(&map).unwrap(), br#"{"false":null,"true":null}"#);
        assert_eq!(to_vec(&Some(std::time::Duration::from_secs(1))).unwrap(), br#"{"secs":1,"nanos":0}"#);
        assert_eq!(to_vec(&('x', None::<u8>, i128::from(u64::MAX))).unwrap(), br#"["x",null,18446744073709551615]"#);
    }

    #[test]
    fn media_types_of_json_are_told_from_others() {
        for media_type in ["application/json", "text/json", "application/ld+json; charset=utf-8", "Application/JSON"] {
            assert!(is_media_type(media_type), "{media_type}");
        }
        for media_type in ["", "json", "text/plain", "application/jsonl", "application/json-seq"] {
            assert!(!is_media_type(media_type), "{media_type}");
        }
    }
}
