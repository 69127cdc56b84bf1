//! Events as handlers receive them.

use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::sandbus::plugin::types;

/// A payload that belongs to one event type. Derive it:
///
/// ```
/// # use sandbus_sdk::prelude::*;
/// #[derive(Event, Serialize, Deserialize)]
/// #[event(type = "order.placed")]
/// struct OrderPlaced {
///     order: u64,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    note = "derive it: `#[derive(Event, Serialize, Deserialize)] #[event(type = \"some.type\")]`"
)]
pub trait EventType: serde::Serialize {
    /// The event's type, such as `order.placed`.
    const TYPE: &'static str;
}

/// How an event's data becomes a value. Derived types and [`serde_json::Value`] are read as JSON;
/// `Vec<u8>` takes the bytes as they are.
#[diagnostic::on_unimplemented(
    message = "an event's data cannot become `{Self}`",
    note = "derive `Event` for it, or take `Event<serde_json::Value>` or `Event<Vec<u8>>`"
)]
pub trait Payload: Sized {
    /// The event type that the value belongs to, if it is one only.
    const TYPE: Option<&'static str>;

    /// Reads the data.
    ///
    /// # Errors
    /// A rejection, since the same data will not be understood at the next attempt either.
    fn decode(data: Option<Vec<u8>>) -> Result<Self, Failure>;
}

impl Payload for Vec<u8> {
    const TYPE: Option<&'static str> = None;

    fn decode(data: Option<Vec<u8>>) -> Result<Self, Failure> {
        Ok(data.unwrap_or_default())
    }
}

impl Payload for serde_json::Value {
    const TYPE: Option<&'static str> = None;

    fn decode(data: Option<Vec<u8>>) -> Result<Self, Failure> {
        data.map_or(Ok(Self::Null), |data| decode_json(&data))
    }
}

/// Reads JSON data; what does not fit is rejected.
#[doc(hidden)]
pub fn decode_json<T: DeserializeOwned>(data: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(data).map_err(|error| Failure::reject(format!("the event's data does not fit: {error}")))
}

/// An event with its attributes and delivery, for handlers that need more than the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// The event's id, the same at every attempt: towards the outside world it makes a handler
    /// idempotent.
    pub id: String,
    /// Where the event came from.
    pub source: String,
    /// The event's type.
    pub event_type: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened, in RFC 3339.
    pub time: Option<String>,
    /// The media type that the data came with.
    pub datacontenttype: Option<String>,
    /// Extension attributes. Those that the host sets have functions of their own.
    pub extensions: Vec<(String, String)>,
    /// The subscription that it is delivered for.
    pub subscription: String,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether it is history that is delivered again on request.
    pub replay: bool,
    /// The payload.
    pub data: T,
}

impl<T> Event<T> {
    /// The value of an extension attribute.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The id of the event that was being handled when this one was published; none if it came from outside. Its source
    /// is the extension `causationsource`.
    ///
    /// ```
    /// # use sandbus_sdk::prelude::*;
    /// #[on_event("order.>")]
    /// fn trace(order: Event<Vec<u8>>) {
    ///     let (flow, cause) = (order.correlation(), order.causation());
    ///     info!("{} is step {} of {flow:?}, because of {cause:?}", order.id, order.hops());
    /// }
    /// ```
    #[must_use]
    pub fn causation(&self) -> Option<&str> {
        self.extension("causationid")
    }

    /// The id of the flow that this one belongs to: that of its first event, whose source is the extension
    /// `correlationsource`; or, where a client waits for the reply, one that the host made.
    #[must_use]
    pub fn correlation(&self) -> Option<&str> {
        self.extension("correlationid")
    }

    /// How many steps this event is away from the first one of its flow.
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.extension("hops").and_then(|hops| hops.parse().ok()).unwrap_or(0)
    }
}

/// What an event handler may take: a type that derives `Event`, [`Event`] with its attributes, or a schedule's
/// [`Tick`](crate::Tick).
#[diagnostic::on_unimplemented(
    message = "an event handler cannot take `{Self}`",
    note = "take a type that derives `Event`, `Event<T>` for its attributes too, or the `Tick` of a schedule"
)]
pub trait EventArgument: Sized {
    /// The event type that the argument belongs to, if it is one only.
    const TYPE: Option<&'static str>;

    /// Makes the argument of a delivery.
    ///
    /// # Errors
    /// A rejection if the data does not fit.
    #[doc(hidden)]
    fn from_delivery(delivery: types::Delivery) -> Result<Self, Failure>;
}

impl<T: Payload> EventArgument for Event<T> {
    const TYPE: Option<&'static str> = T::TYPE;

    fn from_delivery(delivery: types::Delivery) -> Result<Self, Failure> {
        let types::Delivery { event, subscription, attempt, replay } = delivery;
        Ok(Self {
            id: event.id,
            source: event.source,
            event_type: event.type_,
            subject: event.subject,
            time: event.time,
            datacontenttype: event.datacontenttype,
            extensions: event.extensions,
            subscription,
            attempt,
            replay,
            data: T::decode(event.data)?,
        })
    }
}
