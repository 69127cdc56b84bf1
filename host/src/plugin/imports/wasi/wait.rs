//! Host calls that wait for a time or for bytes. Epochs interrupt a guest that runs, but not one that waits in the
//! host, so each of these calls ends at the invocation's deadline.

use std::time::Instant;

use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime::{Result, Trap};
use wasmtime_wasi::p2::bindings::io::error::Error as IoError;
use wasmtime_wasi::p2::bindings::io::poll as asynchronous_poll;
use wasmtime_wasi::p2::bindings::io::streams::{HostInputStream as AsyncInput, HostOutputStream as AsyncOutput};
use wasmtime_wasi::p2::bindings::sync::io::{poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, StreamError, StreamResult};
use wasmtime_wasi::runtime::in_tokio;

use crate::plugin::invocation::InstanceData;

/// The interface of errors, by the name under which wasmtime links it.
const ERROR: &str = "wasi:io/error@0.2.12";

/// Replaces `wasi:io/poll` and `wasi:io/streams`, which would wait without a limit.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> Result<()> {
    poll::add_to_linker::<_, DeadlineView>(linker, waiting)?;
    streams::add_to_linker::<_, DeadlineView>(linker, waiting)?;
    Ok(())
}

/// Replaces the text of an error, because a guest must not see the host's backtrace.
pub(super) fn link_errors(linker: &mut Linker<InstanceData>) -> Result<()> {
    linker.instance(ERROR)?.func_wrap(
        "[method]error.to-debug-string",
        |store: StoreContextMut<'_, InstanceData>, (error,): (Resource<IoError>,)| {
            Ok((format!("{:#}", store.data().table.get(&error)?),))
        },
    )?;
    Ok(())
}

fn waiting(instance: &mut InstanceData) -> DeadlineView<'_> {
    DeadlineView { table: &mut instance.table, until: instance.until }
}

struct DeadlineView<'a> {
    table: &'a mut ResourceTable,
    until: Instant,
}

impl HasData for DeadlineView<'static> {
    type Data<'a> = DeadlineView<'a>;
}

/// Blocks the thread until the call ends. At the deadline the guest is interrupted, like one that runs too long.
pub(crate) fn wait<T>(until: Instant, call: impl Future<Output = T>) -> Result<T> {
    in_tokio(async { tokio::time::timeout_at(until.into(), call).await }).map_err(|_| Trap::Interrupt.into())
}

fn wait_for_stream<T>(until: Instant, call: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    wait(until, call).map_err(StreamError::Trap)?
}

impl poll::Host for DeadlineView<'_> {
    fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> Result<Vec<u32>> {
        wait(self.until, asynchronous_poll::Host::poll(self.table, pollables))?
    }
}

impl poll::HostPollable for DeadlineView<'_> {
    fn ready(&mut self, pollable: Resource<DynPollable>) -> Result<bool> {
        wait(self.until, asynchronous_poll::HostPollable::ready(self.table, pollable))?
    }

    fn block(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        wait(self.until, asynchronous_poll::HostPollable::block(self.table, pollable))?
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> Result<()> {
        asynchronous_poll::HostPollable::drop(self.table, pollable)
    }
}

impl streams::Host for DeadlineView<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.table, error)
    }
}

impl streams::HostInputStream for DeadlineView<'_> {
    fn read(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<Vec<u8>> {
        AsyncInput::read(self.table, stream, length)
    }

    fn blocking_read(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<Vec<u8>> {
        wait_for_stream(self.until, AsyncInput::blocking_read(self.table, stream, length))
    }

    fn skip(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<u64> {
        AsyncInput::skip(self.table, stream, length)
    }

    fn blocking_skip(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<u64> {
        wait_for_stream(self.until, AsyncInput::blocking_skip(self.table, stream, length))
    }

    fn subscribe(&mut self, stream: Resource<DynInputStream>) -> Result<Resource<DynPollable>> {
        AsyncInput::subscribe(self.table, stream)
    }

    fn drop(&mut self, stream: Resource<DynInputStream>) -> Result<()> {
        wait(self.until, AsyncInput::drop(self.table, stream))?
    }
}

impl streams::HostOutputStream for DeadlineView<'_> {
    fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        AsyncOutput::check_write(self.table, stream)
    }

    fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        AsyncOutput::write(self.table, stream, bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        wait_for_stream(self.until, AsyncOutput::blocking_write_and_flush(self.table, stream, bytes))
    }

    fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        AsyncOutput::flush(self.table, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        wait_for_stream(self.until, AsyncOutput::blocking_flush(self.table, stream))
    }

    fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> Result<Resource<DynPollable>> {
        AsyncOutput::subscribe(self.table, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, length: u64) -> StreamResult<()> {
        AsyncOutput::write_zeroes(self.table, stream, length)
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<DynOutputStream>, length: u64) -> StreamResult<()> {
        wait_for_stream(self.until, AsyncOutput::blocking_write_zeroes_and_flush(self.table, stream, length))
    }

    fn splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        AsyncOutput::splice(self.table, to, from, length)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<DynOutputStream>,
        from: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        wait_for_stream(self.until, AsyncOutput::blocking_splice(self.table, to, from, length))
    }

    fn drop(&mut self, stream: Resource<DynOutputStream>) -> Result<()> {
        wait(self.until, AsyncOutput::drop(self.table, stream))?
    }
}
