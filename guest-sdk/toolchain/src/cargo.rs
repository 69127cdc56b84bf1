//! Cargo: what it knows about workspaces, and how it builds guests.

mod build;
mod package;
mod remedy;
mod workspace;

pub use build::build;
pub(crate) use build::{QUICK, RELEASE, build_with_steps};
pub(crate) use package::CargoPackage;
pub(crate) use workspace::{Workspace, has_members, is_workspace, workspaces};
