//! The plugin folder: which file of it runs, which plugin owns a route, and how swaps and rollbacks happen.

mod archive;
mod file_name;
mod folder;
pub(super) mod generation_record;
pub(super) mod precompile;
pub(super) mod reconciler;
pub(super) mod registry;
mod route_overlap;
mod route_ownership;
pub(super) mod shared_folder;
