//! The loaded plugins, as an immutable snapshot that is replaced as a whole. A caller that took a snapshot before a
//! swap keeps its generations alive until it drops the snapshot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::route_overlap::{self, Overlap};
use crate::plugin::manifest::descriptor::{Route, path::normal_form};
use crate::plugin::run::generation::Generation;

/// Holds the current snapshot and notifies about new ones.
#[derive(Clone, Debug)]
pub struct Registry {
    current: watch::Sender<Arc<RegistrySnapshot>>,
    /// How many files in the folder are refused or ignored.
    refused_files: Arc<AtomicU64>,
}

impl Default for Registry {
    fn default() -> Self {
        Self { current: watch::Sender::new(Arc::default()), refused_files: Arc::default() }
    }
}

impl Registry {
    /// How many files in the folder are refused or ignored.
    #[must_use]
    pub fn refused_files(&self) -> u64 {
        self.refused_files.load(Ordering::Relaxed)
    }

    /// Notes how many files in the folder are refused or ignored.
    pub(super) fn set_refused_files(&self, count: usize) {
        self.refused_files.store(count as u64, Ordering::Relaxed);
    }
}

/// The plugins at one moment.
#[derive(Debug, Default)]
pub struct RegistrySnapshot {
    /// The running generations, by the plugin's name.
    pub plugins: BTreeMap<String, Arc<Generation>>,
    /// Plugins that were removed or disabled, with the routes that they had.
    pub absent: BTreeMap<String, Vec<Route>>,
    routes: Routes,
}

/// A router for each method, so that methods need not agree on the names of parameters.
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

/// The result of routing a request.
#[derive(Debug)]
pub enum RouteMatch {
    /// A plugin's route matches.
    Plugin {
        /// The plugin's generation.
        generation: Arc<Generation>,
        /// The route, as the plugin declares it.
        route: Arc<Route>,
        /// The route's parameters, still percent-encoded.
        params: Vec<(String, String)>,
    },
    /// A route matches whose plugin is not loaded at the moment.
    Absent(String),
    /// Only routes with other methods match the path.
    OtherMethods(Vec<String>),
    /// No route matches.
    Nothing,
}

/// A route conflicts with one of another plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its route `{route}` conflicts with a route of plugin `{other}`; change one of the paths")]
pub struct RouteConflictError {
    /// The route.
    pub route: Route,
    /// The other plugin.
    pub other: String,
}

impl Registry {
    /// The current snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<RegistrySnapshot> {
        Arc::clone(&self.current.borrow())
    }

    /// A receiver of new snapshots.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<RegistrySnapshot>> {
        self.current.subscribe()
    }

    /// Checks that a plugin's routes conflict with no other plugin's.
    ///
    /// # Errors
    /// The first conflict.
    pub fn check_routes(&self, plugin: &str, routes: &[Route]) -> Result<(), RouteConflictError> {
        let snapshot = self.snapshot();
        for (name, other) in &snapshot.plugins {
            if name == plugin {
                continue;
            }
            for theirs in &other.descriptor.routes {
                if let Some(route) = routes.iter().find(|route| collide(route, theirs)) {
                    return Err(RouteConflictError { route: route.clone(), other: name.clone() });
                }
            }
        }
        Ok(())
    }

    /// Replaces the plugin's generation, or adds the plugin.
    pub fn put(&self, generation: Arc<Generation>) {
        let (mut plugins, mut absent) = self.parts();
        absent.remove(&*generation.name);
        plugins.insert(generation.name.to_string(), generation);
        self.replace((plugins, absent));
    }

    /// Reserves the routes of plugins that ran before a restart. Until such a plugin is loaded again, its requests are
    /// answered with an error instead of going to another plugin.
    pub fn expect_plugins(&self, absent: BTreeMap<String, Vec<Route>>) {
        let (plugins, _) = self.parts();
        self.replace((plugins, absent));
    }

    /// Removes a plugin. Requests for its routes are then answered with an error.
    pub fn remove(&self, plugin: &str) {
        let (mut plugins, mut absent) = self.parts();
        if let Some(generation) = plugins.remove(plugin) {
            absent.insert(plugin.to_owned(), generation.descriptor.routes.clone());
            self.replace((plugins, absent));
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
        self.current.send_replace(Arc::new(RegistrySnapshot { plugins, absent, routes }));
    }
}

/// Two routes of different plugins that match the same requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOverlap {
    /// The plugin's route.
    pub route: Route,
    /// The other plugin.
    pub plugin: String,
    /// The other plugin's route.
    pub theirs: Route,
    /// Whether such requests go to the plugin's route.
    pub goes_first: bool,
}

impl Routes {
    fn add(&mut self, route: &Route, owner: RouteTarget) {
        let entry = RouteEntry { owner, route: Arc::new(route.clone()) };
        // Loaded plugins do not conflict and are added first. A conflicting route of an absent plugin is dropped.
        drop(self.0.entry(route.method.clone()).or_default().insert(route.path.as_str(), entry));
    }
}

/// Whether the router refuses to hold both routes.
fn collide(one: &Route, other: &Route) -> bool {
    let mut router = matchit::Router::new();
    one.method == other.method
        && router.insert(one.path.as_str(), ()).is_ok()
        && router.insert(other.path.as_str(), ()).is_err()
}

impl RegistrySnapshot {
    /// The overlaps of a plugin's routes with those of other plugins.
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

    /// Routes a request by the normal form of its path. A `HEAD` request without its own route goes to the `GET` route
    /// (RFC 9110, section 9.1).
    #[must_use]
    pub fn find(&self, method: &str, path: &str) -> RouteMatch {
        let path = &*normal_form(path);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The fake hosts of the SDKs read the same table.
    #[test]
    fn requests_go_to_routes_as_in_the_table() {
        let table = include_str!("../../../../guest-sdk/conformance/route-paths.json");
        let table: serde_json::Value = serde_json::from_str(table).unwrap();
        for row in table["matches"].as_array().unwrap() {
            let paths = row[0].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned());
            let routes: Vec<_> = paths.map(|path| Route { method: "GET".to_owned(), path }).collect();
            let registry = Registry::default();
            // The name of the plugin tells the route that was found.
            registry.expect_plugins(routes.iter().map(|route| (route.path.clone(), vec![route.clone()])).collect());
            let found = match registry.snapshot().find("GET", row[1].as_str().unwrap()) {
                RouteMatch::Absent(path) => Some(path),
                RouteMatch::Nothing => None,
                other => panic!("{row}: {other:?}"),
            };
            assert_eq!(found.as_deref(), row[2].as_str(), "{row}");
        }
    }
}
