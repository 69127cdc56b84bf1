//! The contract of a bus: what every engine promises, and what it may approximate.
//!
//! The host knows no engine. It uses a [`Bus`], which is five traits, one for each role:
//!
//! | Trait | Role |
//! | --- | --- |
//! | [`EventLog`] | events: published now or later, read, and answered |
//! | [`Subscriptions`] | who is to get which events, and the feeds from which deliveries are claimed |
//! | [`DeadLetters`] | deliveries that were given up |
//! | [`PluginState`] | the plugins' keys and values |
//! | [`Lifecycle`] | whether the store can be reached, and the end |
//!
//! # What holds for every method
//! - **`Ok` means durable.** A change survives the loss of power, or of the store's primary. It is complete: an ack, the
//!   events that the handler published and the state that it wrote are one transaction.
//! - **An error means that nothing has happened.** There are two exceptions, each of which says so:
//!   [`CommitError::InDoubt`](super::CommitError::InDoubt), and a publish of many events, which commits in parts.
//! - **An engine resolves doubt itself.** If the connection breaks during a commit, the engine finds out whether it was
//!   committed before it answers. Only when its patience ends does it answer [`CommitError::InDoubt`](super::CommitError::InDoubt).
//! - **An outage is not a failure.** While the store cannot be reached, changes are refused with
//!   [`CommitError::Unavailable`](super::CommitError::Unavailable), and deliveries wait. The process ends only after [`Lifecycle::failed`].
//! - **The bus never calls out.** Consumers pull, by awaiting [`SubscriptionFeed::claim`].
//!
//! # What an engine may approximate
//! - Limits of the log and of backlogs ([`Settings`](super::Settings)) are exact on one host. With several hosts they may
//!   be exceeded by what the others publish within a second.
//! - [`Overview`](super::Overview) and [`EventLog::head`] are as of a moment, at most a second ago with several hosts.
//! - A change of the [`Catalogue`](super::Catalogue) that another host made is seen at most a second late. A host sees its own at once.
//!
//! # Concurrency and order
//! | What | Who enforces it |
//! | --- | --- |
//! | one attempt at a delivery at a time | the engine: a delivery that is claimed is not claimed again |
//! | one delivery of an ordering key at a time, in order | the engine: it claims none before the earlier one is done |
//! | the number of deliveries of a subscription that run at a time | the dispatcher, by permits; with several hosts the engine shares the number out |
//! | one claimer of a feed in each host | the host: it makes one worker for each feed |
//! | an outcome counts once | the engine: the second settlement is refused with [`CommitError::NotOpen`](super::CommitError::NotOpen) |
//! | state that a handler has read | the engine, at the commit: [`CommitError::Conflict`](super::CommitError::Conflict) |
//!
//! # Several hosts on one store
//! Nothing of the above changes. What is new: a claim can be lost while its handler runs, because the host was cut off for
//! so long that another one took over ([`Claim::lost`](super::Claim::lost)); the outcome is then refused. Plugins, drained
//! plugins, pauses and rules are those of all hosts.

mod dead_letters;
mod event_log;
mod feed;
mod lifecycle;
mod plugin_state;
mod subscriptions;

use std::fmt::Debug;
use std::sync::Arc;

pub use dead_letters::DeadLetters;
pub use event_log::EventLog;
pub use feed::SubscriptionFeed;
pub use lifecycle::Lifecycle;
pub use plugin_state::PluginState;
pub use subscriptions::Subscriptions;

/// A durable event bus: all roles together.
pub trait Bus:
    EventLog + Subscriptions + DeadLetters + PluginState + Lifecycle + Debug + Send + Sync + 'static
{
}

impl<T: EventLog + Subscriptions + DeadLetters + PluginState + Lifecycle + Debug + Send + Sync + 'static> Bus for T {}

/// A bus, as the parts of the host hold it.
pub type SharedBus = Arc<dyn Bus>;
