//! Which plugin owns which route, across restarts: the plugin that had a route first keeps its requests.
//!
//! A route that would take requests from another plugin's route is refused unless the operator grants it. This record
//! decides, and not the order in which files are loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::route_overlap::{self, Overlap};
use crate::files;
use crate::files::sealed;
use crate::plugin::manifest::descriptor::Route;
use crate::plugin::run::generation::Generation;

/// The routes of all plugins that have run, and the file that records them.
#[derive(Clone, Debug)]
pub(crate) struct RouteOwnership {
    path: PathBuf,
    all: Vec<OwnedRoute>,
    /// Whether there was no record at startup. An earlier version may have run without one, and its plugins keep their
    /// routes.
    has_no_record: bool,
}

/// A route with its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct OwnedRoute {
    /// The stem of the plugin's file.
    file: String,
    plugin: String,
    route: Route,
}

/// A route would take requests from another plugin's route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its route `{route}` would take requests from `{theirs}` of plugin `{plugin}` ({file}.wasm), which had them first; change the path, or allow it in the sidecar: [grants] routes = [\"{route}\"]"
)]
pub(crate) struct RouteTakeoverError {
    route: Route,
    theirs: Route,
    plugin: String,
    file: String,
}

impl RouteOwnership {
    /// Reads the record. A damaged record is reported and replaced by an empty one.
    pub(crate) fn read(path: PathBuf) -> Self {
        let (all, has_no_record) = match std::fs::read(&path) {
            Ok(bytes) => {
                let text = sealed::unseal(&path, &bytes);
                let all = text.and_then(|text| serde_json::from_slice(text).ok());
                if all.is_none() {
                    tracing::error!(path = %path.display(), "the record of route owners is damaged; overlapping routes now go to the plugin whose file comes first by name");
                }
                (all.unwrap_or_default(), false)
            }
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::error!(path = %path.display(), %error, "the record of route owners cannot be read");
                }
                (Vec::new(), error.kind() == io::ErrorKind::NotFound)
            }
        };
        Self { path, all, has_no_record }
    }

    /// An empty record that is not stored.
    pub(crate) fn in_memory() -> Self {
        Self { path: PathBuf::new(), all: Vec::new(), has_no_record: false }
    }

    /// The routes of each plugin.
    pub(crate) fn by_plugin(&self) -> BTreeMap<String, Vec<Route>> {
        let mut routes = BTreeMap::<String, Vec<Route>>::new();
        for owned in &self.all {
            routes.entry(owned.plugin.clone()).or_default().push(owned.route.clone());
        }
        routes
    }

    /// Ends the startup: every file that was in the folder has been processed.
    pub(crate) fn finish_startup(&mut self) {
        self.has_no_record = false;
    }

    /// Whether plugins of a version without this record keep their routes.
    pub(crate) fn has_no_record(&self) -> bool {
        self.has_no_record
    }

    /// Checks that a generation takes no requests from a plugin whose file is in the folder.
    pub(crate) fn check(
        &self,
        stem: &str,
        generation: &Generation,
        present: &BTreeSet<String>,
    ) -> Result<(), Box<RouteTakeoverError>> {
        // The plugin that the same file contained before is being replaced.
        let is_other = |owned: &&OwnedRoute| *owned.plugin != *generation.name && owned.file != stem;
        for route in generation.descriptor.routes.iter().filter(|route| !self.is_owned_or_granted(generation, route)) {
            let mut others = self.all.iter().filter(is_other).filter(|owned| present.contains(&owned.file));
            if let Some(owned) = others.find(|owned| takes_over(route, &owned.route)) {
                return Err(Box::new(RouteTakeoverError {
                    route: route.clone(),
                    theirs: owned.route.clone(),
                    plugin: owned.plugin.clone(),
                    file: owned.file.clone(),
                }));
            }
        }
        Ok(())
    }

    /// Whether the plugin already owns the route, or the sidecar grants it.
    fn is_owned_or_granted(&self, generation: &Generation, route: &Route) -> bool {
        let is_own = |owned: &OwnedRoute| *owned.plugin == *generation.name && owned.route == *route;
        generation.settings.grants_route(route) || self.all.iter().any(is_own)
    }

    /// The record with a generation's routes. Granted routes are omitted, because they last only as long as the grant.
    /// Absent plugins lose the routes that the generation takes over.
    pub(crate) fn with(&self, stem: &str, generation: &Generation, present: &BTreeSet<String>) -> Self {
        let routes = &generation.descriptor.routes;
        let is_kept = |owned: &&OwnedRoute| {
            let is_taken = || routes.iter().any(|route| takes_over(route, &owned.route));
            let is_other = *owned.plugin != *generation.name && owned.file != stem;
            is_other && (present.contains(&owned.file) || !is_taken())
        };
        let mut all: Vec<_> = self.all.iter().filter(is_kept).cloned().collect();
        let own = routes.iter().filter(|route| !generation.settings.grants_route(route));
        let owned = |route: &Route| OwnedRoute {
            file: stem.to_owned(),
            plugin: generation.name.to_string(),
            route: route.clone(),
        };
        all.extend(own.map(owned));
        Self { path: self.path.clone(), all, has_no_record: self.has_no_record }
    }

    /// Whether both records have the same routes.
    pub(crate) fn has_same_routes(&self, other: &Self) -> bool {
        self.all == other.all
    }

    /// Writes the record durably.
    pub(crate) fn store(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&self.all).map_err(io::Error::other)?;
        files::write_durably(&self.path, &sealed::seal(&self.path, &text))
    }
}

fn takes_over(route: &Route, theirs: &Route) -> bool {
    matches!(route_overlap::of(route, theirs), Overlap::First | Overlap::Same)
}
