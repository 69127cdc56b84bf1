//! Reports completed requests and attempts to an observer: `sandbus dev`, which prints cause trees. `sandbus serve` has
//! none.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::bus::{AttemptRecord, SettledStatus};
use crate::event::CauseTreeId;
use crate::outcome::Effects;

/// The number of pending observations. Further ones are dropped, so that an observer never blocks the host.
const QUEUE: usize = 4_096;

/// The sender of observations, if there is an observer.
#[derive(Clone, Debug, Default)]
pub struct Observer(Option<mpsc::Sender<Observation>>);

/// A completed request or attempt.
#[derive(Clone, Debug)]
pub enum Observation {
    /// A request for a plugin's route.
    Request {
        /// The method and the path.
        request: String,
        /// The status of the response.
        status: u16,
        /// The duration of the request.
        took: Duration,
        /// The cause trees of the events that its handler published.
        published: Vec<CauseTreeId>,
    },
    /// An attempt at a delivery.
    Attempt {
        /// The attempt.
        record: AttemptRecord,
        /// The status of the delivery after the attempt.
        status: SettledStatus,
    },
}

/// A response extension: the cause trees of the events that the handler published.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishedCauseTrees(pub(crate) Vec<CauseTreeId>);

impl PublishedCauseTrees {
    pub(crate) fn by(effects: &Effects) -> Self {
        Self(effects.publishes.iter().map(|publish| publish.event.cause_tree()).collect())
    }
}

impl Observer {
    /// An observer, and the receiver of its observations.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Observation>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(Some(sender)), receiver)
    }

    /// Records an observation if there is a receiver.
    pub fn record(&self, observed: impl FnOnce() -> Observation) {
        if let Some(sender) = &self.0 {
            drop(sender.try_send(observed()));
        }
    }

    /// Whether there is a receiver.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.is_some()
    }
}
