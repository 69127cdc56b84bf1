//! Serves the bus of this host to the other hosts of its store.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::calls;
use super::codec::{decode, encode, framing, receive_next, send_all};
use super::identity::Identity;
use super::protocol::{HEARTBEAT, Hello, ToClient, ToServer, VERSION, Welcome};
use super::session::Session;
use crate::bus::SharedBus;

/// The number of messages that wait to be sent to a host.
const QUEUE: usize = 1_024;
/// How often the progress of the feeds is sent.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);
/// How long a host may take to introduce itself.
const HELLO_TIME: Duration = Duration::from_secs(5);
/// Why the connection of a member that stops has ended.
const STOPS: &str = "the host stops";
/// The number of hosts that may introduce themselves at the same time.
const PENDING_HELLOS: usize = 64;

/// Serves the bus of this host until it is dropped.
#[derive(Debug)]
pub(in crate::bus) struct Server {
    shared: Arc<Shared>,
    _accepting: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Shared {
    bus: SharedBus,
    identity: Identity,
    sessions: Mutex<HashMap<SocketAddr, Weak<Session>>>,
    /// Cancelled when no more deliveries are made.
    stopping: CancellationToken,
    /// Cancelled when the connections end.
    closed: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    /// Accepts connections of other hosts.
    pub(in crate::bus) fn start(listener: Arc<TcpListener>, identity: Identity, bus: SharedBus) -> Self {
        let shared = Arc::new(Shared {
            bus,
            identity,
            sessions: Mutex::default(),
            stopping: CancellationToken::new(),
            closed: CancellationToken::new(),
            connections: TaskTracker::new(),
        });
        let accepting = accept(listener, Arc::clone(&shared));
        Self { shared, _accepting: AbortOnDropHandle::new(tokio::spawn(accepting)) }
    }

    /// Makes no more deliveries, and waits until the other hosts have settled theirs.
    pub(in crate::bus) async fn drain(&self) {
        self.shared.stopping.cancel();
        let sessions: Vec<_> = self.shared.sessions().values().filter_map(Weak::upgrade).collect();
        join_all(sessions.iter().map(|session| async {
            session.send(ToClient::Goodbye).await;
            session.wait_until_idle().await;
        }))
        .await;
    }

    /// Ends the connections.
    pub(in crate::bus) async fn close(self) {
        self.shared.stopping.cancel();
        self.shared.closed.cancel();
        self.shared.connections.close();
        self.shared.connections.wait().await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

impl Shared {
    fn sessions(&self) -> MutexGuard<'_, HashMap<SocketAddr, Weak<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn accept(listener: Arc<TcpListener>, shared: Arc<Shared>) {
    let pending = Arc::new(tokio::sync::Semaphore::new(PENDING_HELLOS));
    loop {
        let permit = Arc::clone(&pending).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection of another host; trying again in a second");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let connection = Arc::clone(&shared);
        shared.connections.spawn(async move {
            let opening = tokio::time::timeout(HELLO_TIME, open(stream, &connection));
            let Some(opened) = connection.closed.run_until_cancelled(opening).await else { return };
            drop(permit);
            match opened {
                Ok(Ok((frames, name))) => serve(frames, address, name, &connection).await,
                Ok(Err(reason)) => tracing::warn!(%address, reason, "refused a connection to the cluster listener"),
                Err(_) => tracing::warn!(%address, "a client of the cluster listener did not introduce itself"),
            }
        });
    }
}

/// Identifies a host. Returns its connection and its name.
async fn open(
    stream: TcpStream,
    shared: &Shared,
) -> Result<(Framed<impl AsyncRead + AsyncWrite + Unpin + use<>, LengthDelimitedCodec>, String), String> {
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let stream = shared.identity.acceptor().accept(stream).await.map_err(|error| error.to_string())?;
    // Before it is identified, a client gets little memory.
    let mut frames = Framed::new(stream, LengthDelimitedCodec::builder().max_frame_length(4_096).new_codec());
    let hello = frames.next().await.ok_or("it was closed")?.map_err(|error| error.to_string())?;
    let hello: Hello = decode(&hello).map_err(|error| error.to_string())?;
    let refusal = match () {
        () if !shared.identity.accepts(&hello.token) => Some("its token is not that of this store".to_owned()),
        () if hello.version != VERSION => Some(format!(
            "it runs {}, and this host runs {VERSION}; hosts of different versions do not share work",
            hello.version
        )),
        () => None,
    };
    let welcome = match &refusal {
        Some(reason) => Welcome::Refused(reason.clone()),
        None => Welcome::Accepted { store_id: shared.bus.store_id() },
    };
    let welcome = encode(&welcome).map_err(|error| error.to_string())?;
    frames.send(welcome).await.map_err(|error| error.to_string())?;
    match refusal {
        Some(reason) => Err(format!("{}: {reason}", hello.host)),
        None => Ok((frames.map_codec(|_| framing()), hello.host)),
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    frames: Framed<S, LengthDelimitedCodec>,
    address: SocketAddr,
    name: String,
    shared: &Shared,
) {
    let (outgoing, mut queued) = mpsc::channel(QUEUE);
    let (stopping, tasks) = (shared.stopping.child_token(), shared.connections.clone());
    let session = Arc::new(Session::new(shared.bus.clone(), outgoing, stopping, tasks));
    shared.sessions().insert(address, Arc::downgrade(&session));
    tracing::info!(host = name, "a member shares the work");
    let (mut sink, mut stream) = frames.split();
    let sending = async {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        loop {
            let next = tokio::select! {
                biased;
                message = queued.recv() => message,
                _ = heartbeat.tick() => Some(ToClient::Heartbeat),
                // Everything that was queued is sent.
                () = shared.closed.cancelled() => return "this host stops".to_owned(),
            };
            if let Err(reason) = send_all(&mut sink, next, || queued.try_recv().ok()).await {
                return reason;
            }
        }
    };
    let receiving = async {
        loop {
            match receive_next(&mut stream).await {
                Ok(ToServer::Goodbye) => return STOPS.to_owned(),
                Ok(message) => calls::receive(&session, message),
                Err(reason) => return reason,
            }
        }
    };
    let updating = async {
        // The first updates have everything.
        session.send_catalogue().await;
        session.send_progress(true).await;
        let (mut catalogue, mut reachable) = (shared.bus.catalogue(), shared.bus.reachable());
        let mut interval = tokio::time::interval(PROGRESS_INTERVAL);
        loop {
            tokio::select! {
                _ = catalogue.changed() => session.send_catalogue().await,
                _ = reachable.changed() => session.send_progress(false).await,
                _ = interval.tick() => session.send_progress(false).await,
            }
        }
    };
    let reason: String = tokio::select! {
        biased;
        reason = sending => reason,
        reason = receiving => reason,
        never = updating => never,
    };
    shared.sessions().remove(&address);
    let claims = session.claims();
    session.end();
    match () {
        () if shared.closed.is_cancelled() => tracing::debug!(host = name, "ended the connection to a member"),
        () if reason == STOPS => tracing::info!(host = name, deliveries = claims, "a member has stopped"),
        () => tracing::warn!(
            host = name,
            reason,
            deliveries = claims,
            "another host has left: the connection to a member is lost, and its deliveries are made again"
        ),
    }
}
