//! Webhook endpoints as handlers of deliveries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::Dispatcher;
use super::attempt::{DeliveryHandler, InvocationResult};
use super::trace;
use super::webhook::WebhookRequest;
use super::webhook_result::WebhookResult;
use crate::bus::{Delivery, EndpointHold, SubscriptionFeed};
use crate::otlp::ClientTrace;
use crate::outcome::{Cause, Failure, Outcome};
use crate::retry;
use crate::subscription::{Definition, OPERATOR, Webhook};
use crate::telemetry::SubscriptionMetrics;

/// How long the delivery waits for the next attempt if the endpoint responded with 410 but the subscription could not
/// be paused.
const RETIRE_PAUSE: Duration = Duration::from_secs(1);

/// Sends deliveries to an endpoint.
pub(super) struct EndpointHandler {
    pub(super) dispatcher: Dispatcher,
    pub(super) definition: Arc<Definition>,
    pub(super) webhook: Webhook,
    pub(super) feed: Arc<dyn SubscriptionFeed>,
    pub(super) metrics: Arc<SubscriptionMetrics>,
    pub(super) cancelled: CancellationToken,
}

impl DeliveryHandler for EndpointHandler {
    /// Sends a delivery once the endpoint admits it. None if it must not be sent now.
    async fn invoke(&self, delivery: &Arc<Delivery>) -> Option<InvocationResult> {
        let webhooks = &self.dispatcher.webhooks;
        let should_send = || self.should_send();
        let claimed = Instant::now();
        let mut permit = webhooks.endpoints().admit(&self.webhook.url, should_send, &self.cancelled).await?;
        let started = Instant::now();
        let operation = trace::begin(&self.dispatcher.tracer, delivery);
        let given = |name: &str| delivery.event().attribute(name);
        let context = operation.as_ref().map(|operation| operation.context);
        let client = ClientTrace::new(&self.dispatcher.tracer, context, given);
        let owner = &delivery.subscription.owner;
        let grants = if owner == OPERATOR {
            None
        } else {
            Some(self.dispatcher.registry.snapshot().plugins.get(owner)?.settings.webhooks.clone())
        };
        let (grants, timeout) = (grants.as_ref(), self.definition.timeout);
        let failure = |reason| Failure { cause: Cause::Webhook, reason };
        let request = WebhookRequest { webhook: &self.webhook, event: delivery.event(), timeout, client: &client };
        let outcome = match webhooks.deliver(&request, grants, &mut permit).await {
            WebhookResult::Accepted => Outcome::Ack,
            WebhookResult::Rejected(reason) => Outcome::Reject(failure(reason)),
            WebhookResult::Failed(reason) => Outcome::Retry { after: None, failure: failure(reason) },
            WebhookResult::Overloaded(reason, after) => {
                let after = after.unwrap_or_else(|| retry::backoff(&self.definition.retry, delivery.attempt));
                self.hold_endpoint(delivery, &reason, after).await;
                // The hold already delays the event, so the retry itself only has the delay of the policy.
                Outcome::Retry { after: None, failure: failure(reason) }
            }
            WebhookResult::Gone(reason) => {
                self.retire(delivery, &reason).await;
                return None;
            }
        };
        let mut invocation = InvocationResult::without_plugin(outcome, started.elapsed());
        invocation.usage.queued = started - claimed;
        invocation.span = operation.into();
        Some(invocation)
    }
}

impl EndpointHandler {
    /// Whether this definition still applies, and the endpoint accepts deliveries.
    fn should_send(&self) -> bool {
        !self.feed.is_deleted()
            && Arc::ptr_eq(&self.feed.definition(), &self.definition)
            && self.feed.overview().paused.is_none()
            && self.dispatcher.bus.endpoint_hold(&self.webhook.url).is_none()
    }

    /// Holds the endpoint, so that no subscription delivers to it for a while.
    async fn hold_endpoint(&self, delivery: &Delivery, reason: &str, after: Duration) {
        let subscription = &delivery.subscription;
        let hold = EndpointHold { until: self.dispatcher.clock().now().after(after), reason: reason.to_owned() };
        self.metrics.endpoint_hold();
        tracing::warn!(%subscription, until = %hold.until, "endpoint on hold: {reason}");
        if let Err(error) = self.dispatcher.bus.hold_endpoint(self.webhook.url.clone(), hold).await {
            tracing::warn!(%subscription, %error, "could not store the hold of the endpoint");
        }
    }

    /// Pauses the subscription, because its endpoint responded with 410. Its events wait.
    async fn retire(&self, delivery: &Delivery, reason: &str) {
        let subscription = &delivery.subscription;
        self.metrics.gone();
        tracing::error!(
            %subscription,
            "{reason}: the subscription is paused; run `sandbus subscriptions resume {subscription}`, or change its URL"
        );
        if let Err(error) = self.dispatcher.bus.retire(subscription.clone()).await {
            tracing::warn!(%subscription, %error, "could not pause the subscription, whose endpoint responded with 410");
            tokio::time::sleep(RETIRE_PAUSE).await;
        }
    }
}
