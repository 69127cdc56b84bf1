//! Where connections come in, also when the process has no descriptor left for them.

use std::fs::File;
use std::io;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use super::HttpLimits;
use super::refusal::refuse_at_once;

/// How long to wait before the next connection is accepted, if there is no reason to expect that it works at once.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener with a descriptor in reserve, which answers one connection at a time while there is no other.
#[derive(Debug)]
pub(super) struct Door {
    listener: TcpListener,
    reserve: Option<File>,
    has_failed: bool,
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, reserve: reserve(), has_failed: false }
    }

    /// The next connection.
    pub(super) async fn next(&mut self, limits: HttpLimits) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.has_failed = false;
                    return stream;
                }
                Err(error) => self.failed(&error, limits).await,
            }
        }
    }

    async fn failed(&mut self, error: &io::Error, limits: HttpLimits) {
        // Once for each time that it begins: it may go on for long.
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::warn!(%error, "connections cannot be accepted");
        }
        if self.reserve.take().is_some() {
            // Ready, since a connection waits that could not be accepted; another process may have been quicker.
            if let Ok(Ok((stream, _))) = tokio::time::timeout(PAUSE, self.listener.accept()).await {
                refuse_at_once(stream, limits);
            }
        } else {
            tokio::time::sleep(PAUSE).await;
        }
        self.reserve = reserve();
    }
}

/// Any descriptor will do.
fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}
