//! Private networks, which operators grant by name or by range.

use std::collections::BTreeMap;
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

impl Networks {
    /// The ranges, for people.
    #[must_use]
    pub fn ranges(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
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
    /// The networks that grants stand for.
    ///
    /// # Errors
    /// The name of a network that the configuration does not have.
    pub fn resolve(&self, grants: &[NetworkGrant]) -> Result<Networks, String> {
        let mut networks = Vec::new();
        for grant in grants {
            match grant {
                NetworkGrant::Range(range) => networks.push(*range),
                NetworkGrant::Named(name) => networks.extend(self.0.get(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(networks.into_iter().collect())
    }

    /// All networks together.
    #[must_use]
    pub fn all(&self) -> Networks {
        self.0.values().flatten().copied().collect()
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
        let networks = named.resolve(&grants(&["compose", "192.168.4.0/24", "10.9.9.9"]).unwrap()).unwrap();
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
        assert!(named.all().contain("10.1.1.1".parse().unwrap()));
        assert_eq!(named.resolve(&grants(&["compos"]).unwrap()), Err("compos".to_owned()));
        assert_eq!(NamedNetworks::default().resolve(&[]), Ok(Networks::default()));
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
