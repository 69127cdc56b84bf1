//! Supervision: which file of the plugin folder runs, whose a route is, and what happens when a file changes.

mod archive;
mod folder;
pub(super) mod reconciler;
pub(super) mod record;
pub(super) mod registry;
mod route_overlap;
mod route_ownership;
