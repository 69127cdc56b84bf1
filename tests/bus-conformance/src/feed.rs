//! A feed that may have a fault, and its claims.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use sandbus_host::bus::{
    BoxFuture, Claim, ClaimHandle, CommitError, Delivery, FeedId, OnHandleSettled, Overview, SettledStatus, Settlement,
    SharedBus, StoreError, SubscriptionFeed,
};
use sandbus_host::bus::{DeadLetterFilter, conformance};
use sandbus_host::event::Position;
use sandbus_host::outcome::Effects;
use sandbus_host::subscription::{Definition, SubscriptionId};

use crate::Fault;
use crate::fault::is_ack;

/// The deliveries that were given back.
pub(crate) type GivenBack = Arc<Mutex<BTreeSet<(FeedId, Position)>>>;

#[derive(Debug)]
pub(crate) struct FaultyFeed {
    pub(crate) feed: Arc<dyn SubscriptionFeed>,
    pub(crate) bus: SharedBus,
    pub(crate) fault: Option<Fault>,
    pub(crate) given_back: GivenBack,
}

impl FaultyFeed {
    fn wrap(&self, claim: Claim) -> Claim {
        let mut delivery = Delivery::clone(claim.delivery());
        let place = (self.feed.feed_id(), delivery.logged.position);
        let was_given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner).contains(&place);
        if was_given_back && self.fault == Some(Fault::CountsGivenBack) {
            delivery.attempt += 1;
        }
        let handle = FaultyClaim {
            claim: Some(claim),
            place,
            bus: Arc::clone(&self.bus),
            fault: self.fault,
            given_back: Arc::clone(&self.given_back),
        };
        Claim::new(delivery, Box::new(handle))
    }

    /// Whether a delivery is hidden.
    fn drops(&self, claim: &Claim) -> bool {
        self.fault == Some(Fault::DropsDeliveries) && claim.delivery().logged.position.0 % 100 == 7
    }
}

impl SubscriptionFeed for FaultyFeed {
    fn feed_id(&self) -> FeedId {
        self.feed.feed_id()
    }

    fn id(&self) -> &SubscriptionId {
        self.feed.id()
    }

    fn definition(&self) -> Arc<Definition> {
        self.feed.definition()
    }

    fn is_deleted(&self) -> bool {
        self.feed.is_deleted()
    }

    fn overview(&self) -> Overview {
        self.feed.overview()
    }

    fn claim(&self) -> BoxFuture<'_, Result<Claim, StoreError>> {
        Box::pin(async move {
            loop {
                let mut claim = self.feed.claim().await?;
                if self.drops(&claim) && conformance::ack(&mut claim, Effects::default()).await.is_ok() {
                    continue;
                }
                return Ok(self.wrap(claim));
            }
        })
    }

    fn try_claim(&self) -> Option<Claim> {
        self.feed.try_claim().map(|claim| self.wrap(claim))
    }
}

#[derive(Debug)]
struct FaultyClaim {
    /// None once it was passed on.
    claim: Option<Claim>,
    place: (FeedId, Position),
    bus: SharedBus,
    fault: Option<Fault>,
    given_back: GivenBack,
}

impl FaultyClaim {
    async fn settle_it(&mut self, mut settlement: Settlement) -> Result<SettledStatus, CommitError> {
        let Some(claim) = &mut self.claim else { return Err(CommitError::NotClaimed) };
        let Some(fault) = self.fault else { return claim.settle(settlement).await };
        fault.alter_settlement(&mut settlement);
        if fault == Fault::AcksWithoutCommit && is_ack(&settlement) {
            return Ok(SettledStatus::Handled);
        }
        let effects = settlement.effects.clone();
        let is_failed = !is_ack(&settlement);
        let settled = claim.settle(settlement).await;
        match (fault, &settled, effects) {
            (Fault::CommitsFailedAttempts, Ok(_), Some((plugin, effects))) if is_failed => {
                self.bus.commit(&plugin, effects).await?;
            }
            (Fault::CommitsLateOutcomes, Err(CommitError::NotClaimed), Some((plugin, effects))) => {
                self.bus.commit(&plugin, effects).await?;
                return Ok(SettledStatus::Handled);
            }
            (Fault::LosesDeadLetters, Ok(SettledStatus::Dead), _) => {
                self.bus.drop_dead_letters(DeadLetterFilter::default(), 1_000).await?;
            }
            (Fault::HidesOutages, Err(CommitError::Unavailable { .. }), _) => return Ok(SettledStatus::Handled),
            _ => {}
        }
        settled
    }
}

impl ClaimHandle for FaultyClaim {
    fn settle(&mut self, settlement: Settlement) -> BoxFuture<'_, Result<SettledStatus, CommitError>> {
        Box::pin(self.settle_it(settlement))
    }

    fn settle_then(mut self: Box<Self>, mut settlement: Settlement, then: OnHandleSettled) {
        let Some(claim) = self.claim.take() else { return then(self, Err(CommitError::NotClaimed)) };
        if let Some(fault) = self.fault {
            fault.alter_settlement(&mut settlement);
        }
        claim.settle_then(
            settlement,
            Box::new(move |claim, settled| {
                self.claim = Some(claim);
                then(self, settled);
            }),
        );
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            match &self.claim {
                Some(claim) => claim.lost().await,
                None => std::future::pending().await,
            }
        })
    }
}

impl Drop for FaultyClaim {
    fn drop(&mut self) {
        self.given_back.lock().unwrap_or_else(PoisonError::into_inner).insert(self.place);
    }
}
