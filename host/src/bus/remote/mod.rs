//! A bus of another host, over the network.
//!
//! One host runs the engine of a store. It serves its bus to the other hosts ([`server`]). Each of these has a
//! [`RemoteBus`]: all of the contract's traits, over one connection. The engine makes every decision and every commit,
//! exactly as for its own host, so several hosts have the guarantees of one.
//!
//! Deliveries are pushed: a host grants credits for a feed, and the engine's host claims deliveries on its behalf
//! (`pump`). A claim belongs to its connection. When the connection ends, the engine's host gives its claims back, and
//! the other host ends its handlers, whose outcomes no longer count.
//!
//! A connection is encrypted. The hosts trust each other because they use the same store: the engine's host publishes
//! its certificate and a token there ([`Identity`]).

mod calls;
mod claim;
mod client;
mod codec;
mod feed;
#[cfg(any(test, feature = "conformance"))]
mod fixture;
mod identity;
mod link;
mod mirror;
mod protocol;
mod pump;
mod server;
mod session;
mod state;
mod updates;

pub(in crate::bus) use client::RemoteBus;
#[cfg(any(test, feature = "conformance"))]
pub use fixture::RemoteFixture;
pub(in crate::bus) use identity::{Advertisement, Identity};
pub(in crate::bus) use server::Server;
