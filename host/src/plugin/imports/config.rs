//! `wasi:config`: the plugin's configuration.

use wasmtime::component::{HasSelf, Linker};

use crate::plugin::bindings::wasi::config::store as config;
use crate::plugin::invocation::InstanceData;
use crate::secrecy::Values;

/// Links the interface.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    config::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

impl InstanceData {
    /// A value of the plugin's configuration, or of a label's.
    pub(super) fn config_value(
        &mut self,
        key: &str,
        label: Option<&str>,
    ) -> wasmtime::Result<Result<Option<String>, config::Error>> {
        Ok(Ok(self.values(label)?.and_then(|values| values.get(key)).cloned()))
    }

    /// All values of the plugin's configuration, or of a label's.
    pub(super) fn all_config_values(
        &mut self,
        label: Option<&str>,
    ) -> wasmtime::Result<Result<Vec<(String, String)>, config::Error>> {
        let values = self.values(label)?.into_iter().flat_map(|values| values.iter());
        Ok(Ok(values.map(|(name, value)| (name.clone(), value.clone())).collect()))
    }

    fn values(&mut self, label: Option<&str>) -> wasmtime::Result<Option<&Values>> {
        let settings = &self.invocation()?.settings;
        Ok(match label {
            Some(label) => settings.imports.values(label),
            None => Some(&settings.config),
        })
    }
}

impl config::Host for InstanceData {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, config::Error>> {
        self.config_value(&key, None)
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, config::Error>> {
        self.all_config_values(None)
    }
}
