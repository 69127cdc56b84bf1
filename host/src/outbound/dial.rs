//! Opens connections to other hosts: to public addresses only, unless the grant names an address, and never to the
//! host's own listeners.

use std::error::Error;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::http::Uri;
use hyper::http::uri::Scheme;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::fault::Unresolved;
use super::listeners::{Listeners, is_localhost};

tokio::task_local! {
    /// The connect timeout of the request that runs in this task.
    pub(super) static CONNECT: Option<Duration>;
}

/// The number of concurrent name lookups. A lookup blocks a thread until the resolver returns, even if its request has
/// ended. Without a bound, an unresponsive name server would occupy all threads.
const LOOKUPS: usize = 256;

/// The addresses that a name may resolve to.
#[derive(Clone, Debug)]
pub(super) enum Reach {
    /// Public addresses and `localhost`, except for these listeners. An operator who wants a private address grants the
    /// address itself.
    Public(Listeners),
    /// All addresses.
    Anywhere,
}

/// Opens TCP connections.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    lookups: Arc<Semaphore>,
    reach: Reach,
}

impl Dialer {
    pub(super) fn new(reach: Reach) -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS)), reach }
    }

    async fn dial(self, to: Uri) -> Result<TokioIo<TcpStream>, Failure> {
        let missing = || Unresolved("the address has no host".to_owned());
        let host = to.host().ok_or_else(missing)?;
        let default = if to.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let port = to.port_u16().unwrap_or(default);
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let addresses = match bare.parse() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => self.resolve(host, port).await?,
        };
        // Checked on the resolved address, so that no name or grant can bypass it.
        let is_own = |address: &SocketAddr| matches!(&self.reach, Reach::Public(own) if own.include(*address));
        if addresses.iter().any(is_own) {
            return Err(Unresolved(format!("`{host}` resolves to this host's own listener")).into());
        }
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }

    /// The permitted addresses of a name.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await?;
        let wanted = (host.to_owned(), port);
        let lookup = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            wanted.to_socket_addrs().map(Iterator::collect)
        });
        let found: io::Result<Vec<SocketAddr>> = lookup.await?;
        let mut found = found.map_err(|error| Unresolved(format!("cannot resolve `{host}`: {error}")))?;
        found.retain(|address| self.may_reach(host, address.ip()));
        if found.is_empty() {
            return Err(Unresolved(format!("`{host}` does not resolve to a public address")).into());
        }
        Ok(found)
    }

    /// Whether a name may resolve to an address.
    fn may_reach(&self, host: &str, ip: IpAddr) -> bool {
        match &self.reach {
            Reach::Anywhere => true,
            Reach::Public(_) if is_localhost(host) => ip.is_loopback(),
            Reach::Public(own) => is_public(ip) && !own.are_at(ip),
        }
    }
}

type Failure = Box<dyn Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        Box::pin(self.clone().dial(to))
    }
}

/// Connects within the time that a request allows for lookup, connection and TLS.
#[derive(Clone, Debug)]
pub(super) struct InTime<C>(pub(super) C);

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri, Error = Failure>,
    C::Future: Send + 'static,
    C::Response: 'static,
{
    type Response = C::Response;
    type Error = Failure;
    type Future = Connecting<C::Response>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        // The client calls this in the task of the request.
        let limit = CONNECT.try_with(|limit| *limit).ok().flatten();
        let connecting = self.0.call(to);
        let Some(limit) = limit else { return Box::pin(connecting) };
        Box::pin(async move {
            let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the connection timed out");
            tokio::time::timeout(limit, connecting).await.map_err(late)?
        })
    }
}

/// Whether an address belongs to the public internet (the ranges of RFC 6890's registries).
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
                // Protocol assignments (RFC 6890).
                || (a, b, c) == (192, 0, 0)
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            // Addresses that embed an IPv4 address would bypass the check above.
            let [first, second, third, fourth, fifth, sixth, ..] = v6.segments();
            let nat64 = (first, second) == (0x64, 0xff9b);
            let teredo = (first, second) == (0x2001, 0);
            let compatible = [first, second, third, fourth, fifth, sixth] == [0; 6];
            let translated = nat64 || teredo || compatible || first == 0x2002;
            // Deprecated by RFC 3879 but still used as private addresses.
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
