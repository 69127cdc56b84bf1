//! An HTTP/1.1 server with limits on connections, headers, bodies and time, and a graceful shutdown. The ingress and
//! the admin interface use it.

mod acceptor;
mod body_reader;
mod checks;
mod connection;
mod media_type;
mod query;
mod refusal;
mod refusal_filter;
mod timer;
mod unread_body;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use acceptor::Acceptor;
pub use body_reader::BodyReader;
pub(crate) use media_type::MediaType;
pub(crate) use query::{NoParameters, Query, percent_decode};
use refusal::Refusals;

use crate::problem::Problem;

/// Limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The largest head of a request, in bytes.
    pub max_header_bytes: usize,
    /// How long a client may take to send a request head. It also limits idle connections.
    #[serde(with = "crate::duration")]
    pub header_timeout: Duration,
    /// How long a client may take to send a body.
    #[serde(with = "crate::duration")]
    pub body_timeout: Duration,
    /// How long a client may stop reading a response.
    #[serde(with = "crate::duration")]
    pub write_timeout: Duration,
    /// The number of open connections. Further connections get 503.
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

/// The largest number of header fields.
const MAX_HEADERS: usize = 100;
/// The smallest buffer that hyper accepts.
const MIN_HEADER_BYTES: usize = 8_192;

/// How long a stopping server waits for requests that are arriving.
const STOP_GRACE_PERIOD: Duration = Duration::from_secs(1);

/// Answers each connection with a problem and closes it. Ends when it is dropped.
pub(crate) async fn refuse_all(listener: &TcpListener, limits: HttpLimits, problem: &Problem) -> Infallible {
    let (mut acceptor, refusals) = (Acceptor::new(listener), Refusals::default());
    loop {
        let stream = acceptor.next(limits).await;
        drop(refusals.answer(stream, problem.clone()));
    }
}

/// Serves until it is cancelled, then finishes the running requests.
pub async fn serve(listener: TcpListener, router: Router, limits: HttpLimits, cancelled: CancellationToken) {
    let permits = Arc::new(Semaphore::new(limits.max_connections));
    let router =
        router.layer(middleware::from_fn(move |request: Request, next: Next| checks::checks(limits, request, next)));
    let (connections, refusals) = (TaskTracker::new(), Refusals::default());
    let mut acceptor = Acceptor::new(&listener);
    loop {
        let stream = tokio::select! {
            () = cancelled.cancelled() => break,
            stream = acceptor.next(limits) => stream,
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            refusals.refuse(stream, limits);
            continue;
        };
        let connection = connection::serve(stream, router.clone(), limits, cancelled.clone());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Binds a listener.
///
/// # Errors
/// If the address cannot be bound: what to do.
pub async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => anyhow::anyhow!(
            "the address {address} is in use by another process; stop that process, or choose another address with {flag}"
        ),
        _ => anyhow::anyhow!("cannot listen on {address}: {error}; choose another address with {flag}"),
    })
}
