//! `wasi:messaging@0.2.0-draft`. The topic of a message is the type of the event.

use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, Lower, Resource, ResourceType, Val};
use wasmtime::{AsContextMut as _, StoreContextMut};

use super::some_bytes;
use crate::event::{Event, is_extension_name};
use crate::plugin::bindings::sandbus::plugin::bus;
use crate::plugin::invocation::InstanceData;

pub(super) const VERSION: &str = "0.2.0-draft";

type Context<'a> = StoreContextMut<'a, InstanceData>;
type HostCallResult<T, E> = wasmtime::Result<(Result<T, E>,)>;
type Pairs = Vec<(String, String)>;

/// Links the interfaces for creating and sending messages.
pub(super) fn link(linker: &mut Linker<InstanceData>) -> wasmtime::Result<()> {
    let mut types = linker.instance(&format!("wasi:messaging/types@{VERSION}"))?;
    link_client(&mut types)?;
    link_message(&mut types)?;
    link_setters(&mut types)?;
    link_producer(&mut linker.instance(&format!("wasi:messaging/producer@{VERSION}"))?)
}

/// Why a message was not sent or not handled.
#[derive(Debug, ComponentType, Lift, Lower)]
#[component(variant)]
pub(super) enum Error {
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "connection")]
    Connection(String),
    #[component(name = "permission-denied")]
    PermissionDenied(String),
    #[component(name = "other")]
    Other(String),
}

impl Error {
    pub(super) fn reason(self) -> String {
        match self {
            Self::Timeout => "it timed out".to_owned(),
            Self::Connection(reason) | Self::PermissionDenied(reason) | Self::Other(reason) => reason,
        }
    }
}

impl From<bus::Error> for Error {
    fn from(error: bus::Error) -> Self {
        match error {
            bus::Error::Denied(reason) => Self::PermissionDenied(reason),
            bus::Error::Invalid(reason) | bus::Error::Limit(reason) => Self::Other(reason),
        }
    }
}

/// A connection to the bus. All are alike.
struct Client;

/// A message that was delivered, or that will be sent.
#[derive(Default)]
pub(super) struct Message {
    topic: Option<String>,
    content_type: Option<String>,
    data: Vec<u8>,
    metadata: Pairs,
    /// The bytes that count as the instance's memory.
    metered_bytes: usize,
}

impl Message {
    pub(super) fn of(event: &Event) -> Self {
        let context = [
            ("ce-id", Some(&event.id)),
            ("ce-source", Some(&event.source)),
            ("ce-subject", event.subject.as_ref()),
            ("ce-time", event.time.as_ref()),
            ("ce-dataschema", event.dataschema.as_ref()),
        ];
        let context = context.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.clone())));
        let extensions = event.extensions.iter().map(|(name, value)| (name.clone(), value.clone()));
        Self {
            topic: Some(event.event_type.clone()),
            content_type: event.media_type().map(str::to_owned),
            data: event.data.as_deref().unwrap_or_default().to_vec(),
            metadata: context.chain(extensions).collect(),
            metered_bytes: 0,
        }
    }

    /// Converts it into an event. Metadata with the names of CloudEvents attributes set these attributes; other names
    /// become extension attributes, without the characters that such a name may not have.
    fn into_event(self, topic: String) -> bus::Message {
        let (mut subject, mut dataschema, mut extensions) = (None, None, Vec::new());
        for (name, value) in self.metadata {
            match name.strip_prefix("ce-") {
                // Set by the host. A forwarded message still has those of the original event.
                Some("id" | "source" | "time" | "type" | "specversion") => {}
                Some("subject") => subject = Some(value),
                Some("dataschema") => dataschema = Some(value),
                Some(extension) => extensions.push((extension_name(extension), value)),
                None => extensions.push((extension_name(&name), value)),
            }
        }
        extensions.retain(|(name, _)| is_extension_name(name));
        let (datacontenttype, data) = (self.content_type, some_bytes(self.data));
        bus::Message { type_: topic, subject, datacontenttype, dataschema, extensions, data, due: bus::Due::Now }
    }

    fn size_bytes(&self) -> usize {
        let texts = self.metadata.iter().map(|(name, value)| 2 * size_of::<String>() + name.len() + value.len());
        self.data.len() + self.content_type.as_ref().map_or(0, String::len) + texts.sum::<usize>()
    }
}

/// CloudEvents 1.0, 3.1: names of attributes have lower-case letters and digits.
fn extension_name(name: &str) -> String {
    name.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).collect()
}

impl InstanceData {
    fn message(&mut self, message: &Resource<Message>) -> wasmtime::Result<&mut Message> {
        Ok(self.table.get_mut(message)?)
    }

    /// Gives the instance a message created by the host.
    pub(super) fn hand_over(&mut self, message: Message) -> wasmtime::Result<Resource<Message>> {
        let message = self.table.push(message)?;
        self.change(&message, |_| {})?;
        Ok(message)
    }

    /// Changes a message. It is held by the host, and counts as the instance's memory.
    fn change(&mut self, message: &Resource<Message>, change: impl FnOnce(&mut Message)) -> wasmtime::Result<()> {
        let message: &mut Message = self.table.get_mut(message)?;
        change(message);
        let (before, after) = (message.metered_bytes, message.size_bytes());
        message.metered_bytes = after;
        self.meter.account(before, after)
    }

    fn take(&mut self, message: Resource<Message>) -> wasmtime::Result<Message> {
        let message = self.table.delete(message)?;
        self.meter.account(message.metered_bytes, 0)?;
        Ok(message)
    }
}

fn link_client(types: &mut LinkerInstance<'_, InstanceData>) -> wasmtime::Result<()> {
    types.resource("client", ResourceType::host::<Client>(), |mut store, number| {
        store.data_mut().table.delete(Resource::<Client>::new_own(number))?;
        Ok(())
    })?;
    types.func_wrap(
        "[static]client.connect",
        |mut store: Context<'_>, (_name,): (String,)| -> HostCallResult<Resource<Client>, Error> {
            Ok((Ok(store.data_mut().table.push(Client)?),))
        },
    )?;
    types.func_wrap("[method]client.disconnect", |_, (_client,): (Resource<Client>,)| -> HostCallResult<(), Error> {
        Ok((Ok(()),))
    })
}

fn link_message(types: &mut LinkerInstance<'_, InstanceData>) -> wasmtime::Result<()> {
    type This = (Resource<Message>,);
    types.resource("message", ResourceType::host::<Message>(), |mut store, number| {
        store.data_mut().take(Resource::new_own(number)).map(drop)
    })?;
    types.func_wrap("[constructor]message", |mut store: Context<'_>, (data,): (Vec<u8>,)| {
        let instance = store.data_mut();
        let message = instance.table.push(Message::default())?;
        instance.change(&message, |message| message.data = data)?;
        Ok((message,))
    })?;
    types.func_wrap("[method]message.topic", |mut store: Context<'_>, (this,): This| {
        Ok((store.data_mut().message(&this)?.topic.clone(),))
    })?;
    types.func_wrap("[method]message.content-type", |mut store: Context<'_>, (this,): This| {
        Ok((store.data_mut().message(&this)?.content_type.clone(),))
    })?;
    types.func_wrap("[method]message.data", |mut store: Context<'_>, (this,): This| {
        Ok((store.data_mut().message(&this)?.data.clone(),))
    })?;
    let set_data = |mut store: Context<'_>, (this, data): (Resource<Message>, Vec<u8>)| {
        store.data_mut().change(&this, |message| message.data = data)
    };
    types.func_wrap("[method]message.set-data", set_data)?;
    types.func_wrap("[method]message.metadata", |mut store: Context<'_>, (this,): This| {
        let metadata = &store.data_mut().message(&this)?.metadata;
        Ok(((!metadata.is_empty()).then(|| metadata.clone()),))
    })?;
    let remove = |mut store: Context<'_>, (this, key): (Resource<Message>, String)| {
        store.data_mut().change(&this, |message| message.metadata.retain(|(name, _)| *name != key))
    };
    types.func_wrap("[method]message.remove-metadata", remove)
}

/// Links the setters, which return nothing in some versions of the draft, and a result in others.
fn link_setters(types: &mut LinkerInstance<'_, InstanceData>) -> wasmtime::Result<()> {
    let mut link = |name: &str, set: fn(&mut Message, &[Val])| {
        types.func_new(name, move |mut store, _, parameters, results| {
            let [Val::Resource(message), values @ ..] = parameters else {
                return Err(wasmtime::Error::msg("the method's first argument is not a message"));
            };
            let message = message.try_into_resource::<Message>(store.as_context_mut())?;
            store.data_mut().change(&message, |message| set(message, values))?;
            results.iter_mut().for_each(|result| *result = Val::Result(Ok(None)));
            Ok(())
        })
    };
    link("[method]message.set-content-type", |message, values| {
        if let [Val::String(content_type)] = values {
            message.content_type = Some(content_type.clone());
        }
    })?;
    link("[method]message.add-metadata", |message, values| {
        if let [Val::String(name), Val::String(value)] = values {
            message.metadata.retain(|(other, _)| other != name);
            message.metadata.push((name.clone(), value.clone()));
        }
    })?;
    link("[method]message.set-metadata", |message, values| {
        let pair = |pair: &Val| match pair {
            Val::Tuple(pair) => match pair.as_slice() {
                [Val::String(name), Val::String(value)] => Some((name.clone(), value.clone())),
                _ => None,
            },
            _ => None,
        };
        if let [Val::List(pairs)] = values {
            message.metadata = pairs.iter().filter_map(pair).collect();
        }
    })
}

fn link_producer(interface: &mut LinkerInstance<'_, InstanceData>) -> wasmtime::Result<()> {
    type Sent = (Resource<Client>, String, Resource<Message>);
    interface.func_wrap(
        "send",
        |mut store: Context<'_>, (_client, topic, message): Sent| -> HostCallResult<(), Error> {
            let instance = store.data_mut();
            let message = instance.take(message)?.into_event(topic);
            let published = bus::Host::publish(instance, message)?;
            Ok((published.map(drop).map_err(Error::from),))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::bus::tests::{JSON_DATA, assert_published};
    use super::*;
    use crate::plugin::invocation::tests::instance_data;

    #[test]
    fn messages_declared_as_json_must_be_json() {
        let mut instance = instance_data();
        for (media_type, data, words) in JSON_DATA {
            let message =
                Message { content_type: Some(media_type.to_owned()), data: data.to_vec(), ..Message::default() };
            let published = bus::Host::publish(&mut instance, message.into_event("a".to_owned())).unwrap();
            assert_published(published, words, &format!("{media_type} {data:?}"));
        }
    }
}
