//! The imports of a component.

#[cfg(feature = "client")]
mod requests;

use std::time::Duration;

use crate::additions::sandbus::plugin0_2_0::numbers;
use crate::bindings::sandbus::plugin::bus;
use crate::bindings::wasi::clocks::wall_clock;
use crate::bindings::wasi::config::store as config;
use crate::bindings::wasi::keyvalue::{atomics, store};
use crate::bindings::wasi::logging::logging;
use crate::bindings::wasi::random::random;
use crate::model::errors::StateError;
use crate::model::subscription::Subscription;

#[cfg(feature = "client")]
pub(crate) use requests::send;

pub(crate) fn publish(message: bus::Message) -> Result<String, bus::Error> {
    bus::publish(&message)
}

pub(crate) fn publish_many(messages: &[bus::Message]) -> Result<Vec<String>, bus::Error> {
    bus::publish_many(messages)
}

pub(crate) fn cancel(id: &str) -> Result<(), bus::Error> {
    bus::cancel(id)
}

pub(crate) fn reply(id: &str, pattern: &str, timeout_ms: u64) -> Result<(), bus::Error> {
    bus::reply(id, pattern, timeout_ms)
}

pub(crate) fn subscribe(subscription: Subscription) -> Result<(), bus::Error> {
    bus::subscribe(&subscription.into_wire()?)
}

pub(crate) fn unsubscribe(name: &str) -> Result<(), bus::Error> {
    bus::unsubscribe(name)
}

fn bucket() -> Result<store::Bucket, StateError> {
    store::open("").map_err(state_error)
}

/// The start of the host's text if the store is unavailable. An error of
/// `wasi:keyvalue` has no kind but only a text.
const UNAVAILABLE: &str = "the plugin's state cannot be read";
/// The start of the host's text if a value is not a number, or the sum is out of range.
const NOT_ADDABLE: &str = "cannot add to";

fn state_error(error: store::Error) -> StateError {
    match error {
        store::Error::NoSuchStore => StateError::Invalid("the store does not exist".to_owned()),
        store::Error::AccessDenied => StateError::Invalid("access to the store is denied".to_owned()),
        store::Error::Other(reason) if reason.starts_with(UNAVAILABLE) => StateError::Unavailable(reason),
        store::Error::Other(reason) if reason.starts_with(NOT_ADDABLE) => StateError::Invalid(reason),
        store::Error::Other(reason) => StateError::Limit(reason),
    }
}

pub(crate) fn state_get(key: &str) -> Result<Option<Vec<u8>>, StateError> {
    bucket()?.get(key).map_err(state_error)
}

pub(crate) fn state_set(key: &str, value: Vec<u8>) -> Result<(), StateError> {
    bucket()?.set(key, &value).map_err(state_error)
}

pub(crate) fn state_delete(key: &str) -> Result<(), StateError> {
    bucket()?.delete(key).map_err(state_error)
}

pub(crate) fn state_keys() -> Result<Vec<String>, StateError> {
    let bucket = bucket()?;
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor.as_deref()).map_err(state_error)?;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok(keys);
        }
    }
}

pub(crate) fn state_increment(key: &str, delta: i64) -> Result<i64, StateError> {
    atomics::increment(&bucket()?, key, delta).map_err(state_error)
}

fn number_error(key: &str, error: numbers::Error) -> StateError {
    match error {
        numbers::Error::NotANumber => StateError::Invalid(format!("the value of `{key}` is not a number")),
        numbers::Error::OutOfRange => StateError::Invalid(format!("`{key}` would leave the range of i64")),
        numbers::Error::Limit(reason) => StateError::Limit(reason),
        numbers::Error::Other(reason) => StateError::Unavailable(reason),
    }
}

pub(crate) fn state_add(key: &str, delta: i64) -> Result<(), StateError> {
    numbers::add(key, delta).map_err(|error| number_error(key, error))
}

pub(crate) fn state_sequence(name: &str) -> Result<u64, StateError> {
    numbers::sequence(name).map_err(|error| number_error(name, error))
}

pub(crate) fn config_get(key: &str) -> Option<String> {
    config::get(key).ok().flatten()
}

/// Reports the cause of the failure that the handler is about to return: the context of a critical log line.
pub(crate) fn failed(kind: &str) {
    logging::log(logging::Level::Critical, kind, "");
}

pub(crate) fn log(level: logging::Level, context: &str, message: &str) {
    logging::log(level, context, message);
}

pub(crate) fn now() -> Duration {
    let now = wall_clock::now();
    Duration::new(now.seconds, now.nanoseconds)
}

pub(crate) fn random_bytes(count: usize) -> Vec<u8> {
    /// The most bytes that the host returns in one call.
    const AT_ONCE: usize = 64 << 10;
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        bytes.extend(random::get_random_bytes(AT_ONCE.min(count - bytes.len()) as u64));
    }
    bytes
}
