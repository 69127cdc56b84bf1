//! Subscriptions made at run time.
//!
//! ```
//! # use std::time::Duration;
//! # use sandbus_sdk::prelude::*;
//! use sandbus_sdk::subscriptions::{DeadLetterPolicy, Filter, RetryPolicy, Start, Subscription, Webhook};
//!
//! #[route(POST, "/subscribers")]
//! fn subscribe(Json(url): Json<String>) -> Result<(), Problem> {
//!     Subscription::new("shop-orders", "order.>")
//!         .to_webhook(Webhook::new(url).secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").handshake())
//!         .filter(Filter::prefix("source", "/shop"))
//!         .filter(Filter::not(Filter::suffix("subject", ".test")))
//!         .start(Start::Beginning)
//!         .ordering_key("/customer/id")
//!         .dead_letter_policy(DeadLetterPolicy::Park)
//!         .retry(RetryPolicy::new().max_attempts(10).max_delay(Duration::from_secs(60)))
//!         .subscribe()?;
//!     Ok(())
//! }
//! ```

use crate::host;
use crate::model::errors::BusError;

pub use crate::model::subscription::{
    Cause, DeadLetterPolicy, Filter, RetryPolicy, Start, Subscription, Target, Webhook,
};

impl Subscription {
    /// Makes the subscription with this invocation's commit. If the plugin has already made one with this name,
    /// the new rules replace the old ones, and the subscription keeps its position.
    ///
    /// # Errors
    /// If it has no target, if the plugin does not declare the pattern in `subscribes`, if the webhook's server is not
    /// granted, or if an option is malformed.
    pub fn subscribe(self) -> Result<(), BusError> {
        host::subscribe(self).map_err(BusError::from)
    }
}

/// Makes a subscription with the host's defaults.
///
/// ```
/// # use sandbus_sdk::subscriptions::{Target, subscribe, unsubscribe};
/// # sandbus_sdk::testing::FakeHost::new().run(|| -> sandbus_sdk::Result<()> {
/// subscribe("orders", "order.>", Target::Plugin("billing".into()))?;
/// unsubscribe("orders")?;
/// # Ok(())
/// # }).unwrap();
/// ```
///
/// # Errors
/// As [`Subscription::subscribe`].
pub fn subscribe(name: &str, pattern: &str, target: Target) -> Result<(), BusError> {
    Subscription::new(name, pattern).to(target).subscribe()
}

/// Removes a subscription that this plugin has made, with this invocation's commit. It is not an error if the
/// subscription does not exist.
///
/// # Errors
/// If the name is malformed.
pub fn unsubscribe(name: &str) -> Result<(), BusError> {
    host::unsubscribe(name).map_err(BusError::from)
}
