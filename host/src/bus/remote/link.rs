//! The connection to the engine's host: calls and their answers.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::codec::decode;
use super::protocol::{Number, ReadFailure, Request, ToServer};
use crate::bus::{CommitError, FeedId, StoreError, StoreErrorKind};

/// The number of calls without an answer. Further ones wait.
const MAX_CALLS: usize = 2_048;
/// When a change may succeed that was refused because no host runs the engine.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Called with the encoded answer.
type OnAnswer = Box<dyn FnOnce(Result<Bytes, LinkError>) + Send>;

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    /// The call was not sent.
    #[error("the connection to the active host is lost")]
    NotSent,
    /// The connection was lost after the call was sent. It may have had an effect.
    #[error("the connection to the active host was lost before it answered")]
    NoAnswer,
}

/// Waits for a future on a thread that may block.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    // In a task of tokio, a future that has used up the task's budget would never become ready.
    pollster::block_on(tokio::task::unconstrained(future))
}

/// The sending side of a connection. The queue is bounded: calls wait for permits, and other messages are about claims,
/// views and replies, of which each has one at a time.
pub(super) struct Link {
    outgoing: mpsc::UnboundedSender<ToServer>,
    permits: Arc<Semaphore>,
    calls: Mutex<Calls>,
    /// Cancelled when the connection is lost.
    lost: CancellationToken,
    /// Whether feeds are refreshed before each overview. Only the conformance suite needs that.
    is_always_fresh: AtomicBool,
}

#[derive(Default)]
struct Calls {
    last: Number,
    waiting: HashMap<Number, OnAnswer>,
    /// Whether the other host stops, and takes only calls that end work.
    is_finishing: bool,
    is_lost: bool,
}

impl Link {
    /// A link that sends to a queue.
    pub(super) fn new(outgoing: mpsc::UnboundedSender<ToServer>) -> Self {
        let permits = Arc::new(Semaphore::new(MAX_CALLS));
        Self {
            outgoing,
            permits,
            calls: Mutex::default(),
            lost: CancellationToken::new(),
            is_always_fresh: AtomicBool::new(false),
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when the connection is lost.
    pub(super) fn lost(&self) -> &CancellationToken {
        &self.lost
    }

    /// A number that no other thing of this connection has.
    pub(super) fn next_number(&self) -> Number {
        let mut calls = self.calls();
        calls.last += 1;
        calls.last
    }

    /// Ends the connection. All calls fail.
    pub(super) fn lose(&self) {
        let waiting = {
            let mut calls = self.calls();
            calls.is_lost = true;
            std::mem::take(&mut calls.waiting)
        };
        self.lost.cancel();
        for (_, on_answer) in waiting {
            on_answer(Err(LinkError::NoAnswer));
        }
    }

    /// Sends only calls that end work from now on.
    pub(super) fn finish(&self) {
        self.calls().is_finishing = true;
    }

    /// Passes the answer to its call.
    pub(super) fn answer(&self, number: Number, result: Bytes) {
        let waiting = self.calls().waiting.remove(&number);
        if let Some(on_answer) = waiting {
            on_answer(Ok(result));
        }
    }

    /// Refreshes feeds before each overview.
    #[cfg(any(test, feature = "conformance"))]
    pub(super) fn be_always_fresh(&self) {
        self.is_always_fresh.store(true, Ordering::Relaxed);
    }

    /// Waits for the updates of one feed, or of all, if [`Self::be_always_fresh`] asks for that. Blocks.
    pub(super) fn refresh_for_test(&self, feed: Option<FeedId>) {
        if self.is_always_fresh.load(Ordering::Relaxed) {
            // Without a connection, the last update counts.
            drop(block_on(self.read::<()>(Request::Refresh(feed))));
        }
    }

    /// Sends a message that needs no answer.
    pub(super) fn post(&self, message: ToServer) {
        // Without a connection, the other host has forgotten everything that a message could be about.
        drop(self.outgoing.send(message));
    }

    fn send(&self, request: Request, permit: OwnedSemaphorePermit, on_answer: OnAnswer) {
        let on_answer: OnAnswer = Box::new(move |answer| {
            drop(permit);
            on_answer(answer);
        });
        let number = {
            let mut calls = self.calls();
            if calls.is_lost || calls.is_finishing && !request.ends_work() {
                drop(calls);
                return on_answer(Err(LinkError::NotSent));
            }
            calls.last += 1;
            let number = calls.last;
            calls.waiting.insert(number, on_answer);
            number
        };
        self.post(ToServer::Call { number, request });
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Sends a call, and waits for its answer.
    pub(super) async fn call(&self, request: Request) -> Result<Bytes, LinkError> {
        let (sender, answer) = oneshot::channel();
        let permit = self.permit().await;
        self.send(request, permit, Box::new(move |answer| drop(sender.send(answer))));
        answer.await.unwrap_or(Err(LinkError::NoAnswer))
    }

    /// Sends a call without waiting for its answer. Blocks while there are too many.
    pub(super) fn call_then(&self, request: Request, then: OnAnswer) {
        let permit = block_on(self.permit());
        self.send(request, permit, then);
    }

    /// Makes a change.
    pub(super) async fn change<T: DeserializeOwned>(&self, request: Request) -> Result<T, CommitError> {
        changed(self.call(request).await)
    }

    /// Reads.
    pub(super) async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, StoreError> {
        let answer = self.call(request).await.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        let result: Result<T, ReadFailure> =
            decode(&answer).map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        Ok(result?)
    }
}

/// The result of a change. If the connection was lost, nobody knows whether the change took place.
pub(super) fn changed<T: DeserializeOwned>(answer: Result<Bytes, LinkError>) -> Result<T, CommitError> {
    match answer {
        Ok(result) => decode(&result).unwrap_or_else(|error| {
            tracing::error!(%error, "the active host sent an answer that this host does not understand");
            Err(CommitError::InDoubt)
        }),
        Err(error @ LinkError::NotSent) => {
            Err(CommitError::Unavailable { reason: error.to_string(), retry_after: RETRY_AFTER })
        }
        Err(LinkError::NoAnswer) => Err(CommitError::InDoubt),
    }
}

impl Debug for Link {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Link").field("is_lost", &self.lost.is_cancelled()).finish_non_exhaustive()
    }
}
