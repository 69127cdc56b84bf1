//! Messaging interfaces of other hosts, for components that were not built for Sandbus. An incoming message is a
//! delivery, and a sent message is published. An invocation's messages are published when it ends, so none can wait
//! for a reply.

mod wasi;
mod wasmcloud;
mod wasmcloud_0_3;

use wasmtime::Store;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex, Instance, Linker, Type};

use crate::event::Event;
use crate::plugin::bindings::sandbus::plugin::types::{Failure, Retry};
use crate::plugin::invocation::InstanceData;
use crate::plugin::invocation::guest_call::{self, CallModel};

/// The extension attribute for the topic of replies.
const REPLY_TO: &str = "replyto";

/// Links the synchronous interfaces for creating and sending messages.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    wasi::link(linker)?;
    wasmcloud::link(linker)
}

/// Links the asynchronous interfaces.
pub(super) fn link_concurrent(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    wasmcloud_0_3::link(linker)
}

/// The exported function that handles messages.
#[derive(Clone, Copy)]
pub(crate) enum MessageHandler {
    Wasi(ComponentExportIndex),
    WasmCloud(ComponentExportIndex),
    /// Takes the body of the message as a stream.
    WasmCloud0_3(ComponentExportIndex),
}

impl MessageHandler {
    /// Finds a component's message handler. If it has several, one that streams comes first, then that of WASI.
    pub(crate) fn of(component: &Component) -> Option<Self> {
        let export = |interface: &str, function: &str| {
            let (_, interface) = component.get_export(None, interface)?;
            match component.get_export(Some(&interface), function)? {
                (ComponentItem::ComponentFunc(function), index) => Some((function, index)),
                _ => None,
            }
        };
        // Earlier drafts with the same name take a list of messages.
        let takes = |function: &ComponentFunc, is_message: fn(&Type) -> bool| {
            let mut parameters = function.params();
            parameters.len() == 1 && parameters.all(|(_, kind)| is_message(&kind))
        };
        let is_record = |kind: &Type| matches!(kind, Type::Record(_));
        let streaming = format!("wasmcloud:messaging/handler@{}", wasmcloud_0_3::VERSION);
        if let Some((function, index)) = export(&streaming, "handle-message")
            && takes(&function, is_record)
        {
            return Some(Self::WasmCloud0_3(index));
        }
        let wasi = format!("wasi:messaging/incoming-handler@{}", wasi::VERSION);
        if let Some((function, index)) = export(&wasi, "handle")
            && takes(&function, |kind| matches!(kind, Type::Own(_)))
        {
            return Some(Self::Wasi(index));
        }
        let wasmcloud = format!("wasmcloud:messaging/handler@{}", wasmcloud::VERSION);
        let (function, index) = export(&wasmcloud, "handle-message")?;
        takes(&function, is_record).then_some(Self::WasmCloud(index))
    }

    /// Calls the handler with an event. The inner error is the handler's own.
    pub(crate) fn deliver(
        self,
        event: &Event,
        model: CallModel,
        instance: &Instance,
        store: &mut Store<InstanceData>,
    ) -> wasmtime::Result<Result<(), Failure>> {
        match self {
            Self::Wasi(function) => {
                let handle = instance.get_typed_func::<_, (Result<(), wasi::Error>,)>(&mut *store, function)?;
                let message = store.data_mut().hand_over(wasi::Message::of(event))?;
                let (handled,) = guest_call::call(model, store, handle, (message,))?;
                Ok(handled.map_err(|error| retry(error.reason())))
            }
            Self::WasmCloud(function) => {
                let handle = instance.get_typed_func::<_, (Result<(), String>,)>(&mut *store, function)?;
                let (handled,) = guest_call::call(model, store, handle, (wasmcloud::BrokerMessage::of(event),))?;
                Ok(handled.map_err(retry))
            }
            Self::WasmCloud0_3(function) => wasmcloud_0_3::deliver(event, function, instance, store),
        }
    }
}

/// A failure of a handler whose interface does not tell whether another attempt makes sense.
fn retry(reason: String) -> Failure {
    Failure::Retry(Retry { delay_ms: None, reason })
}

/// A message always has a body, so an empty body stands for an event without data.
fn some_bytes(body: Vec<u8>) -> Option<Vec<u8>> {
    (!body.is_empty()).then_some(body)
}
