//! The host of native tests, in memory.

pub(crate) mod imports;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

#[cfg(feature = "client")]
use crate::model::request::{Request, Response};
use crate::model::subscription::Subscription;

/// A host in memory. Like the real one, it discards all effects of a run that returns an error.
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
    /// The last number of each sequence.
    sequences: BTreeMap<String, u64>,
    /// The ids of the events that the current run has published.
    run: Vec<String>,
    effects: Effects,
    #[cfg(feature = "client")]
    answers: Vec<(String, Response)>,
    #[cfg(feature = "client")]
    sent: Vec<Request>,
}

/// The effects of runs, which a failed run loses.
#[derive(Clone, Debug, Default)]
struct Effects {
    state: BTreeMap<String, Vec<u8>>,
    published: Vec<Published>,
    subscriptions: BTreeMap<String, Subscription>,
    replies: Vec<Reply>,
}

/// An event that a run published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The id that the run received.
    pub id: String,
    /// The event type.
    pub event_type: String,
    /// The object that the event is about.
    pub subject: Option<String>,
    /// The extension attributes.
    pub extensions: Vec<(String, String)>,
    /// When it enters the log.
    pub due: SystemTime,
    /// The data.
    pub data: Vec<u8>,
}

impl Published {
    /// Reads the data as JSON.
    ///
    /// # Errors
    /// If `T` does not fit the data.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.data)
    }
}

/// A reply that a route requested with [`reply`](crate::http::reply).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The id of the published event whose cause tree has the reply.
    pub id: String,
    /// The pattern of the reply's type.
    pub pattern: String,
    /// How long the client waits.
    pub timeout: Duration,
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

    /// Sets the response to a request, such as `GET https://api.example.com/rates`. A request may end with `*`, which
    /// matches any rest; the first match counts. A request that matches no pattern fails with `SendError::Unreachable`.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn answers(self, request: &str, status: u16, body: &str) -> Self {
        let answer = Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
        self.shared.borrow_mut().answers.push((request.to_owned(), answer));
        self
    }

    /// The requests that were sent, in order. Those of failed runs are included.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn sent(&self) -> Vec<Request> {
        self.shared.borrow().sent.clone()
    }

    /// Moves the clock forward.
    pub fn advance(&self, time: Duration) {
        self.shared.borrow_mut().now += time;
    }

    /// Makes this host the current one while a handler runs. The effects are discarded if the handler returns an error.
    ///
    /// # Errors
    /// The handler's error.
    pub(crate) fn enter<T, E>(&self, handler: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let before = self.shared.borrow().effects.clone();
        self.shared.borrow_mut().run.clear();
        let previous = CURRENT.replace(Some(self.clone()));
        let result = handler();
        CURRENT.replace(previous);
        if result.is_err() {
            self.shared.borrow_mut().effects = before;
        }
        result
    }

    /// The events that were published and not cancelled, in order.
    #[must_use]
    pub fn published(&self) -> Vec<Published> {
        self.shared.borrow().effects.published.clone()
    }

    /// The subscriptions that were made, by name.
    #[must_use]
    pub fn subscriptions(&self) -> BTreeMap<String, Subscription> {
        self.shared.borrow().effects.subscriptions.clone()
    }

    /// The replies that routes requested, in order.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use sandbus_sdk::prelude::*;
    /// use sandbus_sdk::http;
    /// use sandbus_sdk::testing::FakeHost;
    ///
    /// let host = FakeHost::new();
    /// host.run(|| {
    ///     let id = Message::raw("order.placed", "text/plain", b"bread".to_vec()).publish()?;
    ///     http::reply(&id, "order.priced", Duration::from_secs(5))
    /// })
    /// .unwrap();
    /// let reply = &host.replies()[0];
    /// assert_eq!((&reply.id, reply.pattern.as_str()), (&host.published()[0].id, "order.priced"));
    /// ```
    #[must_use]
    pub fn replies(&self) -> Vec<Reply> {
        self.shared.borrow().effects.replies.clone()
    }

    /// The value of a key of the state.
    #[must_use]
    pub fn state(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.borrow().effects.state.get(key).cloned()
    }

    /// The log lines, in order.
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
