//! Reads response bodies ahead of slow clients.
//!
//! A handler that writes a body holds a shared permit, and blocks while its client does not read. So a body that is not
//! complete after a short time is spooled: the host reads it ahead of the client, within bounds. When the bounds are
//! reached, the handler waits for its client: for a short time, or longer if one of a few waiting permits is free.
//! After that, the response breaks off.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How long a handler may write directly to its client. Most bodies end within this time.
pub(super) const DIRECT_WRITE_TIME: Duration = Duration::from_millis(50);
/// How long a handler without a waiting permit waits for its client before each part.
const WAIT_WITHOUT_PERMIT: Duration = Duration::from_secs(1);
/// The maximum number of spooled bytes of all responses.
const MAX_TOTAL_BYTES: usize = 64 << 20;
/// The maximum number of spooled bytes of one response.
const MAX_RESPONSE_BYTES: usize = 8 << 20;

/// The limits of spooled bodies.
#[derive(Clone, Debug)]
pub struct SpoolLimits {
    space: Arc<Semaphore>,
    waiting_permits: Arc<Semaphore>,
}

impl SpoolLimits {
    /// Creates the limits, with permits for handlers that wait for their clients.
    #[must_use]
    pub fn new(waiting_permits: Arc<Semaphore>) -> Self {
        Self { space: Arc::new(Semaphore::new(MAX_TOTAL_BYTES)), waiting_permits }
    }
}

/// A response body that can be spooled while its client reads it.
pub(super) struct SpooledBody {
    shared: Arc<Mutex<SharedBody>>,
    parts: mpsc::UnboundedReceiver<Result<Part, SpoolError>>,
}

/// Reads a body ahead of its client.
pub(super) struct Spooler {
    shared: Arc<Mutex<SharedBody>>,
    parts: mpsc::UnboundedSender<Result<Part, SpoolError>>,
}

struct SharedBody {
    /// The body, until it is spooled or its client is gone.
    body: Option<Body>,
    /// The waker of the client's task.
    waker: Option<Waker>,
}

struct Part {
    frame: Result<Frame<Bytes>, axum::Error>,
    /// Released when the client has taken the frame.
    _space: Vec<OwnedSemaphorePermit>,
}

/// The reason why a response breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    #[error("the client reads too slowly, and the buffers for responses are full")]
    BuffersFull,
    #[error(transparent)]
    Body(axum::Error),
}

/// Splits a body into the client's half and the half that reads ahead.
pub(super) fn spooled(body: Body) -> (SpooledBody, Spooler) {
    let shared = Arc::new(Mutex::new(SharedBody { body: Some(body), waker: None }));
    let (sender, receiver) = mpsc::unbounded_channel();
    (SpooledBody { shared: Arc::clone(&shared), parts: receiver }, Spooler { shared, parts: sender })
}

fn lock(shared: &Mutex<SharedBody>) -> std::sync::MutexGuard<'_, SharedBody> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spooler {
    /// Reads the body to its end, or until the client is gone or too slow.
    pub(super) async fn run(self, limits: SpoolLimits) {
        let (body, waker) = {
            let mut shared = lock(&self.shared);
            (shared.body.take(), shared.waker.take())
        };
        // From now on the client waits for spooled parts.
        if let Some(waker) = waker {
            waker.wake();
        }
        let Some(mut body) = body else { return };
        let buffers = Buffers {
            space: Arc::new(Semaphore::new(MAX_RESPONSE_BYTES)),
            unbuffered: Arc::new(Semaphore::new(1)),
            limits,
        };
        while let Some(frame) = body.frame().await {
            let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            let space = tokio::select! {
                biased;
                space = buffers.take(bytes) => space,
                () = self.parts.closed() => return,
            };
            let part = space.map(|space| Part { frame, _space: space }).ok_or(SpoolError::BuffersFull);
            let is_over = part.is_err();
            // If the client is gone, dropping the body ends the handler's writes.
            if self.parts.send(part).is_err() || is_over {
                return;
            }
        }
    }
}

/// The buffer space of one response.
struct Buffers {
    space: Arc<Semaphore>,
    /// One part at a time needs no space, so that a fast client is never slowed down.
    unbuffered: Arc<Semaphore>,
    /// The space that all responses share.
    limits: SpoolLimits,
}

impl Buffers {
    /// Waits for buffer space. None if that takes too long.
    async fn take(&self, bytes: usize) -> Option<Vec<OwnedSemaphorePermit>> {
        if let Ok(space) = tokio::time::timeout(WAIT_WITHOUT_PERMIT, self.wait(bytes)).await {
            return Some(space);
        }
        let _permit = Arc::clone(&self.limits.waiting_permits).try_acquire_owned().ok()?;
        Some(self.wait(bytes).await)
    }

    async fn wait(&self, bytes: usize) -> Vec<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let space = async {
            let own = Arc::clone(&self.space).acquire_many_owned(bytes).await;
            let shared = Arc::clone(&self.limits.space).acquire_many_owned(bytes).await;
            [own, shared].into_iter().flatten().collect()
        };
        tokio::select! {
            biased;
            space = space => space,
            part = Arc::clone(&self.unbuffered).acquire_owned() => part.into_iter().collect(),
        }
    }
}

impl hyper::body::Body for SpooledBody {
    type Data = Bytes;
    type Error = SpoolError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SpoolError>>> {
        {
            let mut shared = lock(&self.shared);
            if let Some(body) = &mut shared.body {
                let polled = Pin::new(body).poll_frame(context).map_err(SpoolError::Body);
                if polled.is_pending() {
                    shared.waker = Some(context.waker().clone());
                }
                return polled;
            }
        }
        let part = ready!(self.parts.poll_recv(context));
        Poll::Ready(part.map(|part| part.and_then(|part| part.frame.map_err(SpoolError::Body))))
    }
}

impl Drop for SpooledBody {
    /// Ends the handler's writes, because the client is gone.
    fn drop(&mut self) {
        lock(&self.shared).body = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(parts: usize, bytes: usize) -> (mpsc::Sender<Bytes>, Body) {
        struct Channel(mpsc::Receiver<Bytes>);
        impl hyper::body::Body for Channel {
            type Data = Bytes;
            type Error = std::convert::Infallible;

            fn poll_frame(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                self.0.poll_recv(context).map(|part| part.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
        let (sender, receiver) = mpsc::channel(parts + 1);
        for _ in 0..parts {
            sender.try_send(Bytes::from(vec![0; bytes])).unwrap();
        }
        (sender, Body::new(Channel(receiver)))
    }

    #[tokio::test]
    async fn a_body_is_whole_with_and_without_spooling() {
        let (sender, body) = body(3, 10);
        let (mut spooled, spooler) = spooled(body);
        assert!(spooled.frame().await.is_some_and(|frame| frame.is_ok()));
        let limits = SpoolLimits::new(Arc::new(Semaphore::new(1)));
        let spooling = tokio::spawn(spooler.run(limits.clone()));
        sender.send(Bytes::from_static(b"last")).await.unwrap();
        drop(sender);
        let rest = spooled.collect().await.unwrap().to_bytes();
        assert_eq!(rest.len(), 24);
        spooling.await.unwrap();
        assert_eq!(limits.space.available_permits(), MAX_TOTAL_BYTES);
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_holds_no_handler() {
        let waiting_permits = Arc::new(Semaphore::new(0));
        let limits = SpoolLimits::new(Arc::clone(&waiting_permits));
        let (_sender, whole) = body(20, 1 << 20);
        let (mut slow, spooler) = spooled(whole);
        spooler.run(limits.clone()).await;
        // The spooled bytes are still sent: eight mebibytes and one more part.
        for _ in 0..9 {
            assert!(slow.frame().await.is_some_and(|frame| frame.is_ok()));
        }
        assert!(matches!(slow.frame().await, Some(Err(SpoolError::BuffersFull))));
        assert_eq!(limits.space.available_permits(), MAX_TOTAL_BYTES);
    }

    #[tokio::test]
    async fn a_handler_is_told_when_its_client_has_gone() {
        for runs in [false, true] {
            let (sender, body) = body(0, 0);
            let (client, spooler) = spooled(body);
            let spooling = runs.then(|| tokio::spawn(spooler.run(SpoolLimits::new(Arc::new(Semaphore::new(1))))));
            drop(client);
            if let Some(spooling) = spooling {
                // At the next write, the spooler notices that its client is gone.
                drop(sender.send(Bytes::from_static(b"x")).await);
                spooling.await.unwrap();
            }
            sender.closed().await;
        }
    }
}
