//! `wasmcloud:messaging@0.3.0`, whose functions are asynchronous and whose messages have streams as bodies. A published
//! body is read to its end before the message becomes an effect, so an event is published whole or not at all.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::Bytes;
use tokio::sync::oneshot;
use wasmtime::component::{
    Accessor, ComponentExportIndex, ComponentType, Instance, Lift, Linker, LinkerInstance, Lower, Source,
    StreamConsumer, StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, Store, StoreContextMut};

use super::wasmcloud::{event, no_reply};
use super::{REPLY_TO, retry};
use crate::event::{Event, check_type};
use crate::plugin::bindings::sandbus::plugin::bus;
use crate::plugin::bindings::sandbus::plugin::types::Failure;
use crate::plugin::invocation::{InstanceData, guest_call};

pub(super) const VERSION: &str = "0.3.0";

/// Links the interface for sending messages.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    // Only has types, which need nothing from the host.
    linker.instance(&format!("wasmcloud:messaging/types@{VERSION}"))?;
    link_consumer(&mut linker.instance(&format!("wasmcloud:messaging/consumer@{VERSION}"))?)
}

/// A message, delivered or sent.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct BrokerMessage {
    subject: String,
    body: StreamReader<u8>,
    #[component(name = "reply-to")]
    reply_to: Option<String>,
}

/// Why a message was not sent.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "subject-invalid")]
    SubjectInvalid,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "broker-unavailable")]
    BrokerUnavailable,
    #[component(name = "message-too-large")]
    MessageTooLarge,
    #[component(name = "quota-exceeded")]
    QuotaExceeded,
    #[component(name = "other")]
    Other(String),
}

impl From<bus::Error> for Error {
    fn from(error: bus::Error) -> Self {
        match error {
            bus::Error::Denied(_) => Self::AccessDenied,
            bus::Error::Limit(_) => Self::QuotaExceeded,
            bus::Error::Invalid(reason) => Self::Other(reason),
        }
    }
}

/// Why a handler did not handle a message.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
enum HandleMessageError {
    #[component(name = "reject")]
    Reject,
    #[component(name = "retry")]
    Retry,
    /// The interface asks hosts to treat it like `Reject`.
    #[component(name = "other")]
    Other(String),
}

impl From<HandleMessageError> for Failure {
    fn from(error: HandleMessageError) -> Self {
        match error {
            HandleMessageError::Reject => Self::Reject("the handler rejected the message".to_owned()),
            HandleMessageError::Retry => retry("the handler asked for another attempt".to_owned()),
            HandleMessageError::Other(reason) => Self::Reject(reason),
        }
    }
}

/// Calls a handler with an event. The call ends when the handler has returned and all its tasks have ended.
pub(super) fn deliver(
    delivered: &Event,
    function: ComponentExportIndex,
    instance: &Instance,
    store: &mut Store<InstanceData>,
) -> wasmtime::Result<Result<(), Failure>> {
    let handle =
        instance.get_typed_func::<(BrokerMessage,), (Result<(), HandleMessageError>,)>(&mut *store, function)?;
    let data = Bytes::copy_from_slice(delivered.data.as_deref().unwrap_or_default());
    // The host holds the body until the instance has read it.
    store.data_mut().meter.account(0, data.len())?;
    let message = BrokerMessage {
        subject: delivered.event_type.clone(),
        body: StreamReader::new(&mut *store, data)?,
        reply_to: delivered.extensions.get(REPLY_TO).cloned(),
    };
    let call = async |accessor: &Accessor<InstanceData>| {
        let (handled,) = handle.call_concurrent(accessor, (message,)).await?;
        guest_call::tasks_ended(accessor).await;
        Ok(handled.map_err(Failure::from))
    };
    guest_call::drive(store.data().until, store.run_concurrent(call))??
}

fn link_consumer(interface: &mut LinkerInstance<'_, InstanceData>) -> wasmtime::Result<()> {
    type Request = (String, StreamReader<u8>, Option<u32>);
    interface.func_wrap_concurrent("publish", |accessor, (message,): (BrokerMessage,)| {
        Box::pin(async move { Ok((publish(accessor, message).await?,)) })
    })?;
    interface.func_wrap_concurrent("request", |accessor, (subject, mut body, _): Request| {
        let closed = accessor.with(|store| body.close(store));
        Box::pin(async move {
            closed?;
            Ok((Err::<BrokerMessage, _>(Error::Other(no_reply(&subject))),))
        })
    })
}

/// Reads the body of a message, and publishes the message.
async fn publish(accessor: &Accessor<InstanceData>, message: BrokerMessage) -> wasmtime::Result<Result<(), Error>> {
    let BrokerMessage { subject, body, reply_to } = message;
    let collected = accessor.with(|store| collect(store, body))?;
    // The collector is dropped without a body if the message is too large.
    let Ok(body) = collected.await else { return Ok(Err(Error::MessageTooLarge)) };
    accessor.with(|mut store| {
        let mut store = store.as_context_mut();
        let instance = store.data_mut();
        // From here on, the body counts among the effects.
        instance.meter.account(body.len(), 0)?;
        if check_type(&subject).is_err() {
            return Ok(Err(Error::SubjectInvalid));
        }
        let published = bus::Host::publish(instance, event(subject, body, reply_to))?;
        Ok(published.map(drop).map_err(Error::from))
    })
}

/// Reads a stream to its end. Returns a receiver of the bytes.
fn collect(
    mut store: impl AsContextMut<Data = InstanceData>,
    stream: StreamReader<u8>,
) -> wasmtime::Result<oneshot::Receiver<Vec<u8>>> {
    let limit = store.as_context_mut().data_mut().invocation()?.settings.limits.effect_bytes;
    let (sender, receiver) = oneshot::channel();
    stream.pipe(store, BodyCollector { bytes: Vec::new(), limit, sender: Some(sender) })?;
    Ok(receiver)
}

/// Collects a body. Sends it when the stream has ended, and nothing if the body is too large.
struct BodyCollector {
    bytes: Vec<u8>,
    limit: usize,
    sender: Option<oneshot::Sender<Vec<u8>>>,
}

impl StreamConsumer<InstanceData> for BodyCollector {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, InstanceData>,
        source: Source<'_, u8>,
        _: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store.as_context_mut());
        let arrived = source.remaining();
        let count = arrived.len();
        let is_too_large = self.bytes.len() + count > self.limit;
        if !is_too_large {
            self.bytes.extend_from_slice(arrived);
        }
        source.mark_read(count);
        if is_too_large {
            self.sender = None;
            let freed = std::mem::take(&mut self.bytes).len();
            store.data_mut().meter.account(freed, 0)?;
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        // The host holds the bytes for the instance.
        store.data_mut().meter.account(0, count)?;
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl Drop for BodyCollector {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            // The invocation may have ended.
            drop(sender.send(std::mem::take(&mut self.bytes)));
        }
    }
}
