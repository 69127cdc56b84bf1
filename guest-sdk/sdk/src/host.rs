//! The seam between the SDK and what it runs on: the host's imports in a component, and the fake host
//! of a test elsewhere. Both offer the same functions.

#[cfg(all(target_family = "wasm", feature = "client"))]
pub(crate) use crate::client::component::send;
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::seam::*;
#[cfg(target_family = "wasm")]
pub(crate) use component::*;

#[cfg(target_family = "wasm")]
mod component {
    use std::time::Duration;

    use crate::additions::sandbus::plugin0_2_0::numbers;
    use crate::bindings::sandbus::plugin::bus;
    use crate::bindings::wasi::clocks::wall_clock;
    use crate::bindings::wasi::config::store as config;
    use crate::bindings::wasi::keyvalue::{atomics, store};
    use crate::bindings::wasi::logging::logging;
    use crate::bindings::wasi::random::random;
    use crate::subscriptions::Subscription;

    pub(crate) fn publish(message: bus::Message) -> Result<String, bus::Error> {
        bus::publish(&message)
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

    fn bucket() -> Result<store::Bucket, String> {
        store::open("").map_err(text)
    }

    fn text(error: store::Error) -> String {
        match error {
            store::Error::NoSuchStore => "there is no such store".to_owned(),
            store::Error::AccessDenied => "access to the store is denied".to_owned(),
            store::Error::Other(reason) => reason,
        }
    }

    pub(crate) fn state_get(key: &str) -> Result<Option<Vec<u8>>, String> {
        bucket()?.get(key).map_err(text)
    }

    pub(crate) fn state_set(key: &str, value: Vec<u8>) -> Result<(), String> {
        bucket()?.set(key, &value).map_err(text)
    }

    pub(crate) fn state_delete(key: &str) -> Result<(), String> {
        bucket()?.delete(key).map_err(text)
    }

    pub(crate) fn state_keys() -> Result<Vec<String>, String> {
        let bucket = bucket()?;
        let mut keys = Vec::new();
        let mut cursor = None;
        loop {
            let page = bucket.list_keys(cursor.as_deref()).map_err(text)?;
            keys.extend(page.keys);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(keys);
            }
        }
    }

    pub(crate) fn state_increment(key: &str, delta: i64) -> Result<i64, String> {
        atomics::increment(&bucket()?, key, delta).map_err(text)
    }

    fn number_error(key: &str, error: numbers::Error) -> String {
        match error {
            numbers::Error::NotANumber => format!("the value of `{key}` is not a number"),
            numbers::Error::OutOfRange => format!("the number at `{key}` passes the range of i64"),
            numbers::Error::Limit(reason) | numbers::Error::Other(reason) => reason,
        }
    }

    pub(crate) fn state_add(key: &str, delta: i64) -> Result<(), String> {
        numbers::add(key, delta).map_err(|error| number_error(key, error))
    }

    pub(crate) fn state_sequence(name: &str) -> Result<u64, String> {
        numbers::sequence(name).map_err(|error| number_error(name, error))
    }

    pub(crate) fn config_get(key: &str) -> Option<String> {
        config::get(key).ok().flatten()
    }

    /// Reports what kind of failure the one is that follows. The host takes the context of a critical line for it.
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
        /// As many as the host gives at a time.
        const AT_ONCE: usize = 64 << 10;
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            bytes.extend(random::get_random_bytes(AT_ONCE.min(count - bytes.len()) as u64));
        }
        bytes
    }
}
