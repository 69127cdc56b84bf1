//! Claims deliveries of one feed for another host.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::bus::{BoxFuture, Claim, SubscriptionFeed};

/// How long a pump waits after a failed read.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Sends a claim to the host.
pub(super) type Deliver = Box<dyn Fn(Claim) -> BoxFuture<'static, ()> + Send + Sync>;

/// A task that claims as many deliveries as the host has granted credits for. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Pump {
    credits: Arc<Semaphore>,
    _task: AbortOnDropHandle<()>,
}

impl Pump {
    /// Starts without credits.
    pub(super) fn start(feed: Arc<dyn SubscriptionFeed>, stopping: CancellationToken, deliver: Deliver) -> Self {
        let credits = Arc::new(Semaphore::new(0));
        let task = run(feed, Arc::clone(&credits), deliver);
        let task = async move {
            let _ = stopping.run_until_cancelled(task).await;
        };
        Self { credits, _task: AbortOnDropHandle::new(tokio::spawn(task)) }
    }

    /// Grants more credits.
    pub(super) fn grant(&self, credits: u32) {
        let credits = usize::try_from(credits).unwrap_or(Semaphore::MAX_PERMITS);
        let left = Semaphore::MAX_PERMITS - self.credits.available_permits();
        self.credits.add_permits(credits.min(left));
    }
}

async fn run(feed: Arc<dyn SubscriptionFeed>, credits: Arc<Semaphore>, deliver: Deliver) {
    loop {
        let credit = credits.acquire().await.expect("the semaphore is never closed");
        match feed.claim().await {
            Ok(claim) => {
                credit.forget();
                deliver(claim).await;
            }
            // The worker of this host logs it.
            Err(_) => tokio::time::sleep(RETRY_AFTER).await,
        }
    }
}
