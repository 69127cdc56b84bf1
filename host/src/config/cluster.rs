//! Settings of a cluster: hosts that share the work of one store.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AddressText, deserialize_address};

/// Settings of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterConfig {
    /// The address for connections of other hosts. A host without one does not share its work.
    #[serde(deserialize_with = "deserialize_address")]
    #[schemars(with = "Option<AddressText>")]
    pub listen: Option<SocketAddr>,
    /// The host name and port, or address and port, under which other hosts reach this one. By default, `listen`.
    pub advertise: Option<String>,
}

impl ClusterConfig {
    /// What other hosts connect to, for a listener with an address. None if nobody can connect to that address.
    #[must_use]
    pub fn advertised(&self, listening: SocketAddr) -> Option<String> {
        let usual = || (!listening.ip().is_unspecified()).then(|| listening.to_string());
        self.advertise.clone().or_else(usual)
    }
}
