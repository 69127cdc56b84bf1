//! The program of a script. Only prepared runtimes import it; see `wit/runtime`.

use wasmtime::component::{HasSelf, Linker};

use crate::plugin::bindings::runtime::program;
use crate::plugin::invocation::InstanceData;

/// Links the interface.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    program::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

impl program::Host for InstanceData {
    fn source(&mut self) -> wasmtime::Result<String> {
        let program = self.program.as_deref().map(str::to_owned);
        program.ok_or_else(|| wasmtime::Error::msg("the runtime was started without a program"))
    }
}
