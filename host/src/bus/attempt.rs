//! The record of an attempt, and its settlement.

use std::sync::Arc;
use std::time::Duration;

use super::Delivery;
use crate::outcome::Effects;
use crate::retry::Verdict;
use crate::usage::Usage;

/// An attempt that has ended. The bus stores the verdict and, with a failure, the digest. The dispatcher reports the
/// whole record to the ledger, the metrics, the log lines and observers.
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
    /// A copy without the recorded responses of other services, which may be large.
    #[must_use]
    pub fn without_recorded_responses(&self) -> Self {
        Self { usage: self.usage.without_recorded_responses(), ..self.clone() }
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
