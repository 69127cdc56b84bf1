//! The client for the network. It sends requests as they are: the path and the query go out byte for byte.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT};
use hyper::http::uri::Authority;
use hyper::http::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::dial::{CONNECT, Dialer, InTime, Reach};
use super::{Fault, Listeners, SendError};
use crate::endpoint;

/// The body of a request or of a response.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A body that is there as a whole.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A client for the network. It follows no redirects: they would lead past the grant. It never connects to the host's own
/// listeners.
#[derive(Clone, Debug)]
pub struct Client {
    http: legacy::Client<InTime<HttpsConnector<Dialer>>, Body>,
    own: Listeners,
}

impl Client {
    /// A client of a host with these listeners. Names lead it to public addresses alone.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(own: Listeners) -> std::io::Result<Self> {
        Self::with(Reach::Public(own.clone()), own)
    }

    /// A client of a person at the command line, who may name any host.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn unrestricted() -> std::io::Result<Self> {
        Self::with(Reach::Anywhere, Listeners::default())
    }

    fn with(reach: Reach, own: Listeners) -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_platform_verifier(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(Dialer::new(reach));
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        Ok(Self { http: builder.build(InTime(connector)), own })
    }

    /// Sends a request, with a bound on the time to connect if there is one. The connection may be one that an earlier
    /// request has left open.
    ///
    /// # Errors
    /// If it leads to the host itself, is malformed, or has no response.
    pub async fn send(&self, request: Request<Body>, connect: Option<Duration>) -> Result<Response<Body>, SendError> {
        let request = self.prepare(request)?;
        let response = CONNECT.scope(connect, self.http.request(request)).await.map_err(|error| failed(&error))?;
        Ok(response.map(|body: Incoming| body.map_err(Into::into).boxed_unsync()))
    }

    /// A request as it goes out.
    fn prepare(&self, mut request: Request<Body>) -> Result<Request<Body>, SendError> {
        let uri = std::mem::take(request.uri_mut());
        let host = endpoint::host_and_port(&uri.to_string()).map_err(SendError::Malformed)?;
        if self.own.are_named(&host) {
            return Err(SendError::Own(host));
        }
        *request.uri_mut() = exact(uri, &host)?;
        let headers: &mut HeaderMap = request.headers_mut();
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("sandbus/", env!("CARGO_PKG_VERSION"))));
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        Ok(request)
    }
}

/// How long a connection is kept open for another request.
const IDLE: Duration = Duration::from_secs(90);

/// An address with its host in the one form that grants are compared in, and with its path and query untouched. Of these
/// only what would end or break the request line is refused (RFC 9112, section 3.2; RFC 3986, section 2).
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
    let (fault, causes) = (Fault::of(error), causes(error));
    if error.is_connect() { SendError::Unreachable(fault, causes) } else { SendError::Broken(fault, causes) }
}

/// What has caused an error of the client, one cause after the other. The address is not in it, which may hold a secret.
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
