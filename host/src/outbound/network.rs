//! The HTTP client. It sends the path and query byte for byte.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::uri::Authority;
use hyper::http::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::dial::{CONNECT, Dialer, InTime, Reach};
use super::fault::innermost;
use super::{Fault, Listeners, SendError};
use crate::endpoint;

/// The body of a request or response.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A complete body.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An HTTP client. It follows no redirects, since they would bypass the grants, and never connects to the host's own
/// listeners.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<InTime<HttpsConnector<Dialer>>, Body>,
    own: Listeners,
}

impl Client {
    /// A client for a host with these listeners. It connects to public addresses only, unless an address is granted.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(own: Listeners) -> std::io::Result<Self> {
        Self::with(Reach::Public(own.clone()), own, None)
    }

    /// A client for the command line, which may connect to any address. If it gets certificates of authorities in PEM,
    /// it trusts these instead of those of the system.
    ///
    /// # Errors
    /// If the certificates cannot be used, or TLS cannot be set up.
    pub fn unrestricted(authorities: Option<&[u8]>) -> std::io::Result<Self> {
        let roots = authorities.map(roots).transpose().map_err(std::io::Error::other)?;
        Self::with(Reach::Anywhere, Listeners::default(), roots)
    }

    /// The host's own listeners.
    pub(super) fn own(&self) -> &Listeners {
        &self.own
    }

    fn with(reach: Reach, own: Listeners, roots: Option<RootCertStore>) -> std::io::Result<Self> {
        let provider = rustls::crypto::ring::default_provider();
        let builder = HttpsConnectorBuilder::new();
        let trusting = match roots {
            None => builder.with_provider_and_platform_verifier(provider)?,
            Some(roots) => {
                let config = ClientConfig::builder_with_provider(Arc::new(provider));
                let config = config.with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
                builder.with_tls_config(config.with_root_certificates(roots).with_no_client_auth())
            }
        };
        let connector = trusting.https_or_http().enable_http1().wrap_connector(Dialer::new(reach));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        Ok(Self { http: builder.build(InTime(connector)), own })
    }

    /// Sends a request, optionally with a connect timeout. The connection may come from the pool.
    ///
    /// # Errors
    /// If the request leads to the host itself, is malformed, or has no response.
    pub async fn send(&self, request: Request<Body>, connect: Option<Duration>) -> Result<Response<Body>, SendError> {
        let request = self.prepare(request)?;
        let response = CONNECT.scope(connect, self.http.request(request)).await.map_err(|error| failed(&error))?;
        Ok(response.map(|body: Incoming| body.map_err(Into::into).boxed_unsync()))
    }

    /// A request in the form in which it is sent.
    fn prepare(&self, mut request: Request<Body>) -> Result<Request<Body>, SendError> {
        let uri = std::mem::take(request.uri_mut());
        let host = endpoint::host_and_port(&uri.to_string()).map_err(SendError::Malformed)?;
        self.own.refuse(&host)?;
        *request.uri_mut() = exact(uri, &host)?;
        let headers: &mut HeaderMap = request.headers_mut();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("sandbus/", env!("CARGO_PKG_VERSION"))));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        Ok(request)
    }
}

/// The certificates in a PEM file.
fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| format!("it is not valid PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("it contains a certificate that cannot be used: {error}"))?;
    }
    if roots.is_empty() { Err("it contains no certificate in PEM".to_owned()) } else { Ok(roots) }
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
