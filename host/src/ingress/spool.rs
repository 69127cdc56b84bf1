//! The body of a response on its way to a client that reads slowly.
//!
//! A handler that writes a body holds a place that all plugins share, and waits when nobody takes what it has written.
//! So a body that is not over soon is spooled: what the handler writes is taken at once, within bounds. A client for
//! which there is no room is waited for, though only for a moment, unless it has one of the few places for that.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// How long a handler writes to its client itself. Most bodies are over by then.
pub(super) const DIRECT: Duration = Duration::from_millis(50);
/// How long a client is waited for at each part of its response, without a place for that.
const MOMENT: Duration = Duration::from_secs(1);
/// The most bytes that are spooled, of all responses.
const ALL_BYTES: usize = 64 << 20;
/// The most bytes that are spooled of one response.
const ONE_BYTES: usize = 8 << 20;

/// What bounds the bodies that are spooled.
#[derive(Clone, Debug)]
pub struct Spools {
    room: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Spools {
    /// Spools whose handlers wait for clients in some of these places.
    #[must_use]
    pub fn new(places: Arc<Semaphore>) -> Self {
        Self { room: Arc::new(Semaphore::new(ALL_BYTES)), places }
    }
}

/// The body of a response, which can be spooled while its client reads it.
pub(super) struct Spooled {
    shared: Arc<Mutex<Shared>>,
    parts: mpsc::UnboundedReceiver<Result<Part, TooSlow>>,
}

/// What reads a body ahead of its client.
pub(super) struct Spooler {
    shared: Arc<Mutex<Shared>>,
    parts: mpsc::UnboundedSender<Result<Part, TooSlow>>,
}

struct Shared {
    /// The body, until it is spooled or nobody reads it any more.
    body: Option<Body>,
    /// The client's, which waits for the body.
    waker: Option<Waker>,
}

struct Part {
    frame: Result<Frame<Bytes>, axum::Error>,
    /// Given back when the client has taken the frame.
    _room: Vec<OwnedSemaphorePermit>,
}

/// Why a response breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum TooSlow {
    #[error("the client reads too slowly, and there is no room for the rest of its response")]
    NoRoom,
    #[error(transparent)]
    Body(axum::Error),
}

/// Makes a body of which the client reads one half, and the other one may read ahead.
pub(super) fn spooled(body: Body) -> (Spooled, Spooler) {
    let shared = Arc::new(Mutex::new(Shared { body: Some(body), waker: None }));
    let (sender, receiver) = mpsc::unbounded_channel();
    (Spooled { shared: Arc::clone(&shared), parts: receiver }, Spooler { shared, parts: sender })
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Spooler {
    /// Takes the body as it is written, until its end, or until the client has gone or is too slow.
    pub(super) async fn run(self, spools: Spools) {
        let (body, waker) = {
            let mut shared = lock(&self.shared);
            (shared.body.take(), shared.waker.take())
        };
        // The client waits for parts from now on.
        if let Some(waker) = waker {
            waker.wake();
        }
        let Some(mut body) = body else { return };
        let rooms = Rooms { one: Arc::new(Semaphore::new(ONE_BYTES)), next: Arc::new(Semaphore::new(1)), spools };
        while let Some(frame) = body.frame().await {
            let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
            let room = tokio::select! {
                biased;
                room = rooms.take(bytes) => room,
                () = self.parts.closed() => return,
            };
            let part = room.map(|room| Part { frame, _room: room }).ok_or(TooSlow::NoRoom);
            let is_over = part.is_err();
            // Without a client, the handler is told by the end of the body.
            if self.parts.send(part).is_err() || is_over {
                return;
            }
        }
    }
}

struct Rooms {
    one: Arc<Semaphore>,
    /// One part needs no room: that of a client which reads as fast as it is written to.
    next: Arc<Semaphore>,
    spools: Spools,
}

impl Rooms {
    /// Waits for room for so many bytes; none if that takes too long.
    async fn take(&self, bytes: usize) -> Option<Vec<OwnedSemaphorePermit>> {
        if let Ok(room) = tokio::time::timeout(MOMENT, self.wait(bytes)).await {
            return Some(room);
        }
        let _place = Arc::clone(&self.spools.places).try_acquire_owned().ok()?;
        Some(self.wait(bytes).await)
    }

    async fn wait(&self, bytes: usize) -> Vec<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = async {
            let one = Arc::clone(&self.one).acquire_many_owned(bytes).await;
            let all = Arc::clone(&self.spools.room).acquire_many_owned(bytes).await;
            [one, all].into_iter().flatten().collect()
        };
        tokio::select! {
            biased;
            room = room => room,
            next = Arc::clone(&self.next).acquire_owned() => next.into_iter().collect(),
        }
    }
}

impl hyper::body::Body for Spooled {
    type Data = Bytes;
    type Error = TooSlow;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooSlow>>> {
        {
            let mut shared = lock(&self.shared);
            if let Some(body) = &mut shared.body {
                let polled = Pin::new(body).poll_frame(context).map_err(TooSlow::Body);
                if polled.is_pending() {
                    shared.waker = Some(context.waker().clone());
                }
                return polled;
            }
        }
        let part = ready!(self.parts.poll_recv(context));
        Poll::Ready(part.map(|part| part.and_then(|part| part.frame.map_err(TooSlow::Body))))
    }
}

impl Drop for Spooled {
    /// The handler is told that nobody reads any more.
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
    async fn a_body_is_whole_whoever_reads_it() {
        let (sender, body) = body(3, 10);
        let (mut spooled, spooler) = spooled(body);
        assert!(spooled.frame().await.is_some_and(|frame| frame.is_ok()));
        let spools = Spools::new(Arc::new(Semaphore::new(1)));
        let spooling = tokio::spawn(spooler.run(spools.clone()));
        sender.send(Bytes::from_static(b"last")).await.unwrap();
        drop(sender);
        let rest = spooled.collect().await.unwrap().to_bytes();
        assert_eq!(rest.len(), 24);
        spooling.await.unwrap();
        assert_eq!(spools.room.available_permits(), ALL_BYTES);
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_holds_no_handler() {
        let places = Arc::new(Semaphore::new(0));
        let spools = Spools::new(Arc::clone(&places));
        let (_sender, whole) = body(20, 1 << 20);
        let (mut slow, spooler) = spooled(whole);
        spooler.run(spools.clone()).await;
        // What was spooled is still sent: eight mebibytes, and one part beyond.
        for _ in 0..9 {
            assert!(slow.frame().await.is_some_and(|frame| frame.is_ok()));
        }
        assert!(matches!(slow.frame().await, Some(Err(TooSlow::NoRoom))));
        assert_eq!(spools.room.available_permits(), ALL_BYTES);
    }

    #[tokio::test]
    async fn a_handler_is_told_when_its_client_has_gone() {
        for runs in [false, true] {
            let (sender, body) = body(0, 0);
            let (client, spooler) = spooled(body);
            let spooling = runs.then(|| tokio::spawn(spooler.run(Spools::new(Arc::new(Semaphore::new(1))))));
            drop(client);
            if let Some(spooling) = spooling {
                // The next part tells that nobody reads.
                drop(sender.send(Bytes::from_static(b"x")).await);
                spooling.await.unwrap();
            }
            sender.closed().await;
        }
    }
}
