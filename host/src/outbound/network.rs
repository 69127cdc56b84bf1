//! The HTTP client. It sends the path and query byte for byte.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::http::uri::{Authority, Scheme};
use hyper::http::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use super::config::{OutboundConfig, parse_authorities};
use super::dial::{CONNECT, Dialer, InTime, Reach, may_be_proxied};
use super::fault::innermost;
use super::proxy::Proxies;
use super::{Fault, Listeners, SendError};
use crate::endpoint;
use crate::networks::{GrantedNetworks, NamedNetworks, Networks};

/// The body of a request or response.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A complete body.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An HTTP client. It follows no redirects, since they would bypass the grants, and never connects to the host's own
/// listeners.
#[derive(Clone)]
pub struct Client {
    own: Listeners,
    settings: Arc<RwLock<Arc<ClientSettings>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Client").field("own", &self.own).finish_non_exhaustive()
    }
}

/// The settings from the configuration, which may change.
struct ClientSettings {
    tls: ClientConfig,
    dialer: Dialer,
    proxies: Proxies,
    /// The networks that the configuration names.
    named: NamedNetworks,
    /// The connections, by the networks that are granted. A connection to a private address must not serve a request
    /// without the grant.
    pools: Mutex<HashMap<Networks, Pool>>,
}

type Pool = legacy::Client<InTime<HttpsConnector<Dialer>>, Body>;

/// The limit of connection pools. Each distinct set of granted networks has one.
const MAX_POOLS: usize = 1_024;

impl ClientSettings {
    fn new(own: &Listeners, config: &OutboundConfig) -> io::Result<Self> {
        let proxies = Proxies::new(&config.proxy, &config.no_proxy);
        let reach = Reach::Granted { own: own.clone(), networks: Networks::default() };
        let tls = trusting_system(config.authorities().map_err(io::Error::other)?)?;
        Ok(Self::with(Dialer::new(reach, proxies.clone()), proxies, tls, config.networks.clone()))
    }

    fn with(dialer: Dialer, proxies: Proxies, tls: ClientConfig, named: NamedNetworks) -> Self {
        Self { tls, dialer, proxies, named, pools: Mutex::default() }
    }

    /// The connections for requests with these networks.
    fn pool(&self, networks: &Networks) -> Pool {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(networks) {
            return pool.clone();
        }
        if pools.len() >= MAX_POOLS {
            pools.clear();
        }
        let connector = HttpsConnectorBuilder::new().with_tls_config(self.tls.clone());
        let connector = connector.https_or_http().enable_http1().wrap_connector(self.dialer.with_networks(networks));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let pool = builder.build(InTime(connector));
        pools.insert(networks.clone(), pool.clone());
        pool
    }
}

/// TLS that trusts the authorities of the system and these.
fn trusting_system(authorities: Vec<CertificateDer<'static>>) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(authorities, Arc::clone(&provider)).map_err(io::Error::other)?;
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// TLS that trusts only these authorities.
fn trusting_only(authorities: Vec<CertificateDer<'static>>) -> io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(io::Error::other)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl Client {
    /// A client for a host with these listeners. It connects to public addresses and granted networks only, unless an
    /// address is granted. Blocks while it reads certificates.
    ///
    /// # Errors
    /// If the certificates cannot be used, or TLS cannot be set up.
    pub fn new(own: Listeners, config: &OutboundConfig) -> io::Result<Self> {
        let settings = Arc::new(ClientSettings::new(&own, config)?);
        Ok(Self { own, settings: Arc::new(RwLock::new(settings)) })
    }

    /// A client for the command line, which may connect to any address and uses no proxy. If it gets certificates of
    /// authorities in PEM, it trusts these instead of those of the system.
    ///
    /// # Errors
    /// If the certificates cannot be used, or TLS cannot be set up.
    pub fn unrestricted(authorities: Option<&[u8]>) -> io::Result<Self> {
        let tls = match authorities {
            None => trusting_system(Vec::new())?,
            Some(pem) => {
                let parsed = parse_authorities(pem).map_err(|reason| io::Error::other(format!("it {reason}")))?;
                trusting_only(parsed)?
            }
        };
        let dialer = Dialer::new(Reach::Anywhere, Proxies::none());
        let settings = ClientSettings::with(dialer, Proxies::none(), tls, NamedNetworks::default());
        Ok(Self { own: Listeners::default(), settings: Arc::new(RwLock::new(Arc::new(settings))) })
    }

    /// Applies another configuration. Requests that have begun keep their connections. Blocks while it reads
    /// certificates.
    ///
    /// # Errors
    /// If the certificates cannot be used. The present configuration then stays.
    pub fn reconfigure(&self, config: &OutboundConfig) -> io::Result<()> {
        let settings = Arc::new(ClientSettings::new(&self.own, config)?);
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        Ok(())
    }

    fn settings(&self) -> Arc<ClientSettings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The host's own listeners.
    pub(super) fn own(&self) -> &Listeners {
        &self.own
    }

    /// Sends a request, optionally with a connect timeout. The name of its host may resolve to public addresses and to
    /// the given networks. The connection may come from the pool.
    ///
    /// # Errors
    /// If the request leads to the host itself, is malformed, or has no response.
    pub async fn send(
        &self,
        request: Request<Body>,
        networks: &GrantedNetworks,
        connect: Option<Duration>,
    ) -> Result<Response<Body>, SendError> {
        let settings = self.settings();
        let request = self.prepare(request, &settings.proxies)?;
        let sending = settings.pool(&settings.named.current(networks)).request(request);
        let response = CONNECT.scope(connect, sending).await.map_err(|error| failed(&error))?;
        Ok(response.map(|body: Incoming| body.map_err(Into::into).boxed_unsync()))
    }

    /// A request in the form in which it is sent.
    fn prepare(&self, mut request: Request<Body>, proxies: &Proxies) -> Result<Request<Body>, SendError> {
        let uri = std::mem::take(request.uri_mut());
        let host = endpoint::host_and_port(&uri.to_string()).map_err(SendError::Malformed)?;
        self.own.refuse(&host)?;
        *request.uri_mut() = exact(uri, &host)?;
        let headers: &mut HeaderMap = request.headers_mut();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("sandbus/", env!("CARGO_PKG_VERSION"))));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        // A tunnel has its own authorization.
        headers.remove(PROXY_AUTHORIZATION);
        if request.uri().scheme() == Some(&Scheme::HTTP)
            && let Ok(Some(proxy)) = proxies.of(request.uri())
            && may_be_proxied(request.uri())
            && let Some(authorization) = proxy.authorization()
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        Ok(request)
    }
}

/// How long an idle connection stays in the pool.
const IDLE: Duration = Duration::from_secs(90);

/// Splits a URL into the host, normalized as for grants, and the unchanged path and query. A byte that would end or
/// break the request line is refused (RFC 9112, section 3.2; RFC 3986, section 2).
fn exact(uri: Uri, host_and_port: &str) -> Result<Uri, SendError> {
    let malformed = |what: String| SendError::Malformed(what);
    let mut parts = uri.into_parts();
    if let Some(path) = &parts.path_and_query
        && let Some(byte) = path.as_str().bytes().find(|byte| !byte.is_ascii_graphic())
    {
        return Err(malformed(format!(
            "the path or query has the byte 0x{byte:02x}; percent-encode it as %{byte:02X}"
        )));
    }
    let default = if parts.scheme.as_ref().is_some_and(|scheme| scheme == "https") { ":443" } else { ":80" };
    let shown = host_and_port.strip_suffix(default).unwrap_or(host_and_port);
    let authority = Authority::try_from(shown).map_err(|error| malformed(format!("the host `{shown}`: {error}")))?;
    parts.authority = Some(authority);
    Uri::from_parts(parts).map_err(|error| malformed(error.to_string()))
}

fn failed(error: &legacy::Error) -> SendError {
    let fault = Fault::of(error);
    let causes = match fault {
        Fault::Tls if is_plain(error) => {
            ": the server does not speak TLS on this port; use http:// or another port".to_owned()
        }
        Fault::Protocol => {
            format!("{}; the server does not speak plain HTTP on this port; it may need https://", causes(error))
        }
        _ => causes(error),
    };
    if error.is_connect() { SendError::Unreachable(fault, causes) } else { SendError::Broken(fault, causes) }
}

/// Whether the server's first bytes were not a TLS record.
fn is_plain(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::InvalidMessage(_)) = innermost(error).downcast_ref() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The chain of causes of a client error. Omits the URL, which may contain a secret.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
