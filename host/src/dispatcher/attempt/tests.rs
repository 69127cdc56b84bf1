//! Attempts that cannot be settled.

use std::pin::pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::Notify;

use super::*;
use crate::bus::conformance::{definition, event, id};
use crate::bus::{BoxFuture, ClaimHandle, DeliveryKind, OnHandleSettled};
use crate::clock::Timestamp;
use crate::event::{IdSeed, LoggedEvent, Position};

/// A claim that refuses each settlement.
#[derive(Debug)]
struct RefusingClaim {
    error: CommitError,
    lost: CancellationToken,
}

impl ClaimHandle for RefusingClaim {
    fn settle(&mut self, _: Settlement) -> BoxFuture<'_, Result<SettledStatus, CommitError>> {
        Box::pin(std::future::ready(Err(self.error.clone())))
    }

    fn settle_then(self: Box<Self>, _: Settlement, on_settled: OnHandleSettled) {
        let error = self.error.clone();
        on_settled(self, Err(error));
    }

    fn lost(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.lost.cancelled())
    }
}

#[derive(Default)]
struct Reports {
    reports: Mutex<Vec<&'static str>>,
    changed: Notify,
}

impl Reports {
    fn add(&self, report: &'static str) {
        self.reports.lock().unwrap().push(report);
        self.changed.notify_one();
    }

    fn all(&self) -> Vec<&'static str> {
        self.reports.lock().unwrap().clone()
    }
}

impl AttemptReporter for Reports {
    fn settled(&self, _: &AttemptRecord, _: Option<EffectNames>, _: SettledStatus, _: AttemptSpan) {
        self.add("settled");
    }

    fn conflict(&self, _: &Delivery, _: &str) {
        self.add("conflict");
    }

    fn given_back(&self, _: &Delivery, _: &CommitError) {
        self.add("given back");
    }

    fn lost(&self, _: &Delivery) {
        self.add("lost");
    }
}

/// A handler that acknowledges each event.
#[derive(Default)]
struct Acknowledging(AtomicU32);

impl DeliveryHandler for Acknowledging {
    async fn invoke(&self, _: &Arc<Delivery>) -> Option<InvocationResult> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(InvocationResult::without_plugin(Outcome::Ack, Duration::ZERO))
    }
}

/// A handler that never returns.
struct Hanging;

impl DeliveryHandler for Hanging {
    async fn invoke(&self, _: &Arc<Delivery>) -> Option<InvocationResult> {
        std::future::pending().await
    }
}

fn claim(error: CommitError, lost: &CancellationToken) -> Claim {
    let logged = LoggedEvent { position: Position(1), stored_at: Timestamp(0), event: Arc::new(event("1")) };
    let (subscription, kind, ids) = (id("s"), DeliveryKind::Regular, IdSeed::unique());
    let delivery = Delivery { logged, subscription, is_dynamic: false, attempt: 1, kind, redriven_at: None, ids };
    Claim::new(delivery, Box::new(RefusingClaim { error, lost: lost.clone() }))
}

fn runner(reports: &Arc<Reports>) -> AttemptRunner {
    AttemptRunner {
        definition: Arc::new(definition("a.b", 3)),
        hop_limit: 8,
        holds_failed_deliveries: false,
        jitter: || 1.0,
        reporter: Arc::clone(reports) as Arc<dyn AttemptReporter>,
        cancelled: CancellationToken::new(),
    }
}

#[tokio::test]
async fn nobody_waits_for_a_handler_whose_claim_is_lost() {
    let (reports, lost) = (Arc::default(), CancellationToken::new());
    lost.cancel();
    let runner = runner(&reports);
    let run = runner.run(claim(CommitError::NotClaimed, &lost), FeedPermits::default(), &Hanging);
    tokio::time::timeout(Duration::from_secs(10), run).await.expect("the attempt ends with its claim");
    assert_eq!(reports.all(), ["lost"]);
}

#[tokio::test]
async fn an_outcome_that_comes_too_late_is_discarded_and_not_retried() {
    let (reports, handler) = (Arc::default(), Acknowledging::default());
    runner(&reports)
        .run(claim(CommitError::NotClaimed, &CancellationToken::new()), FeedPermits::default(), &handler)
        .await;
    assert_eq!(reports.all(), ["lost"]);
    assert_eq!(handler.0.into_inner(), 1);
}

#[tokio::test]
async fn a_delivery_that_no_store_can_settle_is_not_claimed_again_at_once() {
    let unavailable = CommitError::Unavailable { reason: "a test".to_owned(), retry_after: Duration::from_secs(60) };
    for error in [CommitError::Closed("a test".to_owned()), CommitError::DiskFull, CommitError::InDoubt, unavailable] {
        let (reports, handler): (Arc<Reports>, _) = (Arc::default(), Acknowledging::default());
        let runner = runner(&reports);
        let mut run =
            pin!(runner.run(claim(error.clone(), &CancellationToken::new()), FeedPermits::default(), &handler));
        tokio::select! {
            biased;
            () = &mut run => panic!("{error}: the claim was dropped at once"),
            () = reports.changed.notified() => {}
        }
        runner.cancelled.cancel();
        run.await;
        assert_eq!(reports.all(), ["given back"], "{error}");
    }
}
