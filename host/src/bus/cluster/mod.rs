//! One bus of several hosts.
//!
//! The hosts of a store share its work. One of them, the *active host*, has the lease on the store and runs the engine.
//! The others are *members*: they use the engine of the active host through a [`RemoteBus`](super::remote::RemoteBus).
//! Each host has all parts of a host: it serves HTTP, claims deliveries and runs handlers.
//!
//! A [`ClusterBus`] is the bus of a host in either role. When the active host stops or dies, a member takes the lease
//! and starts the engine, and the other members connect to it ([`supervisor`]). Until then, changes are refused with
//! [`CommitError::Unavailable`](super::CommitError::Unavailable), like during an outage of the store. The rest of the
//! host does not notice more than that.

mod cluster_bus;
mod cluster_feed;
mod shared;
mod supervisor;

pub(in crate::bus) use cluster_bus::ClusterBus;
pub(in crate::bus) use supervisor::{JoinStore, Joined};

use std::sync::Arc;

use tokio::net::TcpListener;

use super::host_name::host_name;

/// How a host takes part in a cluster.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Where the host accepts connections of others while it is active.
    pub listener: Arc<TcpListener>,
    /// The address under which others reach the listener.
    pub address: String,
    /// The name of the host, for people.
    pub(in crate::bus) name: String,
}

impl Membership {
    /// The membership of this host.
    #[must_use]
    pub fn new(listener: Arc<TcpListener>, address: String) -> Self {
        Self { listener, address, name: host_name() }
    }
}
