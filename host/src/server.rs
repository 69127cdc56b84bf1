//! A server of HTTP/1.1 and HTTP/2 with limits on connections, headers, bodies and time, and a graceful shutdown. The
//! ingress and the admin interface use it.

mod acceptor;
mod access_log;
mod body_reader;
mod checks;
mod connection;
mod forwarded;
mod http2;
mod in_process;
mod listener;
mod media_type;
mod preface;
mod protocol;
mod proxies;
mod public_listener;
mod query;
mod refusal;
mod refusal_filter;
mod socket_file;
mod stream;
mod timer;
mod tls;
mod unread_body;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use acceptor::Acceptor;
pub(crate) use access_log::AccessNote;
pub use body_reader::BodyReader;
use http2::Http2;
pub use in_process::InProcess;
pub use listener::Listener;
pub(crate) use media_type::MediaType;
pub use proxies::TrustedProxies;
use public_listener::PublicListener;
pub use public_listener::PublicListenerRules;
pub(crate) use query::{NoParameters, Query, percent_decode};
use refusal::Refusals;
pub use socket_file::SocketError;
pub use tls::{Tls, TlsConfig, TlsFileError};

use crate::problem::Problem;

/// Limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// The largest body of a request, in bytes.
    pub max_body_bytes: usize,
    /// The largest head of a request, in bytes.
    pub max_header_bytes: usize,
    /// How long a client may take to send a request head. It also limits idle connections.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::DurationText")]
    pub header_timeout: Duration,
    /// How long a client may take to send a body.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::DurationText")]
    pub body_timeout: Duration,
    /// How long a client may stop reading a response.
    #[serde(with = "crate::duration")]
    #[schemars(with = "crate::duration::DurationText")]
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
pub(crate) async fn refuse_all(listener: &Listener, limits: HttpLimits, problem: &Problem) -> Infallible {
    let (mut acceptor, refusals) = (Acceptor::new(listener), Refusals::new(listener.tls.clone()));
    loop {
        let (stream, _) = acceptor.next(limits).await;
        if let Err(stream) = refusals.answer(stream, problem.clone()) {
            refusal::refuse_at_once(stream, listener.tls.is_some(), problem);
        }
    }
}

/// The router with what happens to each request before and after it.
fn checked(router: Router, limits: HttpLimits, is_public: bool) -> Router {
    let router =
        router.layer(middleware::from_fn(move |request: Request, next: Next| checks::checks(limits, request, next)));
    if !is_public {
        return router;
    }
    let router = router.layer(middleware::map_response(public_listener::remove_set_cookies));
    // It also logs what the checks refuse.
    router.layer(middleware::from_fn(access_log::record))
}

/// Serves until it is cancelled, then finishes the running requests.
pub async fn serve(listener: Listener, router: Router, limits: HttpLimits, cancelled: CancellationToken) {
    let permits = Arc::new(Semaphore::new(limits.max_connections));
    let router = checked(router, limits, listener.public_rules.is_some());
    let tls = listener.tls.clone();
    let watch = tls.clone().map(|tls| AbortOnDropHandle::new(tokio::spawn(tls.watch())));
    let (connections, refusals) = (TaskTracker::new(), Refusals::new(tls.clone()));
    let http2 = Http2 { streams: Arc::new(Semaphore::new(limits.max_connections)), tasks: connections.clone() };
    let mut acceptor = Acceptor::new(&listener);
    loop {
        let (stream, peer) = tokio::select! {
            () = cancelled.cancelled() => break,
            accepted = acceptor.next(limits) => accepted,
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            refusals.refuse(stream, limits);
            continue;
        };
        let rules = listener.public_rules.as_ref().zip(peer);
        let public = rules.map(|(rules, peer)| PublicListener { rules: rules.load_full(), peer: Some(peer.ip()) });
        let (router, stop, http2) = (router.clone(), cancelled.clone(), http2.clone());
        let server = connection::Server { router, public, limits, stop, http2 };
        let tls = tls.clone();
        connections.spawn(async move {
            if let Some((stream, protocol)) = stream::open(stream, tls.as_ref(), limits, &server.stop).await {
                connection::serve(stream, protocol, server).await;
            }
            drop(permit);
        });
    }
    drop((listener, watch));
    connections.close();
    connections.wait().await;
}
