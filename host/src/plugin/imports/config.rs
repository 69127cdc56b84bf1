//! `wasi:config`: the plugin's configuration.

use wasmtime::component::{HasSelf, Linker};

use crate::plugin::bindings::wasi::config::store as config;
use crate::plugin::invocation::InvocationContext;

/// Links the interface.
pub(super) fn link(linker: &mut Linker<InvocationContext>) -> wasmtime::Result<()> {
    config::add_to_linker::<_, HasSelf<InvocationContext>>(linker, |invocation| invocation)
}

impl config::Host for InvocationContext {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, config::Error>> {
        Ok(Ok(self.run()?.settings.config.get(&key).cloned()))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, config::Error>> {
        Ok(Ok(self.run()?.settings.config.iter().map(|(name, value)| (name.clone(), value.clone())).collect()))
    }
}
