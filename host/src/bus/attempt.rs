//! An attempt at a delivery: its record, and what the bus commits for it.

use std::sync::Arc;
use std::time::Duration;

use super::Delivery;
use crate::outcome::Effects;
use crate::retry::Verdict;

/// An attempt that has ended. Log, metrics and observers read the same record that the bus commits.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// What was delivered: the event, the subscription and the number of the attempt.
    pub delivery: Arc<Delivery>,
    /// What follows.
    pub verdict: Verdict,
    /// The digest of the component that ran, if one did.
    pub digest: Option<Arc<str>>,
    /// How long the handler ran.
    pub took: Duration,
}

/// What the bus commits for an attempt, in one transaction.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The attempt. The engine stores its verdict and decides nothing itself.
    pub record: AttemptRecord,
    /// The plugin that handled the event and the effects of its handler. They are committed with
    /// [`Verdict::Ack`] only.
    pub effects: Option<(Arc<str>, Effects)>,
}
