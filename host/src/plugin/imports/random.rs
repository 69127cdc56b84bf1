//! `wasi:random` for plugins built with an SDK, whose `describe` may not call it.

use wasmtime::component::{HasSelf, Linker};

use crate::plugin::bindings::wasi::random::random;
use crate::plugin::invocation::environment::RANDOM_LIMIT_BYTES;
use crate::plugin::invocation::{InstanceData, Invocation};

/// Links the interface.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    random::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

impl random::Host for InstanceData {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        let invocation = self.invocation()?;
        if len > RANDOM_LIMIT_BYTES {
            let reason = format!("{len} random bytes were requested; the limit is {RANDOM_LIMIT_BYTES}");
            return Err(wasmtime::Error::msg(reason));
        }
        let mut bytes = vec![0; usize::try_from(len)?];
        invocation.draw(&mut bytes)?;
        Ok(bytes)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        let mut bytes = [0; 8];
        self.invocation()?.draw(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

impl Invocation {
    fn draw(&mut self, bytes: &mut [u8]) -> wasmtime::Result<()> {
        let drawn = self.environment.randomness.fill(bytes);
        drawn.map_err(|error| wasmtime::Error::msg(format!("the system has no random bytes: {error}")))
    }
}
