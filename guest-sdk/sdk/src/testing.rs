//! A fake host, to test a plugin's handlers natively.
//!
//! ```
//! use sandbus_sdk::prelude::*;
//! use sandbus_sdk::testing::FakeHost;
//!
//! fn visit() -> Result<i64> {
//!     info!("{} again", config::get("who").unwrap_or_default());
//!     Ok(state::increment("visits", 1)?)
//! }
//!
//! let host = FakeHost::new().config("who", "Ada");
//! assert_eq!(host.run(visit).unwrap(), 1);
//! assert_eq!(host.run(visit).unwrap(), 2);
//! assert_eq!(host.logs(), ["Ada again", "Ada again"]);
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::bindings::sandbus::plugin::bus;
use crate::logger;
use crate::subscriptions::Target;

/// A host that keeps everything in memory. Like the real one, it throws away what a run published,
/// wrote and subscribed to when the run returns an error.
#[derive(Clone, Debug, Default)]
pub struct FakeHost {
    shared: Rc<RefCell<Inner>>,
}

#[derive(Clone, Debug, Default)]
struct Inner {
    config: BTreeMap<String, String>,
    now: Duration,
    random: u64,
    logs: Vec<String>,
    published: u64,
    effects: Effects,
}

/// What a failed run loses.
#[derive(Clone, Debug, Default)]
struct Effects {
    state: BTreeMap<String, Vec<u8>>,
    published: Vec<Published>,
    subscriptions: BTreeMap<String, (String, Target)>,
}

/// An event that a run published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The id that the run was given for it.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// What it is about.
    pub subject: Option<String>,
    /// Its extension attributes.
    pub extensions: Vec<(String, String)>,
    /// How long it waits before it enters the log; none for a time given as text.
    pub delay: Option<Duration>,
    /// Its payload.
    pub data: Vec<u8>,
}

impl Published {
    /// The payload, read as JSON.
    ///
    /// # Errors
    /// If it is not what `T` expects.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.data)
    }
}

thread_local! {
    static CURRENT: RefCell<Option<FakeHost>> = const { RefCell::new(None) };
}

impl FakeHost {
    /// An empty host, at 2030-01-01T00:00:00Z.
    #[must_use]
    pub fn new() -> Self {
        let host = Self::default();
        host.shared.borrow_mut().now = Duration::from_secs(1_893_456_000);
        host
    }

    /// Sets a configuration value.
    #[must_use]
    pub fn config(self, key: &str, value: &str) -> Self {
        self.shared.borrow_mut().config.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Moves the clock forward.
    pub fn advance(&self, time: Duration) {
        self.shared.borrow_mut().now += time;
    }

    /// Runs a handler on this host. What it published and wrote is kept if it returns `Ok`.
    ///
    /// # Errors
    /// The handler's own.
    pub fn run<T, E>(&self, handler: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        logger::install();
        let before = self.shared.borrow().effects.clone();
        let previous = CURRENT.replace(Some(self.clone()));
        let result = handler();
        CURRENT.replace(previous);
        if result.is_err() {
            self.shared.borrow_mut().effects = before;
        }
        result
    }

    /// What was published, in order.
    #[must_use]
    pub fn published(&self) -> Vec<Published> {
        self.shared.borrow().effects.published.clone()
    }

    /// The subscriptions that were made, by name, with pattern and target.
    #[must_use]
    pub fn subscriptions(&self) -> BTreeMap<String, (String, Target)> {
        self.shared.borrow().effects.subscriptions.clone()
    }

    /// The value of a key of the state.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.borrow().effects.state.get(key).cloned()
    }

    /// What was logged, in order.
    #[must_use]
    pub fn logs(&self) -> Vec<String> {
        self.shared.borrow().logs.clone()
    }

    /// The current time, as the handlers see it.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.shared.borrow().now
    }
}

/// What the SDK calls in place of the host's imports.
pub(crate) mod seam {
    use super::{CURRENT, Duration, Inner, Published, Target, bus};
    use crate::bindings::wasi::logging::logging::Level;

    fn with<T>(act: impl FnOnce(&mut Inner) -> T) -> T {
        CURRENT.with_borrow(|current| {
            let host = current.as_ref().expect("outside of a component, call the SDK inside `FakeHost::run`");
            act(&mut host.shared.borrow_mut())
        })
    }

    #[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
    pub(crate) fn publish(message: bus::Message) -> Result<String, bus::Error> {
        with(|host| {
            host.published += 1;
            let id = format!("event-{}", host.published);
            host.effects.published.push(Published {
                id: id.clone(),
                event_type: message.type_,
                subject: message.subject,
                extensions: message.extensions,
                delay: match message.due {
                    bus::Due::Now => Some(Duration::ZERO),
                    bus::Due::AfterMs(delay) => Some(Duration::from_millis(delay)),
                    bus::Due::At(_) => None,
                },
                data: message.data.unwrap_or_default(),
            });
            Ok(id)
        })
    }

    #[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
    pub(crate) fn subscribe(name: &str, pattern: &str, target: bus::Target) -> Result<(), bus::Error> {
        let target = match target {
            bus::Target::Plugin(name) => Target::Plugin(name),
            bus::Target::Webhook(url) => Target::Webhook(url),
        };
        with(|host| host.effects.subscriptions.insert(name.to_owned(), (pattern.to_owned(), target)));
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
    pub(crate) fn unsubscribe(name: &str) -> Result<(), bus::Error> {
        with(|host| host.effects.subscriptions.remove(name));
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
    pub(crate) fn state_get(key: &str) -> Result<Option<Vec<u8>>, String> {
        Ok(with(|host| host.effects.state.get(key).cloned()))
    }

    #[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
    pub(crate) fn state_set(key: &str, value: Vec<u8>) -> Result<(), String> {
        with(|host| host.effects.state.insert(key.to_owned(), value));
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
    pub(crate) fn state_delete(key: &str) -> Result<(), String> {
        with(|host| host.effects.state.remove(key));
        Ok(())
    }

    #[allow(clippy::unnecessary_wraps, reason = "the host's import can fail")]
    pub(crate) fn state_keys() -> Result<Vec<String>, String> {
        Ok(with(|host| host.effects.state.keys().cloned().collect()))
    }

    pub(crate) fn state_increment(key: &str, delta: i64) -> Result<i64, String> {
        let text = state_get(key)?.unwrap_or_else(|| b"0".to_vec());
        let number: i64 = std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| format!("the value of `{key}` is not a number"))?;
        let sum = number.checked_add(delta).ok_or_else(|| format!("the sum at `{key}` passes the range of i64"))?;
        state_set(key, sum.to_string().into_bytes())?;
        Ok(sum)
    }

    pub(crate) fn config_get(key: &str) -> Option<String> {
        with(|host| host.config.get(key).cloned())
    }

    pub(crate) fn log(_: Level, _: &str, message: &str) {
        with(|host| host.logs.push(message.to_owned()));
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
}
