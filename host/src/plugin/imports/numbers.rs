//! Counters and sequences that cause no conflicts between concurrent invocations. Added in version 0.2.0 of the
//! contract.

use wasmtime::component::{HasSelf, Linker};

use super::wasi::wait;
use crate::outcome::{AddError, SequenceError};
use crate::plugin::bindings::additions::numbers;
use crate::plugin::invocation::InstanceData;
use crate::plugin::invocation::buffer::BufferError;

/// Links the interface.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    numbers::add_to_linker::<_, HasSelf<InstanceData>>(linker, |instance| instance)
}

impl numbers::Host for InstanceData {
    fn add(&mut self, key: String, delta: i64) -> wasmtime::Result<Result<(), numbers::Error>> {
        Ok(self.invocation()?.buffer.add(key, delta).map_err(|refused| error_of(&refused)))
    }

    fn sequence(&mut self, name: String) -> wasmtime::Result<Result<u64, numbers::Error>> {
        let until = self.until;
        let drawing = match self.invocation()?.buffer.draw(&name) {
            Ok(drawing) => drawing,
            Err(refused) => return Ok(Err(error_of(&refused))),
        };
        Ok(wait(until, drawing)?.map_err(|error| error_of(&error.into())))
    }
}

fn error_of(refused: &BufferError) -> numbers::Error {
    match refused {
        BufferError::Add(_, AddError::NotANumber) => numbers::Error::NotANumber,
        BufferError::Add(_, AddError::OutOfRange) | BufferError::Sequence(SequenceError::Exhausted(_)) => {
            numbers::Error::OutOfRange
        }
        BufferError::State(_) | BufferError::Sequence(SequenceError::Failed(_)) => {
            numbers::Error::Other(refused.to_string())
        }
        _ => numbers::Error::Limit(refused.to_string()),
    }
}
