//! The engines of the process, each with its linkers and its compiled code.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use wasmtime::Engine;

use super::compile::CodeCache;
use crate::plugin::imports::linkers::Linkers;
use crate::plugin::invocation::guest_call::CallModel;
use crate::plugin::run::engine::{self, EngineConfig, EngineError};

/// The engines.
pub(super) struct Engines {
    config: EngineConfig,
    pub(super) synchronous: EngineContext,
    /// Started for the first component that needs it, so that a host without such components does not pay for it.
    concurrent: Mutex<Option<Arc<EngineContext>>>,
}

/// One engine, and what belongs to it.
pub(super) struct EngineContext {
    pub(super) linkers: Linkers,
    pub(super) cache: CodeCache,
    /// Keeps the ticker running.
    _engine: Engine,
}

impl Engines {
    /// Starts the engine for synchronous calls. Compiled code is cached in a directory.
    pub(super) fn new(config: EngineConfig, directory: PathBuf) -> Result<Self, EngineError> {
        let engine = engine::start(config, CallModel::Synchronous)?;
        let cache = CodeCache::new(directory, engine.clone()).map_err(EngineError::compilers)?;
        let synchronous = EngineContext::new(engine, CallModel::Synchronous, cache)?;
        Ok(Self { config, synchronous, concurrent: Mutex::default() })
    }

    /// Whether components may label their imports.
    pub(super) fn link_labels(&self) -> bool {
        self.config.labelled_imports
    }

    /// The engine for concurrent calls; `None` if the operator has switched it off.
    pub(super) fn concurrent(&self) -> Result<Option<Arc<EngineContext>>, EngineError> {
        if !self.config.wasi_0_3 {
            return Ok(None);
        }
        let mut concurrent = self.concurrent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*concurrent {
            return Ok(Some(Arc::clone(engine)));
        }
        let engine = engine::start(self.config, CallModel::Concurrent)?;
        let cache = self.synchronous.cache.for_engine(engine.clone());
        Ok(Some(Arc::clone(concurrent.insert(Arc::new(EngineContext::new(engine, CallModel::Concurrent, cache)?)))))
    }
}

impl EngineContext {
    fn new(engine: Engine, model: CallModel, cache: CodeCache) -> Result<Self, EngineError> {
        Ok(Self { linkers: Linkers::new(&engine, model)?, cache, _engine: engine })
    }
}
