//! Private networks, which operators grant by name or by range.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Networks to which the name of a granted host may resolve, in addition to public addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Networks(Arc<[IpNet]>);

impl Networks {
    /// Whether one of the networks contains an address.
    #[must_use]
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromIterator<IpNet> for Networks {
    fn from_iter<I: IntoIterator<Item = IpNet>>(networks: I) -> Self {
        let mut networks: Vec<IpNet> = networks.into_iter().collect();
        networks.sort_unstable();
        networks.dedup();
        Self(networks.into())
    }
}

/// What one entry of `[grants] networks` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkGrant {
    /// A network of `[outbound.networks]`.
    Named(String),
    /// A range.
    Range(IpNet),
}

impl fmt::Display for NetworkGrant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => formatter.write_str(name),
            Self::Range(range) => range.fmt(formatter),
        }
    }
}

/// The networks that a request may use. Names are looked up for each request, so that a network that is removed from
/// the configuration is revoked at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrantedNetworks {
    /// Those of a sidecar.
    Granted(Arc<[NetworkGrant]>),
    /// All that the configuration names: an operator has chosen the host.
    AllNamed,
}

impl Default for GrantedNetworks {
    fn default() -> Self {
        Self::Granted(Arc::default())
    }
}

impl GrantedNetworks {
    /// The names and ranges, for people.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Granted(grants) => grants.iter().map(ToString::to_string).collect(),
            Self::AllNamed => Vec::new(),
        }
    }
}

impl<'de> Deserialize<'de> for NetworkGrant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.contains(['/', ':', '.']) {
            return parse_range(&text).map(Self::Range).map_err(D::Error::custom);
        }
        check_name(&text).map_err(D::Error::custom)?;
        Ok(Self::Named(text))
    }
}

/// The networks that the configuration names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NamedNetworks(BTreeMap<String, Vec<IpNet>>);

impl NamedNetworks {
    /// Checks that all named networks exist.
    ///
    /// # Errors
    /// The name of a network that the configuration does not have.
    pub fn check(&self, grants: &[NetworkGrant]) -> Result<(), String> {
        let unknown = grants.iter().find_map(|grant| match grant {
            NetworkGrant::Named(name) if !self.0.contains_key(name) => Some(name.clone()),
            _ => None,
        });
        unknown.map_or(Ok(()), Err)
    }

    /// The networks that a request may use now. Names that the configuration does not have any more grant nothing.
    #[must_use]
    pub fn current(&self, granted: &GrantedNetworks) -> Networks {
        let grants = match granted {
            GrantedNetworks::AllNamed => return self.0.values().flatten().copied().collect(),
            GrantedNetworks::Granted(grants) if grants.is_empty() => return Networks::default(),
            GrantedNetworks::Granted(grants) => grants,
        };
        let ranges = grants.iter().flat_map(|grant| match grant {
            NetworkGrant::Range(range) => std::slice::from_ref(range),
            NetworkGrant::Named(name) => self.0.get(name).map(Vec::as_slice).unwrap_or_default(),
        });
        ranges.copied().collect()
    }
}

impl<'de> Deserialize<'de> for NamedNetworks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, Vec<String>>::deserialize(deserializer)?;
        let parse = |(name, ranges): (String, Vec<String>)| {
            check_name(&name)?;
            let ranges = ranges.iter().map(|range| parse_range(range)).collect::<Result<Vec<_>, _>>()?;
            Ok((name, ranges))
        };
        texts.into_iter().map(parse).collect::<Result<_, String>>().map(Self).map_err(D::Error::custom)
    }
}

/// Parses a range in CIDR notation, or a single address.
fn parse_range(text: &str) -> Result<IpNet, String> {
    let refuse =
        |what: &str| format!("`{}` {what}; write a range such as \"10.0.0.0/8\" or \"fd00::/8\"", text.escape_debug());
    let range = match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
        (Ok(range), _) => range,
        (_, Ok(address)) => address.into(),
        _ => return Err(refuse("is not a network")),
    };
    let is_never_granted = match range {
        IpNet::V4(range) => range.addr().is_loopback() || range.addr().is_link_local(),
        IpNet::V6(range) => range.addr().is_loopback() || range.addr().is_unicast_link_local(),
    };
    if is_never_granted {
        return Err(format!(
            "`{}` is part of this machine or of its link, which no network includes; grant the address itself instead, such as http = [\"127.0.0.1\"]",
            text.escape_debug()
        ));
    }
    if range.trunc() != range {
        let network = range.trunc();
        return Err(refuse(&format!("has bits after its prefix; the network is {network}")));
    }
    Ok(range)
}

fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_allowed) {
        return Err(format!(
            "`{}` does not name a network; a name has letters, digits, `-` and `_`",
            name.escape_debug()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(texts: &[&str]) -> Result<Vec<NetworkGrant>, String> {
        serde_json::from_value(serde_json::json!(texts)).map_err(|error| error.to_string())
    }

    #[test]
    fn networks_are_granted_by_name_and_by_range() {
        let named: NamedNetworks =
            toml::from_str("compose = [\"172.18.0.0/16\", \"fd00::/8\"]\ncluster = [\"10.0.0.0/8\"]").unwrap();
        let granted = GrantedNetworks::Granted(grants(&["compose", "192.168.4.0/24", "10.9.9.9"]).unwrap().into());
        assert_eq!(granted.texts(), ["compose", "192.168.4.0/24", "10.9.9.9/32"]);
        let networks = named.current(&granted);
        for (address, expected) in [
            ("172.18.3.4", true),
            ("172.19.0.1", false),
            ("fd12::1", true),
            ("192.168.4.255", true),
            ("192.168.5.0", false),
            ("10.9.9.9", true),
            ("10.9.9.8", false),
            ("::ffff:172.18.0.1", true),
        ] {
            assert_eq!(networks.contain(address.parse().unwrap()), expected, "{address}");
        }
        assert!(named.current(&GrantedNetworks::AllNamed).contain("10.1.1.1".parse().unwrap()));
        assert_eq!(named.check(&grants(&["compos"]).unwrap()), Err("compos".to_owned()));
        assert_eq!(named.check(&grants(&["compose"]).unwrap()), Ok(()));
        assert_eq!(NamedNetworks::default().current(&GrantedNetworks::default()), Networks::default());
        // A network that was removed from the configuration grants nothing.
        let networks = NamedNetworks::default().current(&granted);
        assert!(!networks.contain("172.18.3.4".parse().unwrap()) && networks.contain("10.9.9.9".parse().unwrap()));
    }

    #[test]
    fn ranges_that_are_none_are_refused() {
        for (text, words) in [
            ("10.0.0.0/33", "is not a network"),
            ("10.0.0.1/8", "the network is 10.0.0.0/8"),
            ("127.0.0.0/8", "grant the address itself"),
            ("169.254.0.0/16", "grant the address itself"),
            ("::1", "grant the address itself"),
            ("orders.example.com", "is not a network"),
            ("", "does not name a network"),
            ("a b", "does not name a network"),
        ] {
            let refused = grants(&[text]);
            assert!(refused.as_ref().is_err_and(|reason| reason.contains(words)), "{text}: {refused:?}");
        }
        assert!(toml::from_str::<NamedNetworks>("\"a.b\" = []").is_err());
        assert!(toml::from_str::<NamedNetworks>("a = [\"b\"]").is_err());
    }
}
