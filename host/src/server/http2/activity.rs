//! Tracks the streams of a connection. The host closes the connection of a client that opens no stream or does not
//! read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::server::HttpLimits;

/// The streams of a connection.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<OpenStreams>>);

#[derive(Debug)]
struct OpenStreams {
    open: usize,
    next: u64,
    idle_since: Instant,
    /// Streams whose client has not read the last part yet, and since when.
    unread: HashMap<u64, Instant>,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No stream is open.
    Idle,
    /// A stream is open.
    Busy,
    /// A client has stopped reading for too long.
    Stalled,
}

impl Default for Activity {
    fn default() -> Self {
        let streams = OpenStreams { open: 0, next: 0, idle_since: Instant::now(), unread: HashMap::new() };
        Self(Arc::new(Mutex::new(streams)))
    }
}

impl Activity {
    /// The counts are whole even if a thread panicked with the lock.
    fn lock(&self) -> MutexGuard<'_, OpenStreams> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream begins.
    pub(super) fn begin(&self, permit: Option<OwnedSemaphorePermit>) -> OpenStream {
        let mut streams = self.lock();
        streams.open += 1;
        streams.next += 1;
        OpenStream { number: streams.next, activity: self.clone(), _permit: permit }
    }

    pub(super) fn state(&self, limits: HttpLimits) -> State {
        let streams = self.lock();
        match streams.open {
            0 => State::Idle,
            _ if streams.unread.values().any(|since| since.elapsed() >= limits.write_timeout) => State::Stalled,
            _ => State::Busy,
        }
    }

    /// Whether no stream has been open for a while.
    pub(super) fn is_idle_for(&self, duration: Duration) -> bool {
        let streams = self.lock();
        streams.open == 0 && streams.idle_since.elapsed() >= duration
    }
}

/// An open stream, until it is dropped.
#[derive(Debug)]
pub(super) struct OpenStream {
    number: u64,
    activity: Activity,
    _permit: Option<OwnedSemaphorePermit>,
}

impl OpenStream {
    /// The client has read the last part.
    pub(super) fn was_read(&self) {
        self.activity.lock().unread.remove(&self.number);
    }

    /// A part is ready for the client.
    pub(super) fn wrote(&self) {
        self.activity.lock().unread.insert(self.number, Instant::now());
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.activity.lock();
        streams.unread.remove(&self.number);
        streams.open -= 1;
        streams.idle_since = Instant::now();
    }
}
