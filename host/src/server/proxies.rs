//! The proxies whose headers are trusted.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The addresses of the proxies in front of a listener. There are none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct TrustedProxies(Vec<IpNet>);

/// An entry is not an address or a network.
#[derive(Debug, thiserror::Error)]
#[error("each proxy is an address such as \"10.0.0.5\", or a network such as \"10.0.0.0/8\" or \"fd00::/8\"")]
pub struct ProxyFormatError;

impl TryFrom<Vec<String>> for TrustedProxies {
    type Error = ProxyFormatError;

    fn try_from(entries: Vec<String>) -> Result<Self, ProxyFormatError> {
        let network = |entry: String| {
            let network = entry.parse().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| ProxyFormatError)
        };
        entries.into_iter().map(network).collect::<Result<_, _>>().map(Self)
    }
}

impl From<TrustedProxies> for Vec<String> {
    fn from(proxies: TrustedProxies) -> Self {
        proxies.0.iter().map(ToString::to_string).collect()
    }
}

impl TrustedProxies {
    /// Whether an address belongs to a proxy. An IPv4 address that is embedded in IPv6 counts as IPv4.
    pub(super) fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}
