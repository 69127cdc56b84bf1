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

use crate::logger;

pub use crate::host::fake::{FakeHost, Published, Reply};
pub use deliveries::{event, tick};

impl FakeHost {
    /// Runs a handler on this host. Its effects are discarded if it returns an error.
    ///
    /// # Errors
    /// The handler's error.
    pub fn run<T, E>(&self, handler: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        logger::install();
        self.enter(handler)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::subscriptions::{DeadLetterPolicy, Filter, Start, Subscription, Target, Webhook};
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
