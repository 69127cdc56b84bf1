//! The plugin's own durable state.
//!
//! Reads see one snapshot, with this invocation's own writes applied. Writes are committed with the invocation. If
//! another invocation changes a value that this invocation has read, the host discards this invocation and runs it
//! again. Handlers therefore need no locks.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{host, json};

pub use crate::model::errors::StateError;

/// The longest key, in bytes.
const MAX_KEY_BYTES: usize = 1_024;

/// Reads the value of a key as JSON.
///
/// # Errors
/// If `T` does not fit the value, or the host refuses the read.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, StateError> {
    let Some(bytes) = get_bytes(key)? else { return Ok(None) };
    let invalid = |error| StateError::Invalid(format!("the value of `{key}` cannot be read: {error}"));
    serde_json::from_slice(&bytes).map(Some).map_err(invalid)
}

/// Sets the value of a key, as JSON.
///
/// # Errors
/// If the value cannot be written as JSON, for example because it contains NaN, or a limit is reached.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), StateError> {
    let invalid = |error| StateError::Invalid(format!("the value of `{key}` cannot be written: {error}"));
    set_bytes(key, json::to_vec(value).map_err(invalid)?)
}

/// Reads the value of a key as bytes.
///
/// # Errors
/// If the key is too long, a limit is reached, or the store is unavailable.
pub fn get_bytes(key: &str) -> Result<Option<Vec<u8>>, StateError> {
    check(key)?;
    host::state_get(key)
}

/// Sets the value of a key to bytes.
///
/// # Errors
/// If the key is too long, or a limit is reached.
pub fn set_bytes(key: &str, value: Vec<u8>) -> Result<(), StateError> {
    check(key)?;
    host::state_set(key, value)
}

/// Deletes a key. It is not an error if the key does not exist.
///
/// # Errors
/// If the key is too long, or a limit is reached.
pub fn delete(key: &str) -> Result<(), StateError> {
    check(key)?;
    host::state_delete(key)
}

/// Whether a key has a value.
///
/// # Errors
/// If the key is too long, a limit is reached, or the store is unavailable.
pub fn exists(key: &str) -> Result<bool, StateError> {
    Ok(get_bytes(key)?.is_some())
}

/// Lists all keys that begin with a prefix, in ascending order.
///
/// # Errors
/// If the store is unavailable.
pub fn keys(prefix: &str) -> Result<Vec<String>, StateError> {
    let mut keys = host::state_keys()?;
    keys.retain(|key| key.starts_with(prefix));
    Ok(keys)
}

/// Adds to a number, which is zero at first, and returns the sum. The sum counts as a read: if another invocation
/// changes the number before this one is committed, this one runs again, so that no two invocations get the same sum.
/// Use [`add`] if the sum is not needed, and [`sequence`] for numbers that must differ; neither causes invocations to
/// run again.
///
/// # Errors
/// If the value is not a number, the sum is out of the range of `i64`, or the host refuses the access.
pub fn increment(key: &str, delta: i64) -> Result<i64, StateError> {
    check(key)?;
    host::state_increment(key, delta)
}

/// Adds to a number, which is zero at first, with this invocation's commit. Additions of concurrent invocations are
/// merged, so that the sum is not known before the commit. [`get`] reads it as an `i64`.
///
/// # Errors
/// If the value is not a number, the sum is out of the range of `i64`, or the host refuses the access.
pub fn add(key: &str, delta: i64) -> Result<(), StateError> {
    check(key)?;
    host::state_add(key, delta)
}

/// Takes the next number of a sequence, starting at 1. No two calls get the same number, and no call waits for another
/// invocation. An invocation that fails or runs again leaves a gap, and so does a restart. Sequences have their own
/// names: a key of the state may have the same name.
///
/// # Errors
/// If the plugin has too many sequences, or the sequence has reached the end of the range of `i64`.
pub fn sequence(name: &str) -> Result<u64, StateError> {
    check(name)?;
    host::state_sequence(name)
}

fn check(key: &str) -> Result<(), StateError> {
    if key.len() <= MAX_KEY_BYTES {
        return Ok(());
    }
    Err(StateError::Limit(format!("a key has at most {MAX_KEY_BYTES} bytes, and this one has {}", key.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeHost;

    #[test]
    fn keys_that_the_host_would_refuse_are_refused() {
        let host = FakeHost::new();
        let key = |length| "k".repeat(length);
        host.run(|| set(&key(MAX_KEY_BYTES), &1)).unwrap();
        let long = key(MAX_KEY_BYTES + 1);
        let refusals = [
            host.run(|| get::<i64>(&long).map(drop)),
            host.run(|| set(&long, &1)),
            host.run(|| delete(&long)),
            host.run(|| exists(&long).map(drop)),
            host.run(|| increment(&long, 1).map(drop)),
            host.run(|| add(&long, 1)),
            host.run(|| sequence(&long).map(drop)),
        ];
        for refusal in refusals {
            assert!(matches!(refusal, Err(StateError::Limit(_))), "{refusal:?}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_are_not_stored() {
        let host = FakeHost::new();
        let refusal = host.run(|| set("prices", &[1.0, f64::NAN])).unwrap_err();
        assert!(refusal.to_string().contains("`/1` is NaN"), "{refusal}");
        assert_eq!(host.state("prices"), None);
    }
}
