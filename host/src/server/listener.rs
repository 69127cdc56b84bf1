//! A bound listener.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::Tls;

/// A bound listener, with or without TLS.
#[derive(Debug)]
pub struct Listener {
    pub(super) tcp: TcpListener,
    pub(super) tls: Option<Tls>,
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
        Ok(Self { tcp, tls })
    }

    /// The address.
    ///
    /// # Errors
    /// If the system does not know it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The scheme of URLs of this listener.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}
