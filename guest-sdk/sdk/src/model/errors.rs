//! The errors of calls to the host.

use std::fmt;

use crate::bindings::sandbus::plugin::bus;

/// Why the bus refused a call. With `?` the delivery is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusError {
    /// The plugin has no grant: declare the type in `plugin!`, or ask the operator.
    Denied(String),
    /// An argument is invalid.
    Invalid(String),
    /// The invocation exceeds its limits.
    Limit(String),
}

impl fmt::Display for BusError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Denied(reason) | Self::Invalid(reason) | Self::Limit(reason)) = self;
        formatter.write_str(reason)
    }
}

impl std::error::Error for BusError {}

impl From<bus::Error> for BusError {
    fn from(error: bus::Error) -> Self {
        match error {
            bus::Error::Denied(reason) => Self::Denied(reason),
            bus::Error::Invalid(reason) => Self::Invalid(reason),
            bus::Error::Limit(reason) => Self::Limit(reason),
        }
    }
}

/// Why the state refused a call. With `?` the delivery is rejected, except for [`StateError::Unavailable`], which is
/// retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateError {
    /// The value is not what the call needs: JSON that fits the type, a number, or a sum within `i64`.
    Invalid(String),
    /// The key is too long, or the invocation exceeds its limits.
    Limit(String),
    /// The store cannot be read now.
    Unavailable(String),
}

impl StateError {
    /// Whether the same call would be refused again.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Invalid(reason) | Self::Limit(reason) | Self::Unavailable(reason)) = self;
        formatter.write_str(reason)
    }
}

impl std::error::Error for StateError {}
