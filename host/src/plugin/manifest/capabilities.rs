//! What a generation requests and what it is granted, as it is archived and shown.

use serde::{Deserialize, Serialize};

use super::descriptor::Descriptor;
use super::settings::Settings;

/// The capabilities of a generation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// What the component declares that it needs.
    pub requested: RequestedCapabilities,
    /// What the operator grants.
    pub granted: GrantedCapabilities,
}

/// The event types that a plugin requests, as patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestedCapabilities {
    /// Types to publish.
    pub publish: Vec<String>,
    /// Types to subscribe to at run time.
    pub subscribe: Vec<String>,
}

/// What a plugin is granted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantedCapabilities {
    /// Patterns of types that it may publish.
    pub publish: Vec<String>,
    /// Patterns of types that it may subscribe to at run time.
    pub subscribe: Vec<String>,
    /// Hosts that its webhooks may deliver to.
    pub webhooks: Vec<String>,
    /// Hosts that it may send requests to.
    pub http: Vec<String>,
    /// Private networks to which the names of these hosts may resolve.
    pub networks: Vec<String>,
}

impl Capabilities {
    /// The capabilities of a plugin with its settings.
    #[must_use]
    pub fn of(descriptor: &Descriptor, settings: &Settings) -> Self {
        Self {
            requested: RequestedCapabilities {
                publish: texts(&descriptor.publishes),
                subscribe: texts(&descriptor.subscribes),
            },
            granted: GrantedCapabilities {
                publish: texts(&settings.publish),
                subscribe: texts(&settings.subscribe),
                webhooks: settings.webhooks.hosts.clone(),
                http: settings.http.hosts.clone(),
                networks: settings.http.networks.texts(),
            },
        }
    }
}

fn texts<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}
