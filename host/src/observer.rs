//! Who watches what becomes of requests and deliveries. `sandbus dev` does, to show a flow as a tree; a host that
//! serves has nobody.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::bus::{AttemptRecord, DeliveryStatus};
use crate::event::CauseTreeId;
use crate::outcome::Effects;

/// What is not looked at in time is left out: nothing waits for somebody who watches.
const QUEUE: usize = 4_096;

/// Takes what is observed.
#[derive(Clone, Debug, Default)]
pub struct Observer(Option<mpsc::Sender<Observation>>);

/// What has come to an end.
#[derive(Clone, Debug)]
pub enum Observation {
    /// A request for a plugin's route.
    Request {
        /// The method and the path.
        request: String,
        /// The status that it was answered.
        status: u16,
        /// How long that took.
        took: Duration,
        /// The flows that its handler began, each by an event that it published.
        published: Vec<CauseTreeId>,
    },
    /// An attempt at a delivery.
    Attempt {
        /// The attempt.
        record: AttemptRecord,
        /// What has become of the delivery.
        settled: DeliveryStatus,
    },
}

/// The flows of published events, at a response that tells of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishedCauseTrees(pub(crate) Vec<CauseTreeId>);

impl PublishedCauseTrees {
    pub(crate) fn by(effects: &Effects) -> Self {
        Self(effects.publishes.iter().map(|publish| publish.event.cause_tree()).collect())
    }
}

impl Observer {
    /// An observer, and where what it sees comes out.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Observation>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (Self(Some(sender)), receiver)
    }

    /// Notes something, if anybody watches.
    pub fn record(&self, observed: impl FnOnce() -> Observation) {
        if let Some(sender) = &self.0 {
            drop(sender.try_send(observed()));
        }
    }

    /// Whether anybody watches.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.0.is_some()
    }
}
