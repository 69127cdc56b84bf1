//! An HTTP/1.1 server with limits on connections, headers, bodies and time, which drains at the end.
//! Ingress and admin interface both stand on it.

mod connection;
mod door;
mod guard;
mod intake;
mod media_type;
mod query;
mod refusal;
mod screen;
mod timer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use door::Door;
pub use intake::Intake;
pub(crate) use media_type::MediaType;
pub(crate) use query::{NoParameters, Query, percent_decode};
use refusal::Refusals;

/// Limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The largest head of a request, in bytes.
    pub max_header_bytes: usize,
    /// How long a client may take to send the head of a request, also while a connection is idle.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub header_timeout: Duration,
    /// How long a client may take to send a body.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub body_timeout: Duration,
    /// How long a client may take none of what it is sent.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub write_timeout: Duration,
    /// How many connections are open at a time; further ones are refused.
    pub max_connections: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            max_body_bytes: 1 << 20,
            max_header_bytes: 32 << 10,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_connections: 4_096,
        }
    }
}

/// How many fields the head of a request may have.
const MAX_HEADERS: usize = 100;
/// The smallest buffer that hyper accepts.
const MIN_HEADER_BYTES: usize = 8_192;

/// How long a server that stops waits for requests that are arriving.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Serves until it is cancelled; then lets the requests that run come to their end.
pub async fn serve(listener: TcpListener, router: Router, limits: HttpLimits, cancelled: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let router =
        router.layer(middleware::from_fn(move |request: Request, next: Next| guard::guard(limits, request, next)));
    let (connections, refusals) = (TaskTracker::new(), Refusals::default());
    let mut door = Door::new(listener);
    loop {
        let stream = tokio::select! {
            () = cancelled.cancelled() => break,
            stream = door.next(limits) => stream,
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            refusals.refuse(stream, limits);
            continue;
        };
        let connection = connection::serve(stream, router.clone(), limits, cancelled.clone());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    }
    drop(door);
    connections.close();
    connections.wait().await;
}

/// Binds a listener.
///
/// # Errors
/// What is wrong with the address, and what to do.
pub async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "the address {address} is in use by another process; stop that one or choose another with {flag}"
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}; choose another address with {flag}"),
    })
}
