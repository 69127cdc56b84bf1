//! Publishing events.

use std::time::Duration;

use crate::bindings::sandbus::plugin::bus;
use crate::clock::milliseconds;
use crate::{EventType, Result, host};

/// Publishes an event with this invocation's commit, and returns its id.
///
/// # Errors
/// If the plugin does not declare the type among what it `publishes`, or a limit is reached.
pub fn publish<E: EventType>(event: &E) -> Result<String, PublishError> {
    Message::of(event)?.publish()
}

/// Takes back an event that this plugin published for later, with this invocation's commit. One that has
/// entered the log meanwhile, or that never was, is no error.
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
///     let id = Message::of(&OrderOverdue { order })?.after(Duration::from_secs(86_400)).publish()?;
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
pub fn cancel(id: &str) -> Result<(), PublishError> {
    host::cancel(id).map_err(PublishError::from)
}

/// An event to publish, with attributes of its own.
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
///     .after(Duration::from_secs(86_400))
///     .publish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Message(pub(crate) bus::Message);

impl Message {
    /// A message of a typed event.
    ///
    /// # Errors
    /// If the event cannot be written as JSON.
    pub fn of<E: EventType>(event: &E) -> Result<Self, PublishError> {
        let data = serde_json::to_vec(event).map_err(|error| PublishError::Invalid(error.to_string()))?;
        Ok(Self::raw(E::TYPE, "application/json", data))
    }

    /// A message of any type, with data of any media type.
    #[must_use]
    pub fn raw(event_type: impl Into<String>, media_type: impl Into<String>, data: Vec<u8>) -> Self {
        Self(bus::Message {
            type_: event_type.into(),
            subject: None,
            datacontenttype: Some(media_type.into()),
            dataschema: None,
            extensions: Vec::new(),
            data: Some(data),
            due: bus::Due::Now,
        })
    }

    /// What the event is about.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.0.subject = Some(subject.into());
        self
    }

    /// An extension attribute. Its name is of lower-case letters and digits.
    #[must_use]
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.extensions.push((name.into(), value.into()));
        self
    }

    /// Lets the event enter the log only after a delay.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.0.due = bus::Due::AfterMs(milliseconds(delay));
        self
    }

    /// Lets the event enter the log only at a time in RFC 3339.
    #[must_use]
    pub fn at(mut self, time: impl Into<String>) -> Self {
        self.0.due = bus::Due::At(time.into());
        self
    }

    /// Publishes it with this invocation's commit, and returns its id.
    ///
    /// # Errors
    /// As [`publish`].
    pub fn publish(self) -> Result<String, PublishError> {
        host::publish(self.0).map_err(PublishError::from)
    }
}

/// Why the bus refused what a plugin asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The plugin may not; declare the type, or ask the operator.
    Denied(String),
    /// An attribute breaks the rules.
    Invalid(String),
    /// The invocation asks for more than its limits allow.
    Limit(String),
}

impl std::fmt::Display for PublishError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Denied(reason) | Self::Invalid(reason) | Self::Limit(reason)) = self;
        formatter.write_str(reason)
    }
}

impl std::error::Error for PublishError {}

impl From<bus::Error> for PublishError {
    fn from(error: bus::Error) -> Self {
        match error {
            bus::Error::Denied(reason) => Self::Denied(reason),
            bus::Error::Invalid(reason) => Self::Invalid(reason),
            bus::Error::Limit(reason) => Self::Limit(reason),
        }
    }
}
