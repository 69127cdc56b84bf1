//! The listeners of a host, from before its start to its end.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::StatusCode;
use futures_util::future::OptionFuture;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{ANNOUNCEMENT, systemd};
use crate::admin::{Admin, Probes};
use crate::config::Config;
use crate::descriptors::{self, Connections};
use crate::files;
use crate::problem::Problem;
use crate::server::{self, HttpLimits, Listener, Tls, TlsConfig};

/// How long the probe listener waits for its running requests when the host ends.
const PROBE_GRACE_PERIOD: Duration = Duration::from_secs(2);
/// How long a client of the probe listener may send nothing. The time is short, because the listener has few
/// connections.
const PROBE_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The bound listeners of a host that does not serve yet. The probe listener already answers.
#[derive(Debug)]
pub struct BoundListeners {
    pub(super) ingress: Listener,
    pub(super) admin: Listener,
    pub(super) admin_socket: Option<Listener>,
    pub(super) probe: Option<ProbeServer>,
    pub(super) connections: Connections,
    /// Accepts connections of other hosts while this host is active.
    pub(super) cluster: Option<Arc<TcpListener>>,
    limits: HttpLimits,
}

impl BoundListeners {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// If a file for TLS cannot be used, or an address or the socket cannot be bound.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let ingress_tls = load_tls("ingress", config.ingress_tls.as_ref())?;
        let admin_tls = load_tls("admin", config.admin_tls.as_ref())?;
        let ingress = Listener::bind(config.listen, "--listen", ingress_tls)
            .await?
            .with_public_rules(config.ingress_rules.clone());
        let admin = Listener::bind(config.admin, "--admin-listen", admin_tls).await?;
        let admin_socket = config.admin_socket.as_deref().map(bind_socket).transpose()?;
        let connections = Connections::within(config.http.max_connections, descriptors::raise());
        let connections = if admin_socket.is_some() { connections.with_socket() } else { connections };
        let probe = match config.probe.listen {
            Some(address) => Some(ProbeServer::start(address, config.http, connections.probe).await?),
            None => None,
        };
        let cluster = match config.cluster.listen {
            Some(address) => Some(Arc::new(TcpListener::bind(address).await.with_context(|| {
                format!("cannot listen on {address} for other hosts; choose another address with --cluster-listen")
            })?)),
            None => None,
        };
        Ok(Self { ingress, admin, admin_socket, probe, connections, cluster, limits: config.http })
    }

    /// The addresses of all listeners.
    ///
    /// # Errors
    /// If the system does not know one.
    pub(super) fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let probe = self.probe.iter().map(|probe| probe.address);
        let cluster = self.cluster.iter().map(|listener| listener.local_addr()).collect::<Result<Vec<_>, _>>()?;
        Ok([self.ingress.address()?, self.admin.address()?].into_iter().chain(probe).chain(cluster).collect())
    }

    /// Answers every request with 503 `starting` until the preparation is complete.
    pub async fn answer_starting<T>(&self, preparation: impl Future<Output = T>) -> T {
        let detail = "the host is starting; try again in a moment";
        let starting = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "starting", detail).retry_after(1);
        self.answer_all(&starting, preparation).await
    }

    /// Answers every request with 503 until the preparation of a standby is complete: `standby` while another host is
    /// active, and `starting` before and after that. Returns its result and the host that was active last, if any.
    pub(super) async fn answer_standby<T>(
        &self,
        mut holder: watch::Receiver<Option<String>>,
        preparation: impl Future<Output = T>,
    ) -> (T, Option<String>) {
        let mut preparation = pin!(preparation);
        let (mut told_supervisor, mut former) = (false, None);
        loop {
            let active = holder.borrow_and_update().clone();
            let is_standby = active.is_some();
            former = active.clone().or(former);
            if let (Some(active), Ok(address), Ok(admin)) = (active, self.ingress.address(), self.admin.address()) {
                tracing::info!(target: ANNOUNCEMENT, active, %address, %admin, "standing by until the lease of the active host ends");
            }
            self.probe.iter().for_each(|probe| probe.probes.set_standby(is_standby));
            // The supervisor need not wait for the takeover.
            if is_standby && !std::mem::replace(&mut told_supervisor, true) {
                systemd::notify(&[NotifyState::Ready, NotifyState::Status("standby")]);
            }
            let changed = async {
                if holder.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let until = async {
                tokio::select! {
                    biased;
                    result = &mut preparation => Some(result),
                    () = changed => None,
                }
            };
            let answered = match is_standby {
                true => self.answer_all(&standby(), until).await,
                false => self.answer_starting(until).await,
            };
            if let Some(result) = answered {
                self.probe.iter().for_each(|probe| probe.probes.set_standby(false));
                return (result, former);
            }
        }
    }

    /// Answers every request with a problem until the preparation is complete.
    async fn answer_all<T>(&self, problem: &Problem, preparation: impl Future<Output = T>) -> T {
        let socket = self.admin_socket.as_ref().map(|socket| server::refuse_all(socket, self.limits, problem));
        tokio::select! {
            result = preparation => result,
            never = server::refuse_all(&self.ingress, self.limits, problem) => match never {},
            never = server::refuse_all(&self.admin, self.limits, problem) => match never {},
            Some(never) = OptionFuture::from(socket) => match never {},
        }
    }
}

/// The problem with which a standby answers.
fn standby() -> Problem {
    let detail = "this host stands by while another host is active; send the request to the active host";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "standby", detail).retry_after(1)
}

/// Binds the Unix socket of the admin interface, in a directory that is created if it does not exist.
fn bind_socket(path: &Path) -> anyhow::Result<Listener> {
    files::make_directory(files::parent(path)).with_context(|| {
        format!("cannot create the directory of `admin.socket` {}; create it, or choose another path", path.display())
    })?;
    let listener = Listener::bind_socket(path).context("cannot use `admin.socket`")?;
    tracing::info!(socket = %path.display(), "the admin interface also listens on a Unix socket");
    Ok(listener)
}

/// Loads the files of a listener's `tls` table.
fn load_tls(listener: &'static str, config: Option<&TlsConfig>) -> anyhow::Result<Option<Tls>> {
    let load = |config: &TlsConfig| Tls::load(listener, config.clone());
    config.map(load).transpose().with_context(|| format!("cannot use `{listener}.tls`"))
}

/// The probe listener, which serves until it is stopped or dropped.
#[derive(Debug)]
pub(super) struct ProbeServer {
    address: SocketAddr,
    probes: Probes,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

impl ProbeServer {
    async fn start(address: SocketAddr, http: HttpLimits, max_connections: usize) -> anyhow::Result<Self> {
        let listener = Listener::bind(address, "--probe-listen", None).await?;
        let address = listener.address()?;
        let header_timeout = http.header_timeout.min(PROBE_HEADER_TIMEOUT);
        let limits = HttpLimits { max_connections, header_timeout, ..http };
        let (probes, stop) = (Probes::default(), CancellationToken::new());
        let mut serving = JoinSet::new();
        serving.spawn(server::serve(listener, probes.clone().router(), limits, stop.clone()));
        tracing::info!(%address, "the probe listener answers");
        Ok(Self { address, probes, stop, serving })
    }

    /// Makes the state of the host known.
    pub(super) fn set_started(&self, admin: Admin) {
        self.probes.set_started(admin);
    }

    /// Stops after the running requests.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.serving.join_next().await.is_some() {} };
        drop(tokio::time::timeout(PROBE_GRACE_PERIOD, ended).await);
    }
}
