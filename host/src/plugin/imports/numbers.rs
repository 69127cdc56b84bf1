//! Numbers for which concurrent invocations need not run again: what version 0.2.0 of the contract adds.

use wasmtime::component::{HasSelf, Linker};

use super::wasi::wait;
use crate::outcome::{SequenceError, Unfit};
use crate::plugin::bindings::additions::numbers;
use crate::plugin::invocation::Invocation;
use crate::plugin::invocation::buffer::Refused;

/// Links the interface.
pub(super) fn link(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    numbers::add_to_linker::<_, HasSelf<Invocation>>(linker, |invocation| invocation)
}

impl numbers::Host for Invocation {
    fn add(&mut self, key: String, delta: i64) -> wasmtime::Result<Result<(), numbers::Error>> {
        Ok(self.run()?.buffer.add(key, delta).map_err(|refused| error_of(&refused)))
    }

    fn sequence(&mut self, name: String) -> wasmtime::Result<Result<u64, numbers::Error>> {
        let until = self.until;
        let drawing = match self.run()?.buffer.draw(&name) {
            Ok(drawing) => drawing,
            Err(refused) => return Ok(Err(error_of(&refused))),
        };
        Ok(wait(until, drawing)?.map_err(|error| error_of(&error.into())))
    }
}

fn error_of(refused: &Refused) -> numbers::Error {
    match refused {
        Refused::Unfit(_, Unfit::NotANumber) => numbers::Error::NotANumber,
        Refused::Unfit(_, Unfit::OutOfRange) | Refused::Sequence(SequenceError::Exhausted(_)) => {
            numbers::Error::OutOfRange
        }
        Refused::State(_) | Refused::Sequence(SequenceError::Failed(_)) => numbers::Error::Other(refused.to_string()),
        _ => numbers::Error::Limit(refused.to_string()),
    }
}
