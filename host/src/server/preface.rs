//! Tells HTTP/2 with prior knowledge from HTTP/1.1 by a connection's first bytes (RFC 9113, section 3.4).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The first bytes of a client that speaks HTTP/2.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes are held back until it is clear whether they are the preface. The parser of HTTP/1.1 then
/// sees the whole preface at once, whatever the packets of the client, and does not answer the first half of it.
#[derive(Debug)]
pub(super) struct PrefaceReader<S> {
    inner: S,
    held: Vec<u8>,
    is_decided: bool,
}

impl<S> PrefaceReader<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, held: Vec::new(), is_decided: false }
    }

    /// The same stream, beginning with bytes that were read from it before.
    pub(super) fn resume(self, unread: &[u8]) -> Self {
        Self { held: [unread, &self.held].concat(), is_decided: true, ..self }
    }
}

impl<S: AsyncRead + Unpin> PrefaceReader<S> {
    /// Reads until the first bytes differ from the preface, or are the preface.
    fn poll_decide(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_decided {
            let mut bytes = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(&mut bytes[self.held.len()..]);
            ready!(Pin::new(&mut self.inner).poll_read(context, &mut buffer))?;
            let read = buffer.filled();
            self.held.extend_from_slice(read);
            let may_continue = self.held.len() < PREFACE.len() && PREFACE.starts_with(&self.held);
            self.is_decided = read.is_empty() || !may_continue;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PrefaceReader<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_decided {
            ready!(self.poll_decide(context))?;
        }
        if self.held.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, buffer);
        }
        let count = self.held.len().min(buffer.remaining());
        buffer.put_slice(&self.held[..count]);
        self.held.drain(..count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for PrefaceReader<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What is read after each part has been sent, until the end.
    async fn read(parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut client, server) = tokio::io::duplex(1_024);
        let mut reader = PrefaceReader::new(server);
        let reading = tokio::spawn(async move {
            let (mut found, mut buffer) = (Vec::new(), [0; 100]);
            while let Ok(count @ 1..) = reader.read(&mut buffer).await {
                found.push(buffer[..count].to_vec());
            }
            found
        });
        for part in parts {
            client.write_all(part).await.unwrap();
            // The reader runs until it waits for more.
            tokio::task::yield_now().await;
        }
        drop(client);
        reading.await.unwrap()
    }

    #[tokio::test]
    async fn a_preface_arrives_whole_and_nothing_is_lost() {
        for split in 1..PREFACE.len() {
            let (one, other) = PREFACE.split_at(split);
            let found = read(&[one, other, b"more"]).await;
            assert_eq!((found[0].as_slice(), found.concat()), (PREFACE, [PREFACE, b"more"].concat()), "{split}");
        }
        for parts in [&[&b"P"[..], b"OST / HTTP/1.1\r\n"], &[b"GET /", b" HTTP/1.1"], &[b"PRI * HTTP/2.0\r\n", b"x"]] {
            assert_eq!(read(parts).await.concat(), parts.concat());
        }
        assert_eq!(read(&[b"PRI"]).await.concat(), b"PRI", "the end decides");
        assert!(read(&[]).await.is_empty());
    }

    #[tokio::test]
    async fn unread_bytes_come_first() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b"later").await.unwrap();
        drop(client);
        let mut text = String::new();
        PrefaceReader::new(server).resume(b"first ").read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "first later");
    }
}
