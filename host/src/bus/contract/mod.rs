//! The contract of a bus: what every engine promises, and what it may approximate.
//!
//! The host is independent of the engine. It uses a [`Bus`], which consists of six traits, one for each role:
//!
//! | Trait | Role |
//! | --- | --- |
//! | [`EventLog`] | publishes events now or later, reads them, and waits for replies |
//! | [`Subscriptions`] | manages subscriptions, and the feeds from which deliveries are claimed |
//! | [`DeadLetters`] | manages deliveries that are not retried any more |
//! | [`PluginState`] | reads the plugins' keys and values |
//! | [`Inspection`] | shows where each event's deliveries stand |
//! | [`Lifecycle`] | reports whether the store can be reached, and closes the bus |
//!
//! # Promises of every method
//! - **`Ok` means durable.** A change survives a power failure, and also the loss of a database's primary if the
//!   database replicates synchronously. It is atomic: an ack, the events that the handler published and the state that
//!   it wrote are one transaction.
//! - **An error means that nothing was changed.** There are two documented exceptions: [`CommitError::InDoubt`], and a
//!   publish of many events, which commits in parts.
//! - **A broken connection leaves no doubt.** If the connection to the store breaks during a commit, the engine first
//!   finds out whether the commit took place, and only then returns. It returns [`CommitError::InDoubt`] only if the
//!   store has failed, or if another host has taken over. Then the process ends.
//! - **An outage is not a failure.** While the store cannot be reached, changes are refused with
//!   [`CommitError::Unavailable`], and deliveries wait. The process ends only after [`Lifecycle::failed`].
//! - **Consumers pull.** The bus calls no handler; consumers await [`SubscriptionFeed::claim`].
//!
//! # What an engine may approximate
//! - The limits on the log and on backlogs ([`Settings`](super::Settings)) are exact on one host. With several hosts,
//!   the events that the others publish within one second may exceed them.
//! - [`Overview`](super::Overview) and [`EventLog::head`] may be up to one second old with several hosts.
//! - A change of the [`Catalogue`](super::Catalogue) made by another host may be seen up to one second late. A host
//!   sees its own changes at once.
//!
//! # Concurrency and order
//! | Promise | Enforced by |
//! | --- | --- |
//! | at most one attempt at a delivery at a time | the engine: a claimed delivery is not claimed again |
//! | at most one delivery of an ordering key at a time, in order | the engine: it claims a key's deliveries in turn |
//! | the limit on a subscription's concurrency | the dispatcher, with permits; with several hosts, also the engine |
//! | one claimer of a feed per host | the host: it starts one worker per feed |
//! | an outcome counts once | the engine: it refuses a second settlement with [`CommitError::NotClaimed`] |
//! | state that a handler has read is unchanged | the engine, at the commit: [`CommitError::Conflict`] |
//!
//! # Several hosts on one store
//! The hosts of a database can share its work. One of them runs the engine, and the others use it over the network, so
//! all of the above holds for all hosts together. In addition, a claim can be lost while its handler runs, because the
//! connection between the hosts has ended ([`Claim::lost`](super::Claim::lost)). Drained plugins, pauses and definitions
//! are shared by all hosts. The engine's host decides what plugins declare.
//!
//! [`CommitError::Conflict`]: super::CommitError::Conflict
//! [`CommitError::InDoubt`]: super::CommitError::InDoubt
//! [`CommitError::NotClaimed`]: super::CommitError::NotClaimed
//! [`CommitError::Unavailable`]: super::CommitError::Unavailable

mod dead_letters;
mod event_log;
mod feed;
mod inspection;
mod lifecycle;
mod plugin_state;
mod subscriptions;

use std::fmt::Debug;
use std::sync::Arc;

pub use dead_letters::{DeadLetters, IGNORED_DAYS};
pub use event_log::EventLog;
pub use feed::SubscriptionFeed;
pub use inspection::Inspection;
pub use lifecycle::Lifecycle;
pub use plugin_state::PluginState;
pub use subscriptions::Subscriptions;

/// A durable event bus with all of its roles.
pub trait Bus:
    EventLog + Subscriptions + DeadLetters + PluginState + Inspection + Lifecycle + Debug + Send + Sync + 'static
{
}

impl<T> Bus for T where
    T: EventLog + Subscriptions + DeadLetters + PluginState + Inspection + Lifecycle + Debug + Send + Sync + 'static
{
}

/// A reference to a bus, shared by the parts of the host.
pub type SharedBus = Arc<dyn Bus>;
