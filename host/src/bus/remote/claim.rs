//! The claims of a remote bus.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::link::{Link, LinkError, changed};
use super::protocol::{Number, Request, Settled, ToServer};
use crate::bus::{AttemptRecord, BoxFuture, ClaimHandle, CommitError, OnHandleSettled, SettledStatus, Settlement};

/// A claim that the engine's host holds for this one.
#[derive(Debug)]
pub(super) struct RemoteClaim {
    link: Arc<Link>,
    /// Cancelled when the subscription is deleted, or the replay ends.
    deletion: CancellationToken,
    number: Number,
    is_in_flight: bool,
}

impl RemoteClaim {
    pub(super) fn new(link: Arc<Link>, deletion: CancellationToken, number: Number) -> Self {
        Self { link, deletion, number, is_in_flight: true }
    }

    fn request(&self, settlement: Settlement) -> Request {
        let Settlement { record, effects } = settlement;
        let AttemptRecord { verdict, digest, took, .. } = record;
        Request::Settle(Box::new(Settled { claim: self.number, verdict, digest, took, effects }))
    }

    fn note(&mut self, settled: &Result<SettledStatus, CommitError>) {
        if matches!(settled, Ok(_) | Err(CommitError::NotClaimed | CommitError::InDoubt)) {
            self.is_in_flight = false;
        }
    }
}

/// The result of a settlement. If it was not sent, the claim was lost with the connection.
fn settled(answer: Result<tokio_util::bytes::Bytes, LinkError>) -> Result<SettledStatus, CommitError> {
    match answer {
        Err(LinkError::NotSent) => Err(CommitError::NotClaimed),
        answer => changed(answer),
    }
}

impl ClaimHandle for RemoteClaim {
    fn settle(&mut self, settlement: Settlement) -> BoxFuture<'_, Result<SettledStatus, CommitError>> {
        Box::pin(async move {
            if !self.is_in_flight {
                return Err(CommitError::NotClaimed);
            }
            let settled = settled(self.link.call(self.request(settlement)).await);
            self.note(&settled);
            settled
        })
    }

    fn settle_then(mut self: Box<Self>, settlement: Settlement, then: OnHandleSettled) {
        if !self.is_in_flight {
            return then(self, Err(CommitError::NotClaimed));
        }
        let (link, request) = (Arc::clone(&self.link), self.request(settlement));
        link.call_then(
            request,
            Box::new(move |answer| {
                let settled = settled(answer);
                self.note(&settled);
                then(self, settled);
            }),
        );
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            tokio::select! {
                () = self.deletion.cancelled() => {}
                () = self.link.lost().cancelled() => {}
            }
        })
    }
}

impl Drop for RemoteClaim {
    fn drop(&mut self) {
        if self.is_in_flight {
            self.link.post(ToServer::GiveBack { claim: self.number });
        }
    }
}
