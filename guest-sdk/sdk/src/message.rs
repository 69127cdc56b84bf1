//! Publishing events.

use std::time::Duration;

use crate::bindings::sandbus::plugin::bus;
use crate::duration::milliseconds;
use crate::event::EventType;
use crate::model::errors::BusError;
use crate::{host, json};

/// Publishes an event with this invocation's commit, and returns its id.
///
/// # Errors
/// If the event cannot be written as JSON, the plugin does not declare the type in `publishes`, or a limit is
/// reached.
pub fn publish<E: EventType>(event: &E) -> Result<String, BusError> {
    Message::of(event)?.publish()
}

/// Publishes several events, all or none, with this invocation's commit, and returns their ids in order.
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(type = "seat.reserved")]
/// # struct SeatReserved { seat: u32 }
/// # fn reserve(seats: &[u32]) -> Result<()> {
/// let messages = seats.iter().map(|seat| Message::of(&SeatReserved { seat: *seat }));
/// let ids = publish_many(messages.collect::<Result<Vec<_>, _>>()?)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`publish`].
pub fn publish_many(messages: impl IntoIterator<Item = Message>) -> Result<Vec<String>, BusError> {
    let messages = messages.into_iter().map(Message::checked).collect::<Result<Vec<_>, _>>()?;
    host::publish_many(&messages).map_err(BusError::from)
}

/// Cancels an event that this plugin published for later, with this invocation's commit. It is not an error if the
/// event has already entered the log, or never existed.
///
/// ```
/// # use std::time::Duration;
/// # use sandbus_sdk::prelude::*;
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(type = "order.placed")]
/// # struct OrderPlaced { order: u64 }
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(type = "order.paid")]
/// # struct OrderPaid { order: u64 }
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(type = "order.overdue")]
/// # struct OrderOverdue { order: u64 }
/// #[on_event]
/// fn placed(OrderPlaced { order }: OrderPlaced) -> Result<()> {
///     let id = Message::of(&OrderOverdue { order })?.delay(Duration::from_secs(86_400)).publish()?;
///     Ok(state::set(&format!("reminder/{order}"), &id)?)
/// }
///
/// #[on_event]
/// fn paid(OrderPaid { order }: OrderPaid) -> Result<()> {
///     if let Some(id) = state::get::<String>(&format!("reminder/{order}"))? {
///         cancel(&id)?;
///     }
///     Ok(())
/// }
/// ```
///
/// # Errors
/// If the id is malformed.
pub fn cancel(id: &str) -> Result<(), BusError> {
    host::cancel(id).map_err(BusError::from)
}

/// Extension attributes that the host sets on each event that a plugin publishes.
const HOST_ATTRIBUTES: [&str; 6] = ["causationid", "causationsource", "hops", "authtype", "authid", "authclaims"];

fn is_host_attribute(name: &str) -> bool {
    HOST_ATTRIBUTES.contains(&name) || name.starts_with("sandbus")
}

/// An event to publish, with further attributes.
///
/// ```
/// # use std::time::Duration;
/// # use sandbus_sdk::prelude::*;
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(type = "invoice.due")]
/// # struct InvoiceDue { number: u32 }
/// # fn example() -> Result<()> {
/// let id = Message::of(&InvoiceDue { number: 7 })?
///     .subject("customer-12")
///     .delay(Duration::from_secs(86_400))
///     .publish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Message(pub(crate) bus::Message);

impl Message {
    /// A message with the data of a typed event.
    ///
    /// # Errors
    /// If the event cannot be written as JSON, for example because it contains NaN.
    pub fn of<E: EventType>(event: &E) -> Result<Self, BusError> {
        let invalid = |error| BusError::Invalid(format!("the data of `{}` cannot be written: {error}", E::TYPE));
        Ok(Self::raw(E::TYPE, "application/json", json::to_vec(event).map_err(invalid)?))
    }

    /// A message of any type, with data of any media type.
    #[must_use]
    pub fn raw(event_type: impl Into<String>, content_type: impl Into<String>, data: Vec<u8>) -> Self {
        Self(bus::Message {
            type_: event_type.into(),
            subject: None,
            datacontenttype: Some(content_type.into()),
            dataschema: None,
            extensions: Vec::new(),
            data: Some(data),
            due: bus::Due::Now,
        })
    }

    /// Sets what the event is about.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// Sets the schema that the data follows, an absolute URI.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.0.dataschema = Some(schema.into());
        self
    }

    /// Adds an extension attribute. Its name has lower-case letters and digits.
    #[must_use]
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.extensions.push((name.into(), value.into()));
        self
    }

    /// Adds the extension attributes of another event, without those that the host sets.
    #[must_use]
    pub fn extensions(mut self, extensions: &[(String, String)]) -> Self {
        let copied = extensions.iter().filter(|(name, _)| !is_host_attribute(name)).cloned();
        self.0.extensions.extend(copied);
        self
    }

    /// Adds the event to the log after a delay.
    #[must_use]
    #[doc(alias = "after")]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.0.due = bus::Due::AfterMs(milliseconds(delay));
        self
    }

    /// Adds the event to the log at a time in RFC 3339.
    #[must_use]
    pub fn at(mut self, time: impl Into<String>) -> Self {
        self.0.due = bus::Due::At(time.into());
        self
    }

    /// Publishes the event with this invocation's commit, and returns its id.
    ///
    /// # Errors
    /// As [`publish`]. Also if the data is not JSON although the media type is, or the host sets one of the extension
    /// attributes.
    pub fn publish(self) -> Result<String, BusError> {
        host::publish(self.checked()?).map_err(BusError::from)
    }

    /// Checks that data declared as JSON is JSON, and that the message sets no attribute of the host.
    fn checked(self) -> Result<bus::Message, BusError> {
        let Self(message) = self;
        let event_type = &message.type_;
        if let Some((name, _)) = message.extensions.iter().find(|(name, _)| is_host_attribute(name)) {
            return Err(BusError::Invalid(format!(
                "the host sets the attribute `{name}` of `{event_type}`; leave it out, and copy attributes with `extensions`"
            )));
        }
        let is_json = message.datacontenttype.as_deref().is_none_or(json::is_media_type);
        if let (true, Some(data)) = (is_json, &message.data) {
            json::check(data).map_err(|error| {
                BusError::Invalid(format!(
                    "the data of `{event_type}` is not JSON ({error}); give it the media type of its contents"
                ))
            })?;
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;
    use crate::testing::FakeHost;

    #[derive(Serialize)]
    struct Measured {
        value: f64,
    }

    impl EventType for Measured {
        const TYPE: &'static str = "sensor.measured";
    }

    fn refusal(message: &Message) -> String {
        let host = FakeHost::new();
        let refusals =
            [host.run(|| message.clone().publish().map(drop)), host.run(|| publish_many([message.clone()]).map(drop))];
        assert!(host.published().is_empty());
        let [Err(BusError::Invalid(one)), Err(BusError::Invalid(other))] = refusals else { panic!("{refusals:?}") };
        assert_eq!(one, other);
        one
    }

    #[test]
    fn data_that_is_not_json_is_not_published_as_json() {
        for content_type in ["application/json", "application/ld+json; charset=utf-8", "Text/JSON"] {
            for data in ["", "{", "bread", "{} {}", "NaN"] {
                let reason = refusal(&Message::raw("a.b", content_type, data.into()));
                assert!(reason.contains("is not JSON"), "{content_type} {data}: {reason}");
            }
        }
        let host = FakeHost::new();
        for (content_type, data) in
            [("application/json", "null"), ("text/plain", "bread"), ("application/jsonl", "1\n2")]
        {
            host.run(|| Message::raw("a.b", content_type, data.into()).publish()).unwrap();
        }
        assert_eq!(host.published().len(), 3);
    }

    #[test]
    fn numbers_that_json_does_not_have_are_not_published() {
        let error = Message::of(&Measured { value: f64::NAN }).unwrap_err();
        assert!(error.to_string().contains("`/value` is NaN"), "{error}");
    }

    #[test]
    fn attributes_that_the_host_sets_are_refused_and_not_copied() {
        let message = || Message::raw("a.b", "text/plain", Vec::new());
        // The host and the other SDKs read the same table.
        let table: serde_json::Value =
            serde_json::from_str(include_str!("../../conformance/host-attributes.json")).unwrap();
        let texts = |name: &str| table[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
        assert!(texts("names").eq(HOST_ATTRIBUTES));
        for name in texts("names").chain(texts("prefixes").flat_map(|prefix| [format!("{prefix}x"), prefix])) {
            assert!(refusal(&message().extension(&name, "1")).contains(&format!("`{name}`")), "{name}");
        }
        for name in texts("others") {
            assert!(FakeHost::new().run(|| message().extension(&name, "1").publish()).is_ok(), "{name}");
        }
        let copied = [("causationid", "1"), ("tenant", "x")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let host = FakeHost::new();
        host.run(|| message().extensions(&copied).publish()).unwrap();
        assert_eq!(host.published()[0].extensions, copied[1..]);
    }

    #[test]
    fn several_events_are_published_in_order() {
        let host = FakeHost::new();
        let message = |name: &str| Message::raw(name, "text/plain", Vec::new());
        let ids = host.run(|| publish_many([message("a"), message("b")])).unwrap();
        let published: Vec<_> = host.published().into_iter().map(|event| (event.id, event.event_type)).collect();
        assert_eq!(published, [(ids[0].clone(), "a".to_owned()), (ids[1].clone(), "b".to_owned())]);
    }
}
