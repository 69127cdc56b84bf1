//! The plugin's own durable state.
//!
//! Reads see one snapshot with this invocation's own writes on top. Writes are committed with the
//! invocation. If another invocation has changed what this one read, this one is thrown away and run
//! again, and so reading, changing and writing a value is safe without locks.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Result, host};

/// The value of a key, read as JSON.
///
/// # Errors
/// If the value is not what `T` expects, or the host refuses.
pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    let Some(bytes) = get_bytes(key)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| Error(format!("the value of `{key}`: {error}")))
}

/// Sets the value of a key, as JSON.
///
/// # Errors
/// If the value cannot be written as JSON, or a limit is reached.
pub fn set<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error(format!("the value of `{key}`: {error}")))?;
    set_bytes(key, bytes)
}

/// The value of a key, as it is.
///
/// # Errors
/// If the host refuses.
pub fn get_bytes(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::state_get(key).map_err(Error)
}

/// Sets the value of a key, as it is.
///
/// # Errors
/// If a limit is reached.
pub fn set_bytes(key: &str, value: Vec<u8>) -> Result<(), Error> {
    host::state_set(key, value).map_err(Error)
}

/// Removes a key. One that doesn't exist is no error.
///
/// # Errors
/// If a limit is reached.
pub fn delete(key: &str) -> Result<(), Error> {
    host::state_delete(key).map_err(Error)
}

/// Whether a key has a value.
///
/// # Errors
/// If the host refuses.
pub fn exists(key: &str) -> Result<bool, Error> {
    Ok(get_bytes(key)?.is_some())
}

/// All keys that begin with a prefix, in ascending order.
///
/// # Errors
/// If the host refuses.
pub fn keys(prefix: &str) -> Result<Vec<String>, Error> {
    let mut keys = host::state_keys().map_err(Error)?;
    keys.retain(|key| key.starts_with(prefix));
    Ok(keys)
}

/// Adds to a number that begins at zero, and returns the sum. The sum is read: if another invocation changes the number
/// before this one is committed, this one runs again, and so no two get the same sum. Use [`add`] where nobody needs the
/// sum, and [`sequence`] for numbers that must differ: neither of them runs again.
///
/// # Errors
/// If the value is not a number, or the sum passes the range of `i64`.
pub fn increment(key: &str, delta: i64) -> Result<i64, Error> {
    host::state_increment(key, delta).map_err(Error)
}

/// Adds to a number that begins at zero, with the commit of this invocation. Additions of concurrent invocations merge
/// instead of running again, and so the sum is not known yet. [`get`] reads it, as an `i64`.
///
/// # Errors
/// If the value is not a number, or the sum passes the range of `i64`.
pub fn add(key: &str, delta: i64) -> Result<(), Error> {
    host::state_add(key, delta).map_err(Error)
}

/// The next number of a sequence, from 1 on: no two calls ever get the same one, and none of them waits for another
/// invocation. An invocation that fails or runs again leaves a gap, and so does a restart. Names of sequences have
/// nothing to do with keys.
///
/// # Errors
/// If the plugin has too many sequences, or the numbers pass the range of `i64`.
pub fn sequence(name: &str) -> Result<u64, Error> {
    host::state_sequence(name).map_err(Error)
}

/// Why the state refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}
