//! Events as they reach handlers.

use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::sandbus::plugin::types;

/// Data of one event type. Derive it:
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

/// How an event's data becomes a value. Derived types and [`serde_json::Value`] are read as JSON; `Vec<u8>` takes the
/// bytes unchanged.
#[diagnostic::on_unimplemented(
    message = "an event's data cannot become `{Self}`",
    note = "derive `Event` for it, or take `Event<serde_json::Value>` or `Event<Vec<u8>>`"
)]
pub trait Payload: Sized {
    /// The event type that the value belongs to, if there is exactly one.
    const TYPE: Option<&'static str>;

    /// Reads the data.
    ///
    /// # Errors
    /// A rejection: a retry would have the same data.
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

/// Reads JSON data.
///
/// # Errors
/// A rejection if the data does not fit `T`.
#[doc(hidden)]
pub fn decode_json<T: DeserializeOwned>(data: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(data).map_err(|error| Failure::reject(format!("the event's data is invalid: {error}")))
}

/// An event with its attributes and its delivery, for handlers that need more than the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// The event's id, the same at each attempt. It serves as an idempotency key for other services.
    pub id: String,
    /// The context in which the event happened, a URI reference.
    pub source: String,
    /// The event's type. (`type` is a keyword.)
    pub event_type: String,
    /// The object that the event is about.
    pub subject: Option<String>,
    /// The time at which it happened, in RFC 3339.
    pub time: Option<String>,
    /// The media type of the data: the attribute `datacontenttype`.
    pub content_type: Option<String>,
    /// The schema of the data, a URI: the attribute `dataschema`.
    pub schema: Option<String>,
    /// The extension attributes. There are methods for those that the host sets.
    pub extensions: Vec<(String, String)>,
    /// The subscription of the delivery.
    pub subscription: String,
    /// The number of the attempt, starting at 1.
    pub attempt: u32,
    /// Whether the delivery belongs to a replay.
    pub replay: bool,
    /// The data.
    pub data: T,
}

impl<T> Event<T> {
    /// The value of an extension attribute.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&str> {
        self.extensions.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The id of the event whose handler published this one; `None` if a producer published it. The extension
    /// `causationsource` has that event's source.
    ///
    /// ```
    /// # use sandbus_sdk::prelude::*;
    /// #[on_event("order.>")]
    /// fn trace(order: Event<Vec<u8>>) {
    ///     let (tree, cause) = (order.correlation(), order.causation());
    ///     info!("{} is at depth {} of the cause tree {tree:?}, caused by {cause:?}", order.id, order.hops());
    /// }
    /// ```
    #[must_use]
    pub fn causation(&self) -> Option<&str> {
        self.extension("causationid")
    }

    /// The id of the event's cause tree: the id of the first event, whose source is the extension `correlationsource`,
    /// or an id that the host chose for a client that waits for a reply.
    #[must_use]
    pub fn correlation(&self) -> Option<&str> {
        self.extension("correlationid")
    }

    /// The event's depth in its cause tree; 0 for the first event.
    #[must_use]
    pub fn hops(&self) -> u32 {
        self.extension("hops").and_then(|hops| hops.parse().ok()).unwrap_or(0)
    }
}

/// An argument of an event handler: a type that derives `Event`, [`Event`] with its attributes, or a schedule's
/// [`Tick`](crate::Tick).
#[diagnostic::on_unimplemented(
    message = "an event handler cannot take `{Self}`",
    note = "take a type that derives `Event`, `Event<T>` for its attributes too, or the `Tick` of a schedule"
)]
pub trait EventArgument: Sized {
    /// The event type that the argument belongs to, if there is exactly one.
    const TYPE: Option<&'static str>;

    /// Converts a delivery into the argument.
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
            content_type: event.datacontenttype,
            schema: event.dataschema,
            extensions: event.extensions,
            subscription,
            attempt,
            replay,
            data: T::decode(event.data)?,
        })
    }
}
