//! The host's own listeners, to which it never sends a request. The admin interface would treat such a request as one
//! of the operator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// A URL leads to one of the host's own listeners.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is a listener of this Sandbus host, and no grant permits requests to the host itself")]
pub struct OwnListener(pub String);

/// The addresses of the host's listeners.
#[derive(Clone, Debug, Default)]
pub struct Listeners(Arc<[SocketAddr]>);

impl Listeners {
    /// The listeners with these addresses.
    #[must_use]
    pub fn new(addresses: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self(addresses.into_iter().collect())
    }

    /// Checks that a URL's host and port do not name a listener. Names other than `localhost` are checked after
    /// resolving.
    ///
    /// # Errors
    /// If they do.
    pub fn refuse(&self, host_and_port: &str) -> Result<(), OwnListener> {
        if self.are_named(host_and_port) { Err(OwnListener(host_and_port.to_owned())) } else { Ok(()) }
    }

    fn are_named(&self, host_and_port: &str) -> bool {
        if let Ok(address) = host_and_port.parse() {
            return self.include(address);
        }
        let Some((host, port)) = host_and_port.rsplit_once(':') else { return false };
        let Ok(port) = port.parse() else { return false };
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        is_localhost(host) && loopback.into_iter().any(|ip| self.include(SocketAddr::new(ip, port)))
    }

    /// Whether a connection to an address would reach a listener.
    pub(super) fn include(&self, address: SocketAddr) -> bool {
        self.0.iter().any(|listener| listener.port() == address.port() && reaches(address.ip(), listener.ip()))
    }

    /// Whether a listener has this IP address, on any port.
    pub(super) fn are_at(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|listener| reaches(ip, listener.ip()))
    }
}

/// Whether a name always means this machine, independently of the name server.
pub(super) fn is_localhost(name: &str) -> bool {
    name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case("localhost")
}

/// Whether a connection to one address reaches a listener bound to another.
fn reaches(to: IpAddr, bound: IpAddr) -> bool {
    let (to, bound) = (to.to_canonical(), bound.to_canonical());
    // A connection to the unspecified address reaches this machine.
    to == bound || to.is_unspecified() || bound.is_unspecified() && is_local(to)
}

/// Whether an address belongs to this machine: only then it can be bound.
fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_known_by_every_address_that_leads_to_it() {
        let own = |bound: &str, named: &str| Listeners::new([bound.parse().unwrap()]).are_named(named);
        for (bound, named) in [
            ("127.0.0.1:8081", "127.0.0.1:8081"),
            ("127.0.0.1:8081", "localhost:8081"),
            ("127.0.0.1:8081", "LOCALHOST:8081"),
            ("127.0.0.1:8081", "localhost.:8081"),
            ("127.0.0.1:8081", "0.0.0.0:8081"),
            ("127.0.0.1:8081", "[::]:8081"),
            ("127.0.0.1:8081", "[::ffff:127.0.0.1]:8081"),
            ("[::1]:8081", "localhost:8081"),
            ("0.0.0.0:8080", "127.0.0.1:8080"),
            ("0.0.0.0:8080", "127.1.2.3:8080"),
            ("0.0.0.0:8080", "localhost:8080"),
            ("[::]:8080", "127.0.0.1:8080"),
            ("[::]:8080", "[::1]:8080"),
        ] {
            assert!(own(bound, named), "{bound} {named}");
        }
        for (bound, named) in [
            ("127.0.0.1:8081", "127.0.0.1:8082"),
            ("127.0.0.1:8081", "127.0.0.2:8081"),
            ("127.0.0.1:8081", "localhost:80"),
            ("127.0.0.1:8081", "example.com:8081"),
            ("0.0.0.0:8080", "192.0.2.1:8080"),
        ] {
            assert!(!own(bound, named), "{bound} {named}");
        }
    }

    #[test]
    fn interfaces_are_asked_when_a_listener_takes_all() {
        let all = Listeners::new(["0.0.0.0:8080".parse().unwrap()]);
        assert!(all.are_at("127.0.0.1".parse().unwrap()));
        assert!(!all.are_at("192.0.2.1".parse().unwrap()));
        assert!(!Listeners::default().are_at("127.0.0.1".parse().unwrap()));
    }
}
