//! Who is to get which events.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::watch;

use super::SubscriptionFeed;
use crate::bus::{BoxFuture, Catalogue, CommitError, EndpointHold, FeedId, Replay, StoreError};
use crate::clock::Timestamp;
use crate::subscription::{Declaration, Definition, Start, SubscriptionId};

/// The set of subscriptions, their rules, and what stops them.
///
/// With several hosts all of it is common: what one host changes holds for all. New rules cut the log at one position,
/// the same for every host: earlier events are matched by the former rules.
pub trait Subscriptions {
    /// Takes over what a plugin's generation declares. Subscriptions that it no longer declares are paused,
    /// kept and returned; schedules that it no longer declares end. Those that it declares publish as long as this bus
    /// is open and the plugin is not withdrawn; when it is declared the next time, what they have missed is treated as
    /// they say.
    ///
    /// The host calls it in the order in which generations are to run. An engine for several hosts must not let a host that
    /// lags behind undo a newer declaration: it compares the generations that are deployed, which are in its store.
    ///
    /// # Errors
    /// [`CommitError::StartInFuture`] if a new subscription is to start at a position or time that the log has not
    /// reached; otherwise if the store refuses.
    fn declare<'a>(
        &'a self,
        plugin: &'a str,
        declaration: Declaration,
    ) -> BoxFuture<'a, Result<Vec<SubscriptionId>, CommitError>>;

    /// Says that a plugin no longer runs on this host. Its schedules rest when it runs on no host, until it is declared
    /// again.
    ///
    /// # Errors
    /// If the store refuses.
    fn withdraw<'a>(&'a self, plugin: &'a str) -> BoxFuture<'a, Result<(), CommitError>>;

    /// Makes a subscription, or gives the one of this name new rules. `start` is for a new subscription only: the position
    /// after the newest event is the last one that it may name, and the present is the latest time.
    ///
    /// # Errors
    /// [`CommitError::StartInFuture`] if a new subscription is to start later than that; otherwise if the store refuses.
    fn subscribe(
        &self,
        id: SubscriptionId,
        definition: Definition,
        start: Start,
    ) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Deletes a subscription with its backlog, its replays and its dead letters. Its claims are lost.
    ///
    /// # Errors
    /// If there is none, or the store refuses.
    fn delete_subscription(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Stops a subscription's deliveries, or lets them go on, also if its endpoint stopped them or holds them back.
    /// Those in flight come to their end. Another host may claim for up to a second more.
    ///
    /// # Errors
    /// If there is none, or the store refuses.
    fn pause(&self, id: SubscriptionId, paused: bool) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Stops a subscription's deliveries because its endpoint wants none any more. They go on when it is resumed, or gets
    /// another endpoint.
    ///
    /// # Errors
    /// If there is none, or the store refuses.
    fn retire(&self, id: SubscriptionId) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Delivers nothing to an endpoint, by its address, until a time: of no subscription, and not after a restart
    /// either.
    ///
    /// # Errors
    /// If the store refuses.
    fn hold_endpoint(&self, endpoint: String, hold: EndpointHold) -> BoxFuture<'_, Result<(), CommitError>>;

    /// Whether an endpoint is held back now.
    fn endpoint_hold(&self, endpoint: &str) -> Option<EndpointHold>;

    /// Delivers history once more: the events from `start` up to the subscription's cursor, marked as
    /// replayed, beside the live ones, and at most so many in a second.
    ///
    /// # Errors
    /// [`CommitError::StartInFuture`] if the log has not reached the start, as with [`Subscriptions::subscribe`];
    /// [`CommitError::NotFound`] if there is no such subscription; otherwise if the store refuses.
    fn replay(
        &self,
        id: SubscriptionId,
        start: Start,
        per_second: Option<NonZeroU32>,
    ) -> BoxFuture<'_, Result<Replay, CommitError>>;

    /// Ends a subscription's replays. Returns how many there were. Their claims are lost.
    ///
    /// # Errors
    /// If there is no such subscription, or the store refuses.
    fn stop_replays(&self, id: SubscriptionId) -> BoxFuture<'_, Result<usize, CommitError>>;

    /// Marks a plugin as drained, or no longer: nothing is delivered to one that is. The dispatcher enforces it.
    ///
    /// # Errors
    /// If the store refuses.
    fn drain<'a>(&'a self, plugin: &'a str, drained: bool) -> BoxFuture<'a, Result<(), CommitError>>;

    /// The subscriptions that there are, with their rules, and the plugins that are drained. A change that this host made
    /// is there before the call that made it returns; another host's may be seen a second late.
    fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>>;

    /// Whether nothing is delivered to a plugin now.
    fn is_drained(&self, plugin: &str) -> bool {
        self.catalogue().borrow().drained.contains(plugin)
    }

    /// A feed of the catalogue, from which deliveries are claimed. None if it is gone.
    fn feed(&self, feed: FeedId) -> Option<Arc<dyn SubscriptionFeed>>;

    /// When the oldest event was stored that a subscription or replay has neither handled nor buried, whatever it waits
    /// for: its turn, a retry, an ordering key that a dead letter parks, a plugin that does not run. A feed
    /// without a backlog is left out.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn oldest_unhandled(&self) -> BoxFuture<'_, Result<BTreeMap<FeedId, Timestamp>, StoreError>>;
}
