//! The version of HTTP of a connection.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::tls;

/// The version of HTTP that a client has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Its first bytes tell.
    Unknown,
    /// HTTP/2, in the TLS handshake.
    Http2,
}

impl Protocol {
    /// The protocol that a handshake has chosen.
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        match stream.get_ref().1.alpn_protocol() {
            Some(tls::HTTP2) => Self::Http2,
            _ => Self::Unknown,
        }
    }
}
