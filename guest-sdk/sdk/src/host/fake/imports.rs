//! The functions of [`crate::host`] on the fake host of the current test.

use std::time::{Duration, SystemTime};

use super::{CURRENT, Inner, Published, Reply};
use crate::bindings::sandbus::plugin::bus;
use crate::bindings::wasi::logging::logging::Level;
use crate::model::errors::StateError;
#[cfg(feature = "client")]
use crate::model::request::{Request, Response, SendError};
use crate::model::subscription::Subscription;
use crate::pattern::is_pattern;
use crate::rfc3339;

fn with<T>(act: impl FnOnce(&mut Inner) -> T) -> T {
    CURRENT.with_borrow(|current| {
        let host = current.as_ref().expect("outside of a component, call the SDK inside `FakeHost::run`");
        act(&mut host.shared.borrow_mut())
    })
}

pub(crate) fn publish(message: bus::Message) -> Result<String, bus::Error> {
    with(|host| {
        let now = SystemTime::UNIX_EPOCH + host.now;
        let due = match &message.due {
            bus::Due::Now => Some(now),
            bus::Due::AfterMs(delay) => now.checked_add(Duration::from_millis(*delay)),
            bus::Due::At(time) => rfc3339::parse(time).map(|time| time.max(now)),
        };
        let due = due.ok_or_else(|| bus::Error::Invalid(format!("`due` is not a valid time: {:?}", message.due)))?;
        host.published += 1;
        let id = format!("event-{}", host.published);
        host.effects.published.push(Published {
            id: id.clone(),
            event_type: message.type_,
            subject: message.subject,
            extensions: message.extensions,
            due,
            data: message.data.unwrap_or_default(),
        });
        host.run.push(id.clone());
        Ok(id)
    })
}

pub(crate) fn publish_many(messages: &[bus::Message]) -> Result<Vec<String>, bus::Error> {
    let before = with(|host| (host.effects.published.len(), host.run.len()));
    let ids: Result<Vec<_>, _> = messages.iter().cloned().map(publish).collect();
    if ids.is_err() {
        with(|host| {
            host.effects.published.truncate(before.0);
            host.run.truncate(before.1);
        });
    }
    ids
}

#[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
pub(crate) fn cancel(id: &str) -> Result<(), bus::Error> {
    with(|host| {
        let now = SystemTime::UNIX_EPOCH + host.now;
        host.effects.published.retain(|event| event.id != id || event.due <= now);
    });
    Ok(())
}

pub(crate) fn reply(id: &str, pattern: &str, timeout_ms: u64) -> Result<(), bus::Error> {
    with(|host| {
        if !host.run.iter().any(|published| published == id) {
            return Err(bus::Error::Invalid(format!("this invocation has not published the event `{id}`")));
        }
        check_pattern(pattern)?;
        let (id, pattern) = (id.to_owned(), pattern.to_owned());
        host.effects.replies.push(Reply { id, pattern, timeout: Duration::from_millis(timeout_ms) });
        Ok(())
    })
}

pub(crate) fn subscribe(subscription: Subscription) -> Result<(), bus::Error> {
    check_pattern(&subscription.pattern)?;
    subscription.clone().into_wire()?;
    with(|host| host.effects.subscriptions.insert(subscription.name.clone(), subscription));
    Ok(())
}

fn check_pattern(pattern: &str) -> Result<(), bus::Error> {
    let refusal = || bus::Error::Invalid(format!("`{pattern}` is not a pattern of event types"));
    is_pattern(pattern).then_some(()).ok_or_else(refusal)
}

#[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
pub(crate) fn unsubscribe(name: &str) -> Result<(), bus::Error> {
    with(|host| host.effects.subscriptions.remove(name));
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
pub(crate) fn state_get(key: &str) -> Result<Option<Vec<u8>>, StateError> {
    Ok(with(|host| host.effects.state.get(key).cloned()))
}

#[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
pub(crate) fn state_set(key: &str, value: Vec<u8>) -> Result<(), StateError> {
    with(|host| host.effects.state.insert(key.to_owned(), value));
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
pub(crate) fn state_delete(key: &str) -> Result<(), StateError> {
    with(|host| host.effects.state.remove(key));
    Ok(())
}

#[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
pub(crate) fn state_keys() -> Result<Vec<String>, StateError> {
    Ok(with(|host| host.effects.state.keys().cloned().collect()))
}

pub(crate) fn state_increment(key: &str, delta: i64) -> Result<i64, StateError> {
    let text = state_get(key)?.unwrap_or_else(|| b"0".to_vec());
    let number: i64 = std::str::from_utf8(&text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| StateError::Invalid(format!("the value of `{key}` is not a number")))?;
    let out_of_range = || StateError::Invalid(format!("`{key}` would leave the range of i64"));
    let sum = number.checked_add(delta).ok_or_else(out_of_range)?;
    // To add zero is to read.
    if delta == 0 {
        return Ok(sum);
    }
    state_set(key, sum.to_string().into_bytes())?;
    Ok(sum)
}

pub(crate) fn state_add(key: &str, delta: i64) -> Result<(), StateError> {
    state_increment(key, delta).map(drop)
}

/// A failed run does not return its numbers.
#[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
pub(crate) fn state_sequence(name: &str) -> Result<u64, StateError> {
    Ok(with(|host| {
        let number = host.sequences.entry(name.to_owned()).or_insert(0);
        *number += 1;
        *number
    }))
}

#[cfg(feature = "client")]
pub(crate) fn send(request: Request) -> Result<Response, SendError> {
    with(|host| {
        let target = format!("{} {}", request.method, request.url);
        host.sent.push(request);
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(beginning) => target.starts_with(beginning),
            None => pattern == target,
        };
        let response = host.answers.iter().find(|(pattern, _)| fits(pattern)).map(|(_, response)| response.clone());
        response.ok_or_else(|| SendError::Unreachable(format!("the fake host has no response to `{target}`")))
    })
}

pub(crate) fn config_get(key: &str) -> Option<String> {
    with(|host| host.config.get(key).cloned())
}

/// A test sees the failure itself.
pub(crate) fn failed(_: &str) {}

/// Keeps a line of a run. The logger belongs to the whole process, which may log outside of runs.
pub(crate) fn log(_: Level, _: &str, message: &str) {
    if CURRENT.with_borrow(Option::is_some) {
        with(|host| host.logs.push(message.to_owned()));
    }
}

pub(crate) fn now() -> Duration {
    with(|host| host.now)
}

/// The same sequence in every test run (`SplitMix64`).
pub(crate) fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        let word = with(|host| {
            host.random = host.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = host.random;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        });
        let wanted = (count - bytes.len()).min(8);
        bytes.extend_from_slice(&word.to_le_bytes()[..wanted]);
    }
    bytes
}
