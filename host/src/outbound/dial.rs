//! Opens connections to other hosts: to public addresses and granted networks only, unless the grant names an address;
//! never to the host's own listeners or to metadata services. A configured proxy takes the place of the other host.

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
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tower_service::Service;

use super::address::{is_metadata, is_public, is_routable};
use super::connection::Connection;
use super::fault::Unresolved;
use super::listeners::{Listeners, is_localhost};
use super::proxy::{Proxies, Proxy};
use crate::networks::Networks;

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
    /// Public addresses, those of the granted networks, and `localhost`, except for these listeners. An operator who
    /// wants another private address grants the address itself.
    Granted {
        /// The listeners of the host.
        own: Listeners,
        /// The granted networks.
        networks: Networks,
    },
    /// All addresses.
    Anywhere,
}

/// Opens TCP connections.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    lookups: Arc<Semaphore>,
    reach: Reach,
    proxies: Proxies,
}

/// A server to connect to.
struct Server {
    /// The name or the address, without brackets.
    host: String,
    port: u16,
}

impl Server {
    fn of(to: &Uri) -> Result<Self, Unresolved> {
        let host = to.host().ok_or_else(|| Unresolved("the address has no host".to_owned()))?;
        let default = if to.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: bare.to_owned(), port: to.port_u16().unwrap_or(default) })
    }

    /// The address, if the server is not named.
    fn literal(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Whether a proxy may forward requests to it. This machine and private addresses are not those of the proxy.
    fn may_be_proxied(&self) -> bool {
        !is_localhost(&self.host) && self.literal().is_none_or(is_public)
    }
}

impl Dialer {
    pub(super) fn new(reach: Reach, proxies: Proxies) -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS)), reach, proxies }
    }

    /// A dialer with other granted networks. Both share the limit of lookups.
    pub(super) fn with_networks(&self, networks: &Networks) -> Self {
        let reach = match &self.reach {
            Reach::Granted { own, .. } => Reach::Granted { own: own.clone(), networks: networks.clone() },
            Reach::Anywhere => Reach::Anywhere,
        };
        Self { reach, ..self.clone() }
    }

    async fn dial(self, to: Uri) -> Result<Connection, Failure> {
        let server = Server::of(&to)?;
        match self.proxies.of(&to)?.filter(|_| server.may_be_proxied()) {
            Some(proxy) => self.dial_over(proxy, to).await,
            None => Ok(Connection::direct(self.connect(&server).await?)),
        }
    }

    /// Connects to a proxy. It forwards plain requests, and opens a tunnel for TLS.
    async fn dial_over(self, proxy: Proxy, to: Uri) -> Result<Connection, Failure> {
        let uri = proxy.uri().clone();
        // The proxy itself may be anywhere.
        let mut dialer = ProxyDialer(Self { reach: Reach::Anywhere, proxies: Proxies::none(), ..self });
        if to.scheme() != Some(&Scheme::HTTPS) {
            return Ok(Connection::forwarded(dialer.call(uri).await?));
        }
        let tunnel = Tunnel::new(uri, dialer);
        let mut tunnel = match proxy.authorization() {
            Some(authorization) => tunnel.with_auth(authorization),
            None => tunnel,
        };
        Ok(Connection::direct(tunnel.call(to).await?))
    }

    async fn connect(&self, server: &Server) -> Result<TokioIo<TcpStream>, Failure> {
        let Server { host, port } = server;
        let addresses = match server.literal() {
            Some(ip) => vec![SocketAddr::new(ip, *port)],
            None => self.resolve(host, *port).await?,
        };
        self.check(host, &addresses)?;
        let stream = TcpStream::connect(addresses.as_slice()).await?;
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }

    /// Checks the addresses of a server after they were resolved, so that no name or grant can bypass the check.
    fn check(&self, host: &str, addresses: &[SocketAddr]) -> Result<(), Unresolved> {
        let Reach::Granted { own, .. } = &self.reach else { return Ok(()) };
        for address in addresses {
            if own.include(*address) {
                return Err(Unresolved(format!("`{host}` resolves to this host's own listener")));
            }
            if is_metadata(address.ip()) {
                return Err(Unresolved(format!("`{host}` is a metadata service, which no plugin may reach")));
            }
        }
        Ok(())
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
        let first = found.first().map(SocketAddr::ip);
        let private = found.iter().map(SocketAddr::ip).find(|ip| is_routable(*ip) && !is_public(*ip));
        found.retain(|address| self.may_reach(host, address.ip()));
        if found.is_empty() {
            let fix = private
                .map(|ip| format!(" but to {ip}; grant its network in the sidecar: [grants] networks = [\"{ip}\"]"));
            let fix = fix.or_else(|| {
                first.map(|ip| format!(" but to {ip}, which no network includes; grant the address itself"))
            });
            let fix = fix.unwrap_or_default();
            return Err(Unresolved(format!("`{host}` does not resolve to a public address{fix}")).into());
        }
        Ok(found)
    }

    /// Whether a name may resolve to an address.
    fn may_reach(&self, host: &str, ip: IpAddr) -> bool {
        match &self.reach {
            Reach::Anywhere => true,
            Reach::Granted { .. } if is_localhost(host) => ip.is_loopback(),
            Reach::Granted { own, networks } => {
                is_public(ip) && !own.are_at(ip) || is_routable(ip) && networks.contain(ip)
            }
        }
    }
}

/// Whether a proxy may forward a request to this URL.
pub(super) fn may_be_proxied(to: &Uri) -> bool {
    Server::of(to).is_ok_and(|server| server.may_be_proxied())
}

/// Connects to proxies.
#[derive(Clone, Debug)]
struct ProxyDialer(Dialer);

impl Service<Uri> for ProxyDialer {
    type Response = TokioIo<TcpStream>;
    type Error = Failure;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let dialer = self.0.clone();
        Box::pin(async move {
            let unreachable = |error: Failure| Unresolved(format!("the proxy cannot be reached: {error}"));
            Ok(dialer.connect(&Server::of(&proxy)?).await.map_err(unreachable)?)
        })
    }
}

type Failure = Box<dyn Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send>>;

impl Service<Uri> for Dialer {
    type Response = Connection;
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
