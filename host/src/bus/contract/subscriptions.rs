//! Subscriptions: which events are delivered, and to whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::SubscriptionFeed;
use crate::bus::{
    BoxFuture, Catalogue, CommitError, DeliveryFilter, EndpointHold, FeedId, Replay, ReplayScope, StoreError,
};
use crate::clock::Timestamp;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};

/// The subscriptions, their definitions, and what stops their deliveries.
///
/// With several hosts all of this is shared: a change that one host makes applies to all. A new definition takes effect
/// at one position of the log, the same for every host; the previous definition applies to earlier events.
pub trait Subscriptions {
    /// Takes over the declaration of a plugin's generation. Subscriptions that it no longer declares are paused,
    /// kept, and returned; schedules that it no longer declares end. The declared schedules publish for as long as
    /// this bus is open and the plugin is not withdrawn. When the plugin is declared again, their missed ticks are
    /// handled as the schedules specify.
    ///
    /// The host declares generations in the order in which they are to run, so a declaration carries no generation
    /// number, and there is no error for a superseded one. An engine for several hosts must not let a host that lags
    /// behind undo a newer declaration. It compares the deployed generations, which are in its store.
    ///
    /// # Errors
    /// [`CommitError::StartInFuture`] if a new subscription is to start at a position or time that the log has not
    /// reached; otherwise if the store refuses.
    fn declare<'a>(
        &'a self,
        plugin: &'a str,
        declaration: Declaration,
    ) -> BoxFuture<'a, Result<Vec<SubscriptionId>, CommitError>>;

    /// Reports that a plugin no longer runs on this host. When it runs on no host, its schedules are suspended until
    /// it is declared again.
    ///
    /// # Errors
    /// If the store refuses.
    fn withdraw<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<(), CommitError>>;

    /// Creates a subscription, or redefines the one of this name. `start` applies to a new subscription only. It may
    /// be at most the position after the newest event, or the current time.
    ///
    /// # Errors
    /// [`CommitError::StartInFuture`] if a new subscription is to start later than that; otherwise if the store
    /// refuses.
    fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
    ) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Deletes a subscription with its backlog, its replays and its dead letters. Its claims are lost.
    ///
    /// # Errors
    /// If there is no such subscription, or the store refuses.
    fn delete_subscription(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Pauses or resumes a subscription. Resuming also undoes [`Subscriptions::retire`] and ends the hold of the
    /// subscription's endpoint. Running attempts are completed. Another host may claim deliveries for up to one more
    /// second.
    ///
    /// # Errors
    /// If there is no such subscription, or the store refuses.
    fn pause(&self, id: SubscriptionId, paused: bool) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Pauses a subscription because its endpoint responded with 410. Deliveries continue when the subscription is
    /// resumed or gets another endpoint.
    ///
    /// # Errors
    /// If there is no such subscription, or the store refuses.
    fn retire(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Puts an endpoint, named by its URL, on hold: no subscription delivers to it until the hold ends. The hold
    /// survives a restart.
    ///
    /// # Errors
    /// If the store refuses.
    fn hold_endpoint(&self, endpoint: String, hold: EndpointHold) -> BoxFuture<'_, Result<(), CommitError>>;

    /// The hold of an endpoint, if there is one now.
    fn endpoint_hold(&self, endpoint: &str) -> Option<EndpointHold>;

    /// Replays the events of a scope, at most up to the subscription's cursor. They are marked as replayed, and
    /// delivered in addition to the live ones. Only events that the subscription selects are delivered, now and after
    /// its definition changes.
    ///
    /// # Errors
    /// [`CommitError::StartInFuture`] if the log has not reached the start, as with [`Subscriptions::subscribe`];
    /// [`CommitError::NotFound`] if there is no such subscription; otherwise if the store refuses.
    fn replay(&self, id: SubscriptionId, scope: ReplayScope) -> BoxFuture<'_, Result<Replay, CommitError>>;

    /// Ends a subscription's replays, and returns how many there were. Their claims are lost.
    ///
    /// # Errors
    /// If there is no such subscription, or the store refuses.
    fn stop_replays(&self, id: SubscriptionId) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Makes the selected deliveries that wait for another attempt due now, and returns their number. Deliveries that
    /// wait for the turn of their ordering key still wait.
    ///
    /// # Errors
    /// [`CommitError::NotFound`] if the filter names a subscription that does not exist; otherwise if the store
    /// refuses.
    fn retry_now(&self, filter: DeliveryFilter) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Starts or ends the draining of a plugin. The dispatcher delivers nothing to a drained plugin.
    ///
    /// # Errors
    /// If the store refuses.
    fn drain<'a>(&'a self, plugin: &'a str, drained: bool) -> BoxFuture<'a, Result<(), CommitError>>;

    /// The subscriptions, their definitions, and the drained plugins. A change that this host makes is visible before
    /// the call that makes it returns; another host's change may be seen up to one second late.
    fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>>;

    /// Whether a plugin is drained.
    fn is_drained(&self, plugin: &str) -> bool {
        self.catalogue().borrow().drained.contains(plugin)
    }

    /// The feed of a catalogue entry. None if it no longer exists.
    fn feed(&self, feed: FeedId) -> Option<Arc<dyn SubscriptionFeed>>;

    /// When the oldest pending event of each subscription and replay was stored. All pending events count, whether they
    /// wait for their turn, a retry, a parked ordering key, or a plugin that does not run. Feeds without a backlog are
    /// left out.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn oldest_unhandled(&self) -> BoxFuture<'_, Result<BTreeMap<FeedId, Timestamp>, StoreError>>;
}
