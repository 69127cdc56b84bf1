//! The bytes of a connection, with or without TLS.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::listener::Socket;
use super::protocol::Protocol;
use super::{HttpLimits, Tls, refusal};

/// A stream of bytes in both directions.
pub(super) trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// The first byte of a TLS connection: the type of a handshake record (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// Opens the stream of a connection, within the time that a client has for a request head. None if the connection has
/// ended.
pub(super) async fn open(
    stream: Socket,
    tls: Option<&Tls>,
    limits: HttpLimits,
    stop: &CancellationToken,
) -> Option<(Box<dyn ByteStream>, Protocol)> {
    let stream = match stream {
        Either::Left(stream) => stream,
        Either::Right(stream) => return Some((Box::new(stream), Protocol::Unknown)),
    };
    // Responses are written in one piece, so Nagle's algorithm would only delay them.
    drop(stream.set_nodelay(true));
    let Some(tls) = tls else { return Some((Box::new(stream), Protocol::Unknown)) };
    tokio::select! {
        () = stop.cancelled() => None,
        opened = tokio::time::timeout(limits.header_timeout, open_tls(stream, tls)) => opened.ok().flatten(),
    }
}

async fn open_tls(stream: TcpStream, tls: &Tls) -> Option<(Box<dyn ByteStream>, Protocol)> {
    let mut first = [0];
    if stream.peek(&mut first).await.ok()? == 0 {
        return None;
    }
    if first != [HANDSHAKE] {
        refusal::close((stream, refusal::message(&refusal::tls_required())), true).await;
        return None;
    }
    match tls.accept(stream).await {
        Ok(stream) => {
            let protocol = Protocol::of(&stream);
            Some((Box::new(stream), protocol))
        }
        Err(error) => {
            tracing::debug!(%error, "a TLS handshake failed");
            None
        }
    }
}
