//! The plugins that are loaded: an immutable snapshot, replaced as a whole. Whoever took one before a
//! swap keeps the generations in it alive until it is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

use super::route_overlap::{self, Overlap};
use crate::plugin::manifest::descriptor::Route;
use crate::plugin::run::generation::Generation;

/// Holds the current snapshot, and tells of each new one.
#[derive(Clone, Debug)]
pub struct Registry {
    current: watch::Sender<Arc<Snapshot>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { current: watch::Sender::new(Arc::default()) }
    }
}

/// The plugins as of one moment.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The generations that run, by the plugin's name.
    pub plugins: BTreeMap<String, Arc<Generation>>,
    /// Plugins that were there and were removed or switched off, with the routes that they had.
    pub absent: BTreeMap<String, Vec<Route>>,
    routes: Routes,
}

/// One router for each method, so that methods need not agree on the names of parameters.
#[derive(Default)]
struct Routes(BTreeMap<String, matchit::Router<RouteEntry>>);

impl std::fmt::Debug for Routes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Routes").field(&self.0.keys()).finish()
    }
}

struct RouteEntry {
    owner: RouteTarget,
    route: Arc<Route>,
}

enum RouteTarget {
    Present(Arc<Generation>),
    Absent(String),
}

/// Where a request goes.
#[derive(Debug)]
pub enum RouteMatch {
    /// To a plugin.
    Plugin {
        /// Its generation.
        generation: Arc<Generation>,
        /// The route, as the plugin declares it.
        route: Arc<Route>,
        /// The route's parameters, still percent-encoded.
        params: Vec<(String, String)>,
    },
    /// To a plugin that is not there at the moment.
    Absent(String),
    /// Nowhere: the path has other methods.
    OtherMethods(Vec<String>),
    /// Nowhere.
    Nothing,
}

/// A route stands against one of another plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its route `{route}` stands against a route of plugin `{other}`; give one of them another path")]
pub struct RouteConflict {
    /// The route.
    pub route: Route,
    /// The plugin that has it.
    pub other: String,
}

impl Registry {
    /// The plugins now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// Tells of each new snapshot.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.current.subscribe()
    }

    /// Checks that a plugin's routes stand against no other plugin's.
    ///
    /// # Errors
    /// The first conflict.
    pub fn check_routes(&self, plugin: &str, routes: &[Route]) -> Result<(), RouteConflict> {
        let snapshot = self.snapshot();
        for (name, other) in &snapshot.plugins {
            if name == plugin {
                continue;
            }
            for theirs in &other.descriptor.routes {
                if let Some(route) = routes.iter().find(|route| collide(route, theirs)) {
                    return Err(RouteConflict { route: route.clone(), other: name.clone() });
                }
            }
        }
        Ok(())
    }

    /// Puts a generation in place of the plugin's former one.
    pub fn put(&self, generation: Arc<Generation>) {
        let mut snapshot = self.parts();
        snapshot.1.remove(&*generation.name);
        snapshot.0.insert(generation.name.to_string(), generation);
        self.replace(snapshot);
    }

    /// Notes the routes of plugins that ran before a restart. Until one runs again, its requests are answered that it is
    /// not there, and go to no other plugin.
    pub fn expect_plugins(&self, absent: BTreeMap<String, Vec<Route>>) {
        let (plugins, _) = self.parts();
        self.replace((plugins, absent));
    }

    /// Takes a plugin out. Its routes answer that it is not there.
    pub fn remove(&self, plugin: &str) {
        let mut snapshot = self.parts();
        if let Some(generation) = snapshot.0.remove(plugin) {
            snapshot.1.insert(plugin.to_owned(), generation.descriptor.routes.clone());
            self.replace(snapshot);
        }
    }

    fn parts(&self) -> (BTreeMap<String, Arc<Generation>>, BTreeMap<String, Vec<Route>>) {
        let snapshot = self.snapshot();
        (snapshot.plugins.clone(), snapshot.absent.clone())
    }

    fn replace(&self, (plugins, absent): (BTreeMap<String, Arc<Generation>>, BTreeMap<String, Vec<Route>>)) {
        let mut routes = Routes::default();
        for generation in plugins.values() {
            for route in &generation.descriptor.routes {
                routes.add(route, RouteTarget::Present(Arc::clone(generation)));
            }
        }
        for (name, theirs) in &absent {
            for route in theirs {
                routes.add(route, RouteTarget::Absent(name.clone()));
            }
        }
        self.current.send_replace(Arc::new(Snapshot { plugins, absent, routes }));
    }
}

/// Two routes of different plugins that one request can fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOverlap {
    /// The plugin's route.
    pub route: Route,
    /// The other plugin.
    pub plugin: String,
    /// Its route.
    pub theirs: Route,
    /// Whether such requests go to the first route.
    pub goes_first: bool,
}

impl Routes {
    fn add(&mut self, route: &Route, owner: RouteTarget) {
        let leaf = RouteEntry { owner, route: Arc::new(route.clone()) };
        // Loaded plugins were checked against each other, and come first; what an absent one had and
        // stands against theirs gives way.
        drop(self.0.entry(route.method.clone()).or_default().insert(route.path.as_str(), leaf));
    }
}

/// Whether the router cannot hold both routes.
fn collide(one: &Route, other: &Route) -> bool {
    let mut router = matchit::Router::new();
    one.method == other.method
        && router.insert(one.path.as_str(), ()).is_ok()
        && router.insert(other.path.as_str(), ()).is_err()
}

impl Snapshot {
    /// The routes of a plugin that overlap those of others.
    #[must_use]
    pub fn overlaps(&self, plugin: &str) -> Vec<RouteOverlap> {
        let Some(own) = self.plugins.get(plugin) else { return Vec::new() };
        let mut overlaps = Vec::new();
        for (name, other) in self.plugins.iter().filter(|(name, _)| *name != plugin) {
            for route in &own.descriptor.routes {
                for theirs in &other.descriptor.routes {
                    let goes_first = match route_overlap::of(route, theirs) {
                        Overlap::None => continue,
                        overlap => overlap == Overlap::First,
                    };
                    let (route, theirs) = (route.clone(), theirs.clone());
                    overlaps.push(RouteOverlap { route, plugin: name.clone(), theirs, goes_first });
                }
            }
        }
        overlaps
    }

    /// Finds where a request goes. Where nobody has the head of a resource, whoever has the resource is asked for it
    /// (RFC 9110, section 9.1).
    #[must_use]
    pub fn find(&self, method: &str, path: &str) -> RouteMatch {
        let at = |method: &str| self.routes.0.get(method).and_then(|router| router.at(path).ok());
        let Some(matched) = at(method).or_else(|| if method == "HEAD" { at("GET") } else { None }) else {
            let others = self.routes.0.iter().filter(|(_, router)| router.at(path).is_ok());
            let mut others: Vec<_> = others.map(|(method, _)| method.clone()).collect();
            if others.iter().any(|method| method == "GET") && !others.iter().any(|method| method == "HEAD") {
                others.push("HEAD".to_owned());
            }
            return if others.is_empty() { RouteMatch::Nothing } else { RouteMatch::OtherMethods(others) };
        };
        let RouteEntry { owner, route } = matched.value;
        match owner {
            RouteTarget::Absent(plugin) => RouteMatch::Absent(plugin.clone()),
            RouteTarget::Present(generation) => RouteMatch::Plugin {
                generation: Arc::clone(generation),
                route: Arc::clone(route),
                params: matched.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            },
        }
    }
}
