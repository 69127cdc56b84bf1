//! `wasi:clocks/wall-clock` for plugins built with an SDK, whose `describe` may not call it.

use std::time::{Duration, SystemTime};

use wasmtime::component::{HasSelf, Linker};

use crate::clock::Clock;
use crate::plugin::bindings::wasi::clocks::wall_clock;
use crate::plugin::invocation::InstanceData;

/// Links the interface.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    wall_clock::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

impl wall_clock::Host for InstanceData {
    #[allow(clippy::disallowed_methods, reason = "the guest asks for the time of day")]
    fn now(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        let since = match &self.invocation()?.environment.clock {
            // The system's clock has a finer resolution than a timestamp.
            Clock::System => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            clock @ Clock::Manual(_) => Duration::from_millis(clock.now().0),
        };
        Ok(wall_clock::Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
    }

    fn resolution(&mut self) -> wasmtime::Result<wall_clock::Datetime> {
        Ok(wall_clock::Datetime { seconds: 0, nanoseconds: 1 })
    }
}
