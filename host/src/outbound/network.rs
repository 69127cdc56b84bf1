//! The client for the network, which keeps away from what lies behind the host.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::fault::Unresolved;
use super::own::{Listeners, is_localhost};

/// A client for the network. It follows no redirects: they would lead past the grant. It leads nobody to the host's own
/// listeners.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    own: Listeners,
    resolver: Arc<PublicAddresses>,
    /// Clients that take less time to connect, by that time.
    hasty: Arc<Mutex<HashMap<Duration, reqwest::Client>>>,
}

impl Client {
    /// A client of a host with these listeners.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(own: Listeners) -> Result<Self, reqwest::Error> {
        // A second call finds the provider in place, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        let resolver = Arc::new(PublicAddresses { lookups, own: own.clone() });
        let http = builder(&resolver).build()?;
        Ok(Self { http, own, resolver, hasty: Arc::default() })
    }

    /// The same as [`Client::to`], for a request that allows so long to connect.
    ///
    /// # Errors
    /// If it leads to the host itself, or TLS cannot be set up.
    pub fn to_within(&self, host_and_port: &str, connect: Duration) -> Result<reqwest::Client, String> {
        let usual = self.to(host_and_port)?;
        let Some(connect) = step(connect) else { return Ok(usual.clone()) };
        let mut hasty = self.hasty.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = hasty.get(&connect) {
            return Ok(client.clone());
        }
        let client = builder(&self.resolver).connect_timeout(connect).build().map_err(|error| error.to_string())?;
        hasty.insert(connect, client.clone());
        Ok(client)
    }

    /// The way to a host and its port, as [`crate::endpoint::host_and_port`] has them.
    ///
    /// # Errors
    /// If it leads to the host itself.
    pub fn to(&self, host_and_port: &str) -> Result<&reqwest::Client, String> {
        if self.own.are_named(host_and_port) {
            return Err(format!(
                "`{host_and_port}` leads to the host itself, which sends nothing to its own listeners, whatever is granted; publish an event instead"
            ));
        }
        Ok(&self.http)
    }
}

fn builder(resolver: &Arc<PublicAddresses>) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .dns_resolver(Arc::clone(resolver))
        .no_proxy()
        .user_agent(concat!("sandbus/", env!("CARGO_PKG_VERSION")))
}

/// The time to connect that a client is kept for, at least as long as the one that is asked for. The library sets it per
/// client, and so the steps bound how many clients a plugin can have made. None if it is longer than any step.
fn step(connect: Duration) -> Option<Duration> {
    const FINE: Duration = Duration::from_millis(50);
    const COARSE: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(60);
    let step = if connect <= COARSE { FINE } else { COARSE };
    let steps = u32::try_from(connect.as_nanos().div_ceil(step.as_nanos())).ok()?;
    Some(step * steps.max(1)).filter(|connect| *connect <= LONGEST)
}

/// What has caused an error of the client, one after the other. The address is not in it, which may hold a
/// secret.
#[must_use]
pub fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// How many names are looked up at a time. A lookup holds a thread until the system gives it up, also if whoever asked
/// has gone: without a bound, a server of names that does not answer would leave no thread to anybody.
const LOOKUPS: usize = 256;

/// Resolves names to public addresses alone. An operator who means a private one grants the address
/// itself, or `localhost`.
#[derive(Debug)]
struct PublicAddresses {
    lookups: Arc<Semaphore>,
    own: Listeners,
}

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let lookups = Arc::clone(&self.lookups);
        let own = self.own.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let place = lookups.acquire_owned().await?;
            let wanted = host.clone();
            let lookup = tokio::task::spawn_blocking(move || {
                let _place = place;
                (wanted.as_str(), 0).to_socket_addrs().map(Iterator::collect)
            });
            let found: std::io::Result<Vec<SocketAddr>> = lookup.await?;
            let found = found.map_err(|error| Unresolved(format!("`{host}` cannot be resolved: {error}")))?;
            let local = is_localhost(&host);
            // Which port is asked for is not known here, but for `localhost`, where it has been looked at.
            let may =
                |ip: IpAddr| if local { ip.is_loopback() || !own.are_at(ip) } else { is_public(ip) && !own.are_at(ip) };
            let allowed: Vec<_> = found.into_iter().filter(|address| may(address.ip())).collect();
            if allowed.is_empty() {
                return Err(Unresolved(format!("`{host}` leads to no public address")).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the public internet (RFC 6890's registries, the ranges in use).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || shared
                || benchmark
                // What protocols are assigned (RFC 6890).
                || (a, b, c) == (192, 0, 0)
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            // Addresses that embed an IPv4 address would lead to it past the check above.
            let [first, second, third, fourth, fifth, sixth, ..] = v6.segments();
            let nat64 = (first, second) == (0x64, 0xff9b);
            let teredo = (first, second) == (0x2001, 0);
            let compatible = [first, second, third, fourth, fifth, sixth] == [0; 6];
            let translated = nat64 || teredo || compatible || first == 0x2002;
            // Deprecated by RFC 3879, and in use as private ones nevertheless.
            let site_local = first & 0xffc0 == 0xfec0;
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || site_local
                || translated)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_connect_is_kept_to_in_steps() {
        let milliseconds = Duration::from_millis;
        for (asked, kept) in [(0, 50), (1, 50), (50, 50), (51, 100), (500, 500), (1_000, 1_000), (1_001, 2_000)] {
            assert_eq!(step(milliseconds(asked)), Some(milliseconds(kept)), "{asked} ms");
        }
        assert_eq!(step(Duration::from_secs(61)), None);
        assert_eq!(step(Duration::MAX), None);
    }

    #[test]
    fn private_addresses_are_told_apart() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "::7f00:1",
            "2001::1",
            "fec0::1",
            "192.0.0.1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }
}
