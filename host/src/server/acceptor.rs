//! Accepts connections, even when the process has run out of file descriptors.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::listener::Socket;
use super::refusal::{refuse_at_once, too_many_connections};
use super::{HttpLimits, Listener};

/// The delay before the next `accept` after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener with a spare file descriptor. When no other descriptor is left, the spare one serves to refuse one
/// connection at a time.
#[derive(Debug)]
pub(super) struct Acceptor<'a> {
    listener: &'a Listener,
    reserve: Option<File>,
    has_failed: bool,
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(listener: &'a Listener) -> Self {
        Self { listener, reserve: reserve(), has_failed: false }
    }

    /// The next connection.
    pub(super) async fn next(&mut self, limits: HttpLimits) -> (Socket, Option<SocketAddr>) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => {
                    self.has_failed = false;
                    return accepted;
                }
                Err(error) => self.failed(&error, limits).await,
            }
        }
    }

    async fn failed(&mut self, error: &io::Error, limits: HttpLimits) {
        // Logged once per outage, which may be long.
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::warn!(%error, "cannot accept connections");
        }
        if self.reserve.take().is_some() {
            // A connection is waiting, unless another process has accepted it.
            if let Ok(Ok((stream, _))) = tokio::time::timeout(PAUSE, self.listener.accept()).await {
                refuse_at_once(stream, self.listener.tls.is_some(), &too_many_connections(limits));
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
