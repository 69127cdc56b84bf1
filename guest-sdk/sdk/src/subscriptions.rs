//! Subscriptions that are made at run time.

use crate::bindings::sandbus::plugin::bus;
use crate::message::PublishError;
use crate::{Result, host};

/// Who receives a subscription's deliveries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The named plugin's event handlers.
    Plugin(String),
    /// An HTTP endpoint that takes CloudEvents in binary mode. The operator must have granted its host.
    Webhook(String),
}

/// Makes a durable subscription with this invocation's commit. One of this name that the plugin made
/// before is replaced, and keeps its position.
///
/// # Errors
/// If the plugin does not declare the pattern among what it `subscribes`, if the webhook's host was
/// not granted, or if the name, the pattern or the address is malformed.
pub fn subscribe(name: &str, pattern: &str, target: Target) -> Result<(), PublishError> {
    let target = match target {
        Target::Plugin(name) => bus::Target::Plugin(name),
        Target::Webhook(url) => bus::Target::Webhook(url),
    };
    host::subscribe(name, pattern, target).map_err(PublishError::from)
}

/// Removes a subscription that this plugin made, with this invocation's commit.
///
/// # Errors
/// If the name is malformed.
pub fn unsubscribe(name: &str) -> Result<(), PublishError> {
    host::unsubscribe(name).map_err(PublishError::from)
}
