//! A bound listener.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::either::Either;

use super::socket_file::{SocketError, SocketFile};
use super::{PublicListenerRules, Tls};

/// A connection of either kind.
pub(super) type Socket = Either<TcpStream, UnixStream>;

/// What connections arrive on.
#[derive(Debug)]
enum Endpoint {
    Address(TcpListener),
    /// The file is removed after the listener is closed.
    Socket(UnixListener, #[allow(dead_code, reason = "it is removed when it is dropped")] SocketFile),
}

/// A bound listener: an address, with or without TLS, or a Unix socket.
#[derive(Debug)]
pub struct Listener {
    endpoint: Endpoint,
    pub(super) tls: Option<Tls>,
    /// The rules of a public listener.
    pub(super) public_rules: Option<Arc<ArcSwap<PublicListenerRules>>>,
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// If the address cannot be bound: what to do.
    pub async fn bind(address: SocketAddr, flag: &str, tls: Option<Tls>) -> anyhow::Result<Self> {
        let tcp = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
                "the address {address} is in use by another process; stop that process, or choose another address with {flag}"
            ),
            _ => anyhow::anyhow!("cannot listen on {address}: {error}; choose another address with {flag}"),
        })?;
        Ok(Self { endpoint: Endpoint::Address(tcp), tls, public_rules: None })
    }

    /// Binds a Unix socket, which only the user of the host may use.
    ///
    /// # Errors
    /// If the path cannot be used.
    pub fn bind_socket(path: &Path) -> Result<Self, SocketError> {
        let (listener, file) = SocketFile::bind(path)?;
        Ok(Self { endpoint: Endpoint::Socket(listener, file), tls: None, public_rules: None })
    }

    /// The same listener with the rules of a public one.
    #[must_use]
    pub fn with_public_rules(self, rules: PublicListenerRules) -> Self {
        Self { public_rules: Some(Arc::new(ArcSwap::from_pointee(rules))), ..self }
    }

    /// The rules of a public listener, which may be replaced while it serves.
    #[must_use]
    pub fn public_rules(&self) -> Option<Arc<ArcSwap<PublicListenerRules>>> {
        self.public_rules.clone()
    }

    /// The next connection, with the address of its peer.
    pub(super) async fn accept(&self) -> std::io::Result<(Socket, Option<SocketAddr>)> {
        match &self.endpoint {
            Endpoint::Address(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Either::Left(stream), Some(peer)))
            }
            Endpoint::Socket(listener, _) => Ok((Either::Right(listener.accept().await?.0), None)),
        }
    }

    /// The address.
    ///
    /// # Errors
    /// If the system does not know it, or the listener is a Unix socket.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        match &self.endpoint {
            Endpoint::Address(listener) => listener.local_addr(),
            Endpoint::Socket(..) => Err(std::io::Error::other("a Unix socket has no IP address")),
        }
    }

    /// The scheme of URLs of this listener.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}
