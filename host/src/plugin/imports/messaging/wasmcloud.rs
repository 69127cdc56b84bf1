//! `wasmcloud:messaging@0.2.0`. The subject of a message is the type of the event.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower};

use super::wasi::Error;
use super::{REPLY_TO, some_bytes};
use crate::event::Event;
use crate::plugin::bindings::sandbus::plugin::bus;
use crate::plugin::invocation::InstanceData;

pub(super) const VERSION: &str = "0.2.0";

type Context<'a> = StoreContextMut<'a, InstanceData>;
type HostCallResult<T> = wasmtime::Result<(Result<T, String>,)>;

/// Links the interface for sending messages.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    // Only has types, which need nothing from the host.
    linker.instance(&format!("wasmcloud:messaging/types@{VERSION}"))?;
    link_consumer(&mut linker.instance(&format!("wasmcloud:messaging/consumer@{VERSION}"))?)
}

/// A message, delivered or sent.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct BrokerMessage {
    subject: String,
    body: Vec<u8>,
    #[component(name = "reply-to")]
    reply_to: Option<String>,
}

impl BrokerMessage {
    pub(super) fn of(event: &Event) -> Self {
        Self {
            subject: event.event_type.clone(),
            body: event.data.as_deref().unwrap_or_default().to_vec(),
            reply_to: event.extensions.get(REPLY_TO).cloned(),
        }
    }

    fn into_event(self) -> bus::Message {
        event(self.subject, self.body, self.reply_to)
    }
}

/// The event that a sent message becomes.
pub(super) fn event(subject: String, body: Vec<u8>, reply_to: Option<String>) -> bus::Message {
    bus::Message {
        type_: subject,
        subject: None,
        datacontenttype: None,
        dataschema: None,
        extensions: reply_to.map(|topic| (REPLY_TO.to_owned(), topic)).into_iter().collect(),
        data: some_bytes(body),
        due: bus::Due::Now,
    }
}

/// Why a handler cannot wait for a reply.
pub(super) fn no_reply(subject: &str) -> String {
    format!(
        "`{subject}` cannot reply while the handler runs, because its messages are published when it ends; publish with a reply-to instead"
    )
}

fn link_consumer(interface: &mut LinkerInstance<'_, InstanceData>) -> wasmtime::Result<()> {
    type Request = (String, Vec<u8>, u32);
    interface.func_wrap("publish", |mut store: Context<'_>, (message,): (BrokerMessage,)| -> HostCallResult<()> {
        let published = bus::Host::publish(store.data_mut(), message.into_event())?;
        Ok((published.map(drop).map_err(|error| Error::from(error).reason()),))
    })?;
    interface.func_wrap("request", |_, (subject, _, _): Request| -> HostCallResult<BrokerMessage> {
        Ok((Err(no_reply(&subject)),))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::invocation::tests::instance_data;

    #[test]
    fn a_message_has_no_media_type_and_may_contain_anything() {
        let message = BrokerMessage { subject: "a".to_owned(), body: b"{".to_vec(), reply_to: None };
        assert!(bus::Host::publish(&mut instance_data(), message.into_event()).unwrap().is_ok());
    }
}
