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

mod deliveries;
pub(crate) mod imports;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

#[cfg(feature = "client")]
use crate::client::{Request, Response};
use crate::logger;
use crate::subscriptions::Subscription;

pub use deliveries::{event, tick};

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

    /// Runs a handler on this host. Its effects are discarded if it returns an error.
    ///
    /// # Errors
    /// The handler's error.
    pub fn run<T, E>(&self, handler: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        logger::install();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriptions::{DeadLetterPolicy, Filter, Start, Target, Webhook};
    use crate::{BusError, Failure, Message, cancel, http};

    fn later() -> Message {
        Message::raw("order.overdue", "text/plain", Vec::new()).delay(Duration::from_secs(60))
    }

    #[test]
    fn delayed_events_can_be_cancelled_until_they_are_due() {
        let host = FakeHost::new();
        let first = host.run(|| later().publish()).unwrap();
        let second = host.run(|| later().publish()).unwrap();
        assert_eq!(host.published()[0].due, host.now() + Duration::from_secs(60));
        host.run(|| cancel(&first)).unwrap();
        assert_eq!(host.published().len(), 1);
        host.advance(Duration::from_secs(60));
        host.run(|| cancel(&second)).unwrap();
        assert_eq!(host.published()[0].id, second);
        host.run(|| cancel("event-99")).unwrap();
    }

    #[test]
    fn a_failed_run_cancels_nothing() {
        let host = FakeHost::new();
        let id = host.run(|| later().publish()).unwrap();
        let failed = host.run(|| cancel(&id).map_err(Failure::from).and(Err::<(), _>(Failure::retry("not now"))));
        assert!(failed.is_err());
        assert_eq!(host.published().len(), 1);
    }

    #[test]
    fn times_given_as_text_are_parsed() {
        let host = FakeHost::new();
        let at = |time: &str| host.run(|| later().at(time).publish());
        at("2030-01-01T01:00:00+00:30").unwrap();
        at("1999-01-01T00:00:00Z").unwrap();
        assert!(matches!(at("tomorrow"), Err(BusError::Invalid(_))));
        let due: Vec<_> = host.published().iter().map(|event| event.due).collect();
        assert_eq!(due, [host.now() + Duration::from_secs(1800), host.now()]);
    }

    #[test]
    fn subscriptions_keep_all_their_rules() {
        let host = FakeHost::new();
        let made = Subscription::new("orders", "order.>")
            .to_webhook(Webhook::new("https://example.com/hook"))
            .filter(Filter::exact("subject", "x"))
            .start(Start::Position(7))
            .dead_letter_policy(DeadLetterPolicy::Park);
        host.run(|| made.clone().subscribe()).unwrap();
        assert_eq!(host.subscriptions()["orders"], made);
        host.run(|| crate::subscriptions::subscribe("orders", "order.>", Target::Plugin("billing".into()))).unwrap();
        assert_eq!(host.subscriptions()["orders"].target, Some(Target::Plugin("billing".into())));
        host.run(|| crate::subscriptions::unsubscribe("orders")).unwrap();
        assert!(host.subscriptions().is_empty());
        assert!(host.run(|| Subscription::new("orders", "order.>").subscribe()).is_err());
    }

    #[test]
    fn numbers_are_added_to_and_sequences_keep_what_a_failed_run_has_drawn() {
        use crate::state;
        let host = FakeHost::new();
        host.run(|| state::add("n", 40).and_then(|()| state::increment("n", 2))).unwrap();
        assert_eq!(host.run(|| state::get::<i64>("n")).unwrap(), Some(42));
        host.run(|| state::add("nothing", 0)).unwrap();
        assert!(!host.run(|| state::exists("nothing")).unwrap());
        host.run(|| state::set("n", &i64::MAX)).unwrap();
        assert!(host.run(|| state::add("n", 1)).unwrap_err().to_string().contains("range of i64"));
        host.run(|| state::set("n", "text")).unwrap();
        assert!(host.run(|| state::add("n", 1)).unwrap_err().to_string().contains("not a number"));

        let draw = || state::sequence("orders");
        assert_eq!(host.run(draw).unwrap(), 1);
        assert!(host.run(|| draw().and_then(|_| state::get::<i64>("n"))).is_err());
        assert_eq!(host.run(draw).unwrap(), 3);
    }

    #[test]
    fn a_reply_belongs_to_what_the_run_has_published() {
        let host = FakeHost::new();
        let timeout = Duration::from_secs(1);
        let id = host.run(|| later().publish()).unwrap();
        let refused = host.run(|| http::reply(&id, "order.priced", timeout));
        assert!(matches!(refused, Err(BusError::Invalid(_))));
        assert!(host.replies().is_empty());
        let id = host
            .run(|| {
                let id = later().publish()?;
                http::reply(&id, "order.priced", timeout).map(|response| (id, response.status))
            })
            .map(|(id, status)| (status == 200).then_some(id))
            .unwrap()
            .unwrap();
        assert_eq!(host.replies(), [Reply { id, pattern: "order.priced".into(), timeout }]);
    }
}
