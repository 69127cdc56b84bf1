//! Requests over a Unix socket, for the command line.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::http::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::network::Body;
use super::{Fault, SendError};

/// Sends a request on a connection of its own, which ends with the response.
///
/// # Errors
/// If there is no response.
pub async fn send_over_socket(
    socket: &Path,
    mut request: Request<Body>,
    connect: Duration,
) -> Result<Response<Body>, SendError> {
    let connecting = tokio::time::timeout(connect, UnixStream::connect(socket)).await;
    let stream = connecting.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let stream = stream.map_err(|error| SendError::Unreachable(Fault::of(&error), format!(": {error}")))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    // It ends when the body of the response has been read or dropped.
    tokio::spawn(async move { drop(connection.await) });
    let target = request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from(target);
    request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

fn broken(error: &hyper::Error) -> SendError {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    SendError::Broken(Fault::of(error), format!(": {error}{cause}"))
}
