//! The record of an attempt, and its settlement.

use std::sync::Arc;
use std::time::Duration;

use super::Delivery;
use crate::outcome::Effects;
use crate::retry::Verdict;
use crate::usage::Usage;

/// An attempt that has ended. The log, the metrics and observers read the record that the bus commits.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// The delivery: the event, the subscription and the number of the attempt.
    pub delivery: Arc<Delivery>,
    /// The verdict on the outcome.
    pub verdict: Verdict,
    /// The digest of the component that ran, if one did.
    pub digest: Option<Arc<str>>,
    /// The run time of the handler.
    pub took: Duration,
    /// What the handler used.
    pub usage: Usage,
}

impl AttemptRecord {
    /// This record without what other services answered, which may take much memory.
    #[must_use]
    pub fn without_exchanges(&self) -> Self {
        Self { usage: self.usage.without_exchanges(), ..self.clone() }
    }
}

/// The changes that the bus commits for an attempt, in one transaction.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The attempt. The engine stores the verdict and never decides it.
    pub record: AttemptRecord,
    /// The plugin that handled the event, and the effects of its handler. They are committed with [`Verdict::Ack`]
    /// only.
    pub effects: Option<(Arc<str>, Effects)>,
}
