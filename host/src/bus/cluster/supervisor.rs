//! Joins a store as its active host or as a member, again and again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::Membership;
use super::cluster_bus::ClusterBus;
use super::shared::{Role, Shared};
use crate::bus::remote::{Advertisement, Identity, RemoteBus, Server};
use crate::bus::{
    BoxFuture, CommitError, DurableBus, OpenError, OpenErrorKind, Reachability, Settings, SharedBus, StoreErrorKind,
};
use crate::clock::Clock;
use crate::subscription::Declaration;

/// How long a host waits before it joins again.
const JOIN_INTERVAL: Duration = Duration::from_millis(250);
/// How often a problem repeats before it is reported.
const LASTING_PROBLEM: u32 = 8;
/// How long the active host waits for the deliveries of the members when it stops.
const DRAIN_TIME: Duration = Duration::from_secs(3);

/// The store of a cluster.
pub(in crate::bus) trait JoinStore: Send + Sync + 'static {
    /// Takes the lease and opens the engine, unless another host has the lease.
    ///
    /// # Errors
    /// If the store cannot be reached or used.
    fn join(&self, own: Advertisement, settings: Settings) -> BoxFuture<'static, Result<Joined, OpenError>>;
}

/// The role of a host that has joined.
pub(in crate::bus) enum Joined {
    /// This host has the lease.
    Active(Box<DurableBus>),
    /// Another host has the lease. It may not share its work.
    Member {
        /// The name of the active host.
        name: String,
        /// How to connect to it.
        active: Option<Advertisement>,
    },
}

impl ClusterBus {
    /// Joins a store, and waits until this host can use an engine. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the store refuses this host.
    pub(in crate::bus) async fn open(
        store: Arc<dyn JoinStore>,
        membership: Membership,
        clock: Clock,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::new(settings));
        let mut engine = shared.engine();
        let (refused, refusal) = tokio::sync::oneshot::channel();
        let supervisor = Supervisor { shared: Arc::clone(&shared), store, membership, clock };
        let supervising = tokio::spawn(async move {
            if let Err(error) = supervisor.run().await {
                // Before the bus is open, its caller gets the error.
                if let Err(error) = refused.send(error) {
                    supervisor.shared.fail(error.to_string());
                }
            }
        });
        let bus = Self::new(shared, AbortOnDropHandle::new(supervising));
        tokio::select! {
            // It lives as long as the bus, so the wait cannot fail.
            _ = engine.wait_for(Option::is_some) => Ok(bus),
            Ok(error) = refusal => Err(error),
        }
    }
}

struct Supervisor {
    shared: Arc<Shared>,
    store: Arc<dyn JoinStore>,
    membership: Membership,
    clock: Clock,
}

impl Supervisor {
    /// Runs until the bus is closed. If the store cannot be reached for a while, tries again.
    async fn run(&self) -> Result<(), OpenError> {
        let identity = Identity::generate().map_err(|error| {
            OpenError::new(OpenErrorKind::Store(StoreErrorKind::Failed), format!("cannot join the cluster: {error}"))
        })?;
        let mut known_problem: Option<(String, u32)> = None;
        while !self.shared.closing.is_cancelled() {
            let own = identity.advertise(&self.membership.address);
            // The store or the other host may hang.
            let joining = self.shared.closing.run_until_cancelled(self.store.join(own, self.shared.settings()));
            let Some(joined) = joining.await else { return Ok(()) };
            let problem = match joined {
                Ok(Joined::Active(bus)) => {
                    known_problem = None;
                    self.run_active(*bus, &identity).await;
                    continue;
                }
                Ok(Joined::Member { name, active: Some(active) }) => {
                    let connecting = RemoteBus::connect(&active, &self.membership.name, self.clock.clone());
                    let Some(connected) = self.shared.closing.run_until_cancelled(connecting).await else {
                        return Ok(());
                    };
                    match connected {
                        Ok(bus) => {
                            known_problem = None;
                            tracing::info!(
                                active = name,
                                address = active.address,
                                host = self.membership.name,
                                "sharing the work of the active host"
                            );
                            self.run_member(bus).await;
                            continue;
                        }
                        Err(error) => error.to_string(),
                    }
                }
                Ok(Joined::Member { name, active: None }) => {
                    format!("the active host {name} does not share its work; start it with `[cluster]`")
                }
                // A host that runs already waits until the store can be reached.
                Err(error) if is_temporary(&error) && self.shared.has_had_engine() => error.to_string(),
                Err(error) => return Err(error),
            };
            let lasts = match &mut known_problem {
                Some((known, times)) if *known == problem => {
                    *times += 1;
                    *times
                }
                known => known.insert((problem.clone(), 0)).1,
            };
            // Another host may be about to take over.
            if lasts == LASTING_PROBLEM {
                tracing::warn!(problem, "waiting for an active host");
            }
            self.shared.set_reachability(Reachability::Unreachable { reason: problem });
            let _ = self.shared.closing.run_until_cancelled(tokio::time::sleep(JOIN_INTERVAL)).await;
        }
        Ok(())
    }

    /// Runs the engine, for this host and for the members. Ends when the bus is closed, or the engine has failed.
    async fn run_active(&self, bus: DurableBus, identity: &Identity) {
        bus.share();
        let bus: SharedBus = Arc::new(bus);
        let mut declared = self.declare(&bus, &BTreeMap::new()).await;
        let server = Server::start(Arc::clone(&self.membership.listener), identity.clone(), Arc::clone(&bus));
        self.shared.set_engine(&bus, Role::Active);
        // A plugin that was loaded in between saw a member.
        while self.shared.declarations_version() != declared.0 {
            declared = self.declare(&bus, &declared.1).await;
        }
        let (host, address) = (&self.membership.name, &self.membership.address);
        tracing::info!(host, address, "this host is active, and shares its work");
        tokio::select! {
            () = self.follow(&bus) => {}
            reason = bus.failed() => self.shared.fail(reason),
            () = self.shared.closing.cancelled() => {
                if tokio::time::timeout(DRAIN_TIME, server.drain()).await.is_err() {
                    tracing::warn!("other hosts have not settled all deliveries; the next active host makes them again");
                }
            }
        }
        self.shared.clear_engine();
        server.close().await;
        bus.close().await;
    }

    /// Declares to the engine what the plugins of this host declare. Returns that, with its version.
    async fn declare(
        &self,
        bus: &SharedBus,
        former: &BTreeMap<String, Declaration>,
    ) -> (u64, BTreeMap<String, Declaration>) {
        let (version, declarations) = (self.shared.declarations_version(), self.shared.declarations());
        let failed = |plugin: &str, error: CommitError| {
            tracing::error!(plugin, %error, "the declarations of the plugin cannot be stored");
        };
        for (plugin, declaration) in &declarations {
            if let Err(error) = bus.declare(plugin, declaration.clone()).await {
                failed(plugin, error);
            }
        }
        for plugin in former.keys().filter(|plugin| !declarations.contains_key(*plugin)) {
            if let Err(error) = bus.withdraw(plugin).await {
                failed(plugin, error);
            }
        }
        (version, declarations)
    }

    /// Uses the engine of the active host until the connection is lost, or the bus is closed.
    async fn run_member(&self, remote: RemoteBus) {
        let bus: SharedBus = Arc::new(remote.clone());
        self.shared.set_engine(&bus, Role::Member);
        tokio::select! {
            () = self.follow(&bus) => {}
            () = remote.lost() => {}
            () = self.shared.closing.cancelled() => bus.close().await,
        }
        self.shared.clear_engine();
    }

    /// Takes changes of the catalogue and of the reachability over from the engine.
    async fn follow(&self, bus: &SharedBus) {
        let (mut catalogue, mut reachable) = (bus.catalogue(), bus.reachable());
        loop {
            self.shared.follow_catalogue(bus);
            let reachability = reachable.borrow_and_update().clone();
            self.shared.set_reachability(reachability);
            let changed = tokio::select! {
                changed = catalogue.changed() => changed,
                changed = reachable.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }
}

fn is_temporary(error: &OpenError) -> bool {
    matches!(
        error.kind(),
        OpenErrorKind::Unreachable | OpenErrorKind::Store(StoreErrorKind::Unavailable | StoreErrorKind::Full)
    )
}
