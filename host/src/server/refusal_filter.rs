//! Replaces the HTTP parser's own refusals, which have no body. A filter holds such a response back until it is clear
//! whether the parser or a handler wrote it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The largest response head that the parser writes.
const LONGEST: usize = 160;

/// A stream that holds back a response that looks like the parser's refusal. hyper ends the connection in the same poll
/// in which it writes a refusal. If the connection continues, its owner clears `holding`, and the next flush sends the
/// response.
#[derive(Debug)]
pub(super) struct RefusalFilter<S> {
    inner: S,
    held: Vec<u8>,
    holding: Arc<AtomicBool>,
    at_end: bool,
}

impl<S> RefusalFilter<S> {
    pub(super) fn new(inner: S, holding: Arc<AtomicBool>) -> Self {
        Self { inner, held: Vec::new(), holding, at_end: false }
    }

    /// The bytes held back.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Replaces the bytes held back.
    pub(super) fn replace(&mut self, bytes: Vec<u8>) {
        self.held = bytes;
    }

    /// Whether the client has closed its sending half.
    pub(super) fn at_end(&self) -> bool {
        self.at_end
    }

    /// The stream and its pending bytes.
    pub(super) fn into_inner(self) -> (S, Vec<u8>) {
        (self.inner, self.held)
    }

    fn is_holding(&self) -> bool {
        self.holding.load(Ordering::Relaxed)
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.held = bytes.to_vec();
        self.holding.store(true, Ordering::Relaxed);
    }
}

impl<S: AsyncWrite + Unpin> RefusalFilter<S> {
    /// Writes the bytes held back.
    fn poll_send_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(context, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..written);
        }
        self.holding.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for RefusalFilter<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().len() == before && buffer.remaining() > 0 {
            self.at_end = true;
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for RefusalFilter<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send_held(context))?;
        match refusal_length(bytes) {
            0 => Pin::new(&mut self.inner).poll_write(context, bytes),
            length if length == bytes.len() => {
                self.hold(bytes);
                Poll::Ready(Ok(length))
            }
            length => Pin::new(&mut self.inner).poll_write(context, &bytes[..bytes.len() - length]),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // hyper writes a head in one piece.
        let last = slices.iter().rposition(|slice| !slice.is_empty()).unwrap_or(0);
        match slices.get(last) {
            Some(slice) if refusal_length(slice) > 0 => {
                let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(0);
                // Earlier bytes are written first, separately.
                let before = if first < last { slices[first].len() } else { slice.len() };
                self.poll_write(context, &slices[first][..before])
            }
            _ => {
                ready!(self.poll_send_held(context))?;
                Pin::new(&mut self.inner).poll_write_vectored(context, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_holding() {
            ready!(self.poll_send_held(context))?;
        }
        Pin::new(&mut self.inner).poll_flush(context)
    }

    /// The owner closes the connection after writing the bytes held back.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The length of a parser refusal at the end of a buffer: a head with status 400, 414 or 431 and an empty body.
fn refusal_length(bytes: &[u8]) -> usize {
    if !bytes.ends_with(b"\r\n\r\n") {
        return 0;
    }
    let window = &bytes[bytes.len().saturating_sub(LONGEST)..];
    let Some(start) = window.windows(7).rposition(|part| part == b"HTTP/1.") else { return 0 };
    let head = &window[start..];
    let has_status = head.get(9..12).is_some_and(|status| [b"400", b"414", b"431"].iter().any(|one| status == *one));
    let is_empty = head.windows(19).any(|part| part == b"content-length: 0\r\n");
    if has_status && is_empty { head.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    #[tokio::test]
    async fn a_refusal_is_held_back_until_it_is_known_who_wrote_it() {
        let holding = Arc::new(AtomicBool::new(false));
        let mut refusal_filter = RefusalFilter::new(Vec::new(), Arc::clone(&holding));
        refusal_filter.write_all(&[b"before", REFUSAL].concat()).await.unwrap();
        refusal_filter.flush().await.unwrap();
        assert_eq!((refusal_filter.inner.as_slice(), refusal_filter.held()), (&b"before"[..], REFUSAL));
        // The connection continues, so the bytes are a handler's response.
        assert!(holding.swap(false, Ordering::Relaxed));
        refusal_filter.flush().await.unwrap();
        assert_eq!(refusal_filter.inner, [b"before", REFUSAL].concat());
        assert!(refusal_filter.held().is_empty());
    }

    #[tokio::test]
    async fn bytes_keep_their_order_whatever_they_look_like() {
        let mut refusal_filter = RefusalFilter::new(Vec::new(), Arc::default());
        let slices = [&b""[..], b"a", REFUSAL, b"", b"b", REFUSAL];
        let mut expected = slices.concat();
        let mut written = 0;
        while written < expected.len() {
            let rest = [IoSlice::new(&expected[written..])];
            written += refusal_filter.write_vectored(&rest).await.unwrap();
        }
        refusal_filter.write_all(b"after").await.unwrap();
        expected.extend(b"after");
        assert_eq!(refusal_filter.inner, expected);
    }

    #[test]
    fn only_whole_heads_of_refusals_look_like_them() {
        assert_eq!(refusal_length(REFUSAL), REFUSAL.len());
        let changed = |from: &str, to: &str| String::from_utf8(REFUSAL.to_vec()).unwrap().replace(from, to);
        for other in [
            changed("400", "200"),
            changed("content-length: 0", "content-length: 10"),
            changed("\r\n\r\n", "\r\n\r\n{}"),
            "0\r\n\r\n".to_owned(),
            "\r\n\r\n".to_owned(),
        ] {
            assert_eq!(refusal_length(other.as_bytes()), 0, "{other:?}");
        }
    }
}
