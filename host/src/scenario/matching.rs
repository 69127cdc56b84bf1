//! Compares JSON with an expected value. Objects may have additional members.

use serde_json::Value;

use super::sequence_numbers::Renumbering;

/// The differences between a value and the expected value, one line for each.
#[must_use]
pub fn mismatches(path: &str, expected: &Value, actual: &Value) -> Vec<String> {
    mismatches_except(path, expected, actual, &Renumbering::default())
}

/// Like [`mismatches`]. Numbers of sequences may differ.
pub(super) fn mismatches_except(path: &str, expected: &Value, actual: &Value, numbers: &Renumbering) -> Vec<String> {
    let mut found = Vec::new();
    compare(path, expected, actual, numbers, &mut found);
    found
}

/// The differences between the expected value and the most similar one of several values. None if there are no values.
pub(super) fn mismatches_of_any<'a>(
    path: &str,
    expected: &Value,
    values: impl Iterator<Item = &'a Value>,
    numbers: &Renumbering,
) -> Option<Vec<String>> {
    values.map(|value| mismatches_except(path, expected, value, numbers)).min_by_key(Vec::len)
}

fn compare(path: &str, expected: &Value, actual: &Value, numbers: &Renumbering, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            for (name, value) in expected {
                let names = numbers.names_for(name, actual.keys());
                let members = names.into_iter().filter_map(|name| actual.get(name));
                match mismatches_of_any(&format!("{path}.{name}"), value, members, numbers) {
                    Some(mismatches) => found.extend(mismatches),
                    None => found.push(format!("{path}.{name}: expected {value}, but it is missing")),
                }
            }
        }
        (Value::Array(expected), Value::Array(actual)) => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(&format!("{path}[{index}]"), expected, actual, numbers, found);
            }
            for (index, missing) in expected.iter().enumerate().skip(actual.len()) {
                found.push(format!("{path}[{index}]: expected {missing}, but there are only {}", actual.len()));
            }
            for (index, surplus) in actual.iter().enumerate().skip(expected.len()) {
                found.push(format!("{path}[{index}]: expected nothing more, got {surplus}"));
            }
        }
        _ if equal(expected, actual) || numbers.accepts(expected, actual) => {}
        _ => found.push(format!("{path}: expected {expected}, got {actual}")),
    }
}

/// Whether two values are equal, where 1 equals 1.0.
fn equal(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(expected), Value::Number(actual)) if expected.is_f64() || actual.is_f64() => {
            expected.as_f64() == actual.as_f64()
        }
        _ => expected == actual,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_are_not_named_are_ignored() {
        let actual = json!({ "id": "7", "data": { "name": "Ada", "age": 36.0 } });
        assert!(mismatches("it", &json!({ "data": { "age": 36 } }), &actual).is_empty());
    }

    #[test]
    fn each_difference_is_told_with_its_place() {
        let actual = json!({ "data": { "name": "Ada" }, "list": [1, 2] });
        let expected = json!({ "data": { "name": "Bob", "age": 1 }, "list": [1, 3, 4] });
        let found = mismatches("it", &expected, &actual);
        assert_eq!(
            found,
            [
                "it.data.age: expected 1, but it is missing",
                "it.data.name: expected \"Bob\", got \"Ada\"",
                "it.list[1]: expected 3, got 2",
                "it.list[2]: expected 4, but there are only 2",
            ]
        );
        assert_eq!(mismatches("l", &json!([]), &json!([5])), ["l[0]: expected nothing more, got 5"]);
    }
}
