//! Loads plugins before their scenarios run, so that scenarios neither wait for a compiler nor repeat an error that
//! concerns all of them.

use std::path::Path;

use tempfile::TempDir;

use super::runner::loader;
use super::{ScenarioError, internal_error};
use crate::outbound::{Outbound, StubServer};
use crate::plugin::{Environment, Loader, Sidecar, Symlinks, read_plugin};

/// Loads plugins as scenarios do.
#[derive(Debug)]
pub struct Preloader {
    loader: Loader,
    /// Dropped last.
    _directory: TempDir,
}

impl Preloader {
    /// Starts an engine.
    ///
    /// # Errors
    /// If the engine cannot be started.
    pub fn start() -> Result<Self, ScenarioError> {
        let directory = tempfile::tempdir().map_err(internal_error)?;
        let clock = crate::clock::Clock::System;
        let environment = Environment::for_scenario(clock, Outbound::Stubbed(StubServer::new(Vec::new()).into()));
        Ok(Self { loader: loader(directory.path(), environment)?, _directory: directory })
    }

    /// Loads a component. Blocks while it compiles; the compiled code and the descriptor are cached.
    ///
    /// # Errors
    /// If it cannot be loaded with any sidecar. Errors about the sidecar are left to scenarios, which may add to it.
    pub fn load(&self, wasm: &Path) -> Result<(), ScenarioError> {
        let bytes = read_plugin(wasm, Symlinks::Follow)
            .map_err(|error| ScenarioError::Component { path: wasm.to_owned(), error })?;
        match self.loader.load(&bytes, &Sidecar::default()) {
            Err(error) if error.concerns_code() => {
                Err(ScenarioError::Load { path: wasm.to_owned(), error: Box::new(error) })
            }
            _ => Ok(()),
        }
    }
}
